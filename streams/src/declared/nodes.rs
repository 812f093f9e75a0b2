//! NODES: where the leaves come in. No decision is made here and no work queue lives here, because
//! a hostile leaf can forge acknowledgements in the account that it is bound to.

use super::{DAY, GIB, HOUR, MIB, NODE_MESSAGE_BYTES, TRANSIT, feeds};
use crate::{
    Network, names,
    topology::{Consumer, Stream, Topology, WhenFull},
};

pub(super) fn nodes(network: &Network) -> Topology {
    let ids = || network.nodes().iter().map(|node| node.id.as_str());
    let mut streams = vec![templates()];
    let to_leaves =
        ids().filter_map(|id| feeds::templates_to_leaf(id).consumer("A leaf's mirror reads here."));
    let mut consumers: Vec<_> = to_leaves.collect();
    // A stream without any source would be given a subject and a memory of message ids.
    if ids().next().is_some() {
        streams.extend([shares_in(ids()), facts_in(ids())]);
        consumers.extend(to_core());
    }
    streams.push(commands());
    Topology { streams, consumers }
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

fn shares_in<'a>(ids: impl Iterator<Item = &'a str>) -> Stream {
    Stream {
        max_message_bytes: Some(NODE_MESSAGE_BYTES),
        ..Stream::new(
            names::IN_SHARES,
            "Shares as the leaves sent them: one source per node and no subjects of its own, so \
             that nothing gets in but through a node's own link. Refuses new ones when full: \
             they stay on their leaf.",
        )
        .fed_by(ids.map(|id| feeds::up(id).shares))
        .bounded(TRANSIT, 16 * GIB, WhenFull::RefuseNew)
    }
}

fn facts_in<'a>(ids: impl Iterator<Item = &'a str>) -> Stream {
    Stream {
        max_message_bytes: Some(NODE_MESSAGE_BYTES),
        ..Stream::new(names::IN_FACTS, "Other facts as the leaves sent them, in the same way.")
            .fed_by(ids.map(|id| feeds::up(id).facts))
            .bounded(TRANSIT, 4 * GIB, WhenFull::RefuseNew)
    }
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

fn to_core() -> impl Iterator<Item = Consumer> {
    let feeds = [
        feeds::shares_to_core(),
        feeds::claims_to_core(),
        feeds::telemetry_to_core(),
        feeds::events_to_core(),
    ];
    feeds.into_iter().filter_map(|feed| {
        feed.consumer("CORE reads here; the hub's server settles it when CORE has stored it.")
    })
}
