//! Buckets and object stores: streams with the layout that the clients expect (NATS ADR-8, ADR-20).

use super::HOUR;
use crate::{
    names,
    topology::{Duplicates, Erasure, Stream},
};
use std::time::Duration;

/// Leases of lanes. The server forgets a holder that does not renew: no clock of a client decides.
pub(super) fn lanes() -> Stream {
    lease(names::LANES, "Which ingress process holds which lane; gone when it is not renewed.")
}

/// Leases of workers.
pub(super) fn leases() -> Stream {
    lease(names::LEASES, "Who is active and who holds a partition; gone when not renewed.")
}

/// Counters of starts.
pub(super) fn boot_epochs() -> Stream {
    bucket(
        names::BOOT_EPOCHS,
        "How often an ingress started on a lane. Kept for ever: an epoch used twice would hand \
         out the same header space twice.",
    )
}

/// Owners of lanes.
pub(super) fn lane_owners() -> Stream {
    bucket(
        names::LANE_OWNERS,
        "Which node a lane was given to at registration. Kept for ever: a lane never changes \
         hands, because shares name lanes.",
    )
}

/// Nodes that have a leaf.
pub(super) fn leaves() -> Stream {
    bucket(
        names::LEAVES,
        "Which nodes have a leaf that Core reads; written at registration. A node that is taken \
         out is not read any more.",
    )
}

/// How far leaves were read.
pub(super) fn leaf_positions() -> Stream {
    bucket(
        names::LEAF_POSITIONS,
        "How far Core has read what a leaf keeps for it. Kept for ever: without it a leaf would \
         be read from its beginning.",
    )
}

/// The transactions of recent templates.
pub(super) fn template_txs() -> Stream {
    let bucket = names::TEMPLATE_TXS;
    Stream {
        max_age: Some(2 * HOUR),
        erasure: Erasure::RollUp,
        ..Stream::new(
            format!("OBJ_{bucket}"),
            "Transactions of recent templates, so that any provider can complete another's \
             block. Two hours: a template is worth nothing once its tip is six blocks back.",
        )
        .of([format!("$O.{bucket}.C.>"), format!("$O.{bucket}.M.>")])
    }
}

fn lease(name: &str, why: &'static str) -> Stream {
    Stream {
        max_age: Some(names::LEASE),
        duplicates: Duplicates::Window(names::LEASE),
        ..bucket(name, why)
    }
}

fn bucket(name: &str, why: &'static str) -> Stream {
    Stream {
        max_per_subject: Some(1),
        duplicates: Duplicates::Window(KEY_VALUE_RETRIES),
        erasure: Erasure::RollUp,
        ..Stream::new(format!("KV_{name}"), why).of([format!("$KV.{name}.>")])
    }
}

/// The window that key-value clients set (NATS ADR-8).
const KEY_VALUE_RETRIES: Duration = Duration::from_secs(120);
