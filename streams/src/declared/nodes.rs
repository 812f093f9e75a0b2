//! NODES: where the leaves are bound. No decision is made here, nothing of theirs is stored here and
//! no work queue lives here, because a hostile leaf can forge acknowledgements in the account that
//! it is bound to, and have the hub's own server speak in it.

use super::{DAY, HOUR, MIB, feeds};
use crate::{
    Network, names,
    topology::{Stream, Topology, WhenFull},
};

pub(super) fn nodes(network: &Network) -> Topology {
    let ids = network.nodes().iter().map(|node| node.id.as_str());
    let to_leaves =
        ids.filter_map(|id| feeds::templates_to_leaf(id).consumer("A leaf's mirror reads here."));
    Topology { streams: vec![templates(), commands()], consumers: to_leaves.collect() }
}

fn templates() -> Stream {
    Stream::new(
        names::TEMPLATES,
        "Templates and tips for the leaves. A copy, so that a leaf never reads in CORE; six \
         hours, which is more than any share on them is worth.",
    )
    .mirroring(feeds::templates_to_nodes())
    .bounded(6 * HOUR, 256 * MIB, WhenFull::DropOldest)
}

fn commands() -> Stream {
    Stream::new(
        names::COMMANDS,
        "Signed commands to nodes. A command expires after five minutes; a day shows what was \
         sent.",
    )
    .of(["node.command.*"])
    .bounded(DAY, 64 * MIB, WhenFull::DropOldest)
}
