//! CORE: where decisions are made. Only Core's own workers publish here.

use super::{DAY, GIB, HOUR, LOST_ANSWERS, MIB, NODE_MESSAGE_BYTES, OUTAGE, buckets, feeds};
use crate::{
    names,
    topology::{Consumer, Duplicates, Reader, Retention, Stream, Topology, Transform, WhenFull},
};
use subjects::{Payload, blocks, parked, rounds, sessions, shares, templates};

pub(super) fn core() -> Topology {
    let mut streams = vec![templates(), buckets::template_txs(), buckets::lane_owners()];
    streams.extend([buckets::lanes(), buckets::boot_epochs(), buckets::leases()]);
    streams.extend([buckets::leaves(), buckets::leaf_positions()]);
    streams.extend([events(), submitted(), accepted(), refused()]);
    streams.extend([claims(), blocks(), rounds(), verdicts(), telemetry(), parked()]);
    let to_nodes = feeds::templates_to_nodes().consumer("NODES mirrors the templates for leaves.");
    let verifiers = (0..names::PARTITIONS).map(partition);
    Topology { streams, consumers: to_nodes.into_iter().chain(verifiers).collect() }
}

fn templates() -> Stream {
    Stream::new(
        names::TEMPLATES,
        "Every template that shares may be mined on, and every tip. Kept as long as SHARES: a \
         share proves nothing without its template. Purged only after archiving.",
    )
    .of([templates::New::FILTER, templates::Tip::FILTER])
}

fn events() -> Stream {
    Stream::new(
        names::NODE_EVENTS,
        "What nodes say happened and their miners' sessions: for people, not for accounting. A \
         month.",
    )
    .of([sessions::Changed::FILTER, names::NODE_EVENT, names::NODE_COMMAND_DONE])
    .in_batches()
    .bounded(30 * DAY, 2 * GIB, WhenFull::DropOldest)
}

fn submitted() -> Stream {
    Stream {
        transform: Some(Transform::new(
            shares::Submitted::FILTER,
            format!(
                "shares.submitted.p.{{{{partition({},2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
                names::PARTITIONS
            ),
        )),
        retention: Retention::WorkQueue,
        duplicates: Duplicates::Window(LOST_ANSWERS),
        max_message_bytes: Some(NODE_MESSAGE_BYTES),
        ..Stream::new(
            names::SHARES_SUBMITTED,
            "Shares that wait for their verifier, each lane in its partition. A work queue: what \
             is verified is in SHARES. Refuses new ones when full: they stay upstream. Message \
             ids are remembered only until a lost answer was asked for again: the verifier knows \
             a repeated batch by its number, for ever.",
        )
        .of([shares::Submitted::FILTER])
        .in_batches()
        .bounded(OUTAGE, 16 * GIB, WhenFull::RefuseNew)
    }
}

fn accepted() -> Stream {
    Stream::new(
        names::SHARES,
        "The accounting record: its order is the order of accounting. Never cut past the oldest \
         unpaid slice, at least 30 days, archived before; so no age and no size does it, only \
         the archiver.",
    )
    .of([shares::Accepted::FILTER])
}

fn refused() -> Stream {
    Stream::new(
        names::SHARES_REFUSED,
        "What Core refused and why, for the recorder and for a miner who asks. A week.",
    )
    .of([shares::Refused::FILTER])
    .bounded(7 * DAY, 2 * GIB, WhenFull::DropOldest)
}

fn claims() -> Stream {
    Stream {
        max_message_bytes: Some(NODE_MESSAGE_BYTES),
        ..Stream::new(
            names::BLOCK_CLAIMS,
            "Claims of solved blocks on their second road; hostile until checked. An hour: a \
             block that nobody submitted by then is stale.",
        )
        .of([blocks::Claimed::FILTER])
        .in_batches()
        .bounded(HOUR, 256 * MIB, WhenFull::DropOldest)
    }
}

fn blocks() -> Stream {
    Stream::new(
        names::BLOCKS,
        "Blocks with checked proof of work, what each bitcoind said, and the one outcome. For \
         ever: statements refer to them.",
    )
    .of([blocks::Solved::FILTER, blocks::Submitted::FILTER, blocks::Outcome::FILTER])
    .never_erased()
}

fn rounds() -> Stream {
    Stream::new(
        names::ROUNDS,
        "Slices and rounds: who did how much work. For ever: statements refer to them, and \
         anybody may check a line of theirs.",
    )
    .of([rounds::SliceLines::FILTER, rounds::SliceClosed::FILTER, rounds::Closed::FILTER])
    .never_erased()
}

fn verdicts() -> Stream {
    Stream::new(
        names::NODE_VERDICTS,
        "What Core decided about nodes, with reasons. For ever: node rewards refer to them.",
    )
    .of(["node.verdict.*"])
    .never_erased()
}

fn telemetry() -> Stream {
    Stream::new(
        names::NODE_TELEMETRY,
        "Samples of nodes, counts of ingresses and health of providers until they are recorded. \
         A week, newest first.",
    )
    .of([templates::Health::FILTER, shares::Rejected::FILTER, names::NODE_TELEMETRY_SAMPLE])
    .in_batches()
    .bounded(7 * DAY, 4 * GIB, WhenFull::DropOldest)
}

fn parked() -> Stream {
    Stream::new(
        names::PARKED,
        "Messages that a worker could not read, with the reason, until a person has looked. A \
         month.",
    )
    .of([parked::Parked::FILTER])
    .bounded(30 * DAY, GIB, WhenFull::DropOldest)
}

fn partition(partition: u16) -> Consumer {
    Consumer {
        stream: names::SHARES_SUBMITTED.to_owned(),
        name: names::consumer_name(partition),
        why: "One partition of lanes, verified by one verifier at a time, which makes this anew \
              when it takes over.",
        filters: vec![names::partition_filter(partition)],
        reader: Reader::Workers,
    }
}
