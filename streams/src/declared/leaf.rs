//! The leaf server of one node: its own JetStream domain, which goes on when the link is cut.

use super::{CUT_OFF, GIB, HOUR, MIB, NODE_MESSAGE_BYTES, buckets, feeds};
use crate::{
    names,
    topology::{Stream, Topology, WhenFull},
};
use subjects::NodeId;

/// What must exist on the leaf server of `node`.
pub fn leaf(node: &NodeId) -> Topology {
    let streams = vec![
        Stream::new(
            names::TEMPLATES,
            "Templates and tips for the node's ingress, there also when the link is cut. Six \
             hours: miners are sent away long before.",
        )
        .mirroring(feeds::templates_to_leaf(node.as_str()))
        .bounded(6 * HOUR, 256 * MIB, WhenFull::DropOldest),
        buckets::lanes(),
        buckets::boot_epochs(),
        Stream {
            max_message_bytes: Some(NODE_MESSAGE_BYTES),
            ..Stream::new(
                names::OUT_SHARES,
                "Shares on their way to the hub. A miner's acknowledgement means that its share \
                 is here, synced; so nothing is dropped for space: a full buffer refuses new \
                 shares, and the ingress stops acknowledging.",
            )
            .of(feeds::leaf_subjects(node, names::OUT_SHARES))
            .bounded(CUT_OFF, 16 * GIB, WhenFull::RefuseNew)
        },
        Stream {
            max_message_bytes: Some(NODE_MESSAGE_BYTES),
            ..Stream::new(
                names::OUT_FACTS,
                "Sessions, counts, claims, telemetry and events on their way to the hub. Apart \
                 from shares, so that neither waits behind the other's backlog.",
            )
            .of(feeds::leaf_subjects(node, names::OUT_FACTS))
            .bounded(CUT_OFF, 2 * GIB, WhenFull::RefuseNew)
        },
    ];
    // Core's reader makes its consumers itself: where it stands, it knows better than a node.
    Topology { streams, consumers: Vec::new() }
}
