//! What things are called, and where a subject is kept.

use std::time::Duration;
use subjects::{
    Lane, NodeId, Payload, ProviderId, UnknownSubject, blocks, parked, payouts, rounds, sessions,
    shares, templates,
};

/// Templates and tips: on a leaf and in NODES the last hours, in CORE and DATA all.
pub const TEMPLATES: &str = "TEMPLATES";
/// A leaf's shares that are on their way to the hub.
pub const OUT_SHARES: &str = "OUT_SHARES";
/// A leaf's other facts that are on their way to the hub.
pub const OUT_FACTS: &str = "OUT_FACTS";
/// Shares of all leaves, as they came.
pub const IN_SHARES: &str = "IN_SHARES";
/// Other facts of all leaves, as they came.
pub const IN_FACTS: &str = "IN_FACTS";
/// Signed commands to nodes.
pub const COMMANDS: &str = "COMMANDS";
/// Shares that wait for their verifier: a work queue.
pub const SHARES_SUBMITTED: &str = "SHARES_SUBMITTED";
/// Verified shares: the accounting record.
pub const SHARES: &str = "SHARES";
/// What was wrong with which share.
pub const SHARES_REFUSED: &str = "SHARES_REFUSED";
/// "I think this solves a block."
pub const BLOCK_CLAIMS: &str = "BLOCK_CLAIMS";
/// Blocks of ours with checked proof of work, and what became of them.
pub const BLOCKS: &str = "BLOCKS";
/// Slices and rounds.
pub const ROUNDS: &str = "ROUNDS";
/// What Core decided about nodes.
pub const NODE_VERDICTS: &str = "NODE_VERDICTS";
/// Samples and counts: of nodes, of ingresses, of template providers.
pub const NODE_TELEMETRY: &str = "NODE_TELEMETRY";
/// What nodes say happened, and their miners' sessions.
pub const NODE_EVENTS: &str = "NODE_EVENTS";
/// Messages that nobody could read.
pub const PARKED: &str = "PARKED";
/// Statements, invoices and payments.
pub const PAYOUTS: &str = "PAYOUTS";
/// Who did what, hash-chained.
pub const AUDIT: &str = "AUDIT";

/// Bucket: which ingress process holds which lane now. Key: lane, value: holder.
pub const LANES: &str = "LANES";
/// Bucket: how often an ingress has started on a lane. Key: lane, value: last epoch.
pub const BOOT_EPOCHS: &str = "BOOT_EPOCHS";
/// Bucket: which node a lane belongs to, for ever. Key: lane, value: node id.
pub const LANE_OWNERS: &str = "LANE_OWNERS";
/// Bucket: leases of workers. The first token of a key is the worker's name.
pub const LEASES: &str = "LEASES";
/// Object store: transactions of recent templates, named by template id.
pub const TEMPLATE_TXS: &str = "TEMPLATE_TXS";

/// Size of a chunk in [`TEMPLATE_TXS`], in bytes: far below the server's 8 MB, so that a block's
/// transactions do not hold up the connection that tips travel on.
pub const TEMPLATE_CHUNK_BYTES: usize = 128 * 1024;

/// How long a lease in [`LANES`] or [`LEASES`] lasts without being renewed.
///
/// Three renewals, one every two seconds, have to fail before somebody else takes over; a synced
/// write takes milliseconds, so only a stopped process or a cut link gets there.
pub const LEASE: Duration = Duration::from_secs(6);

/// Core-NATS requests of road 1: header and coinbase, straight to a provider's submitter.
pub const BLOCK_SUBMIT: &str = "block.submit.*";

/// Where the submitter beside `provider`'s bitcoind answers.
pub fn block_submit(provider: &ProviderId) -> String {
    format!("block.submit.{provider}")
}

/// In how many partitions [`SHARES_SUBMITTED`] is verified: the most verifiers that can share the
/// work. One core judges some hundred thousand shares a second, so 16 are enough for years.
pub const PARTITIONS: u16 = 16;

/// The durable consumer of one partition; there are [`PARTITIONS`], counted from 0.
pub fn consumer_name(partition: u16) -> String {
    format!("share-verifier-{partition}")
}

/// What one partition's consumer reads of [`SHARES_SUBMITTED`].
pub fn partition_filter(partition: u16) -> String {
    format!("shares.submitted.p.{partition}.*.*")
}

/// What all partitions' consumers read.
pub(crate) const ANY_PARTITION: &str = "shares.submitted.p.*.*.*";

/// The partition that the server puts a lane into: FNV-1a of the lane's token, modulo
/// [`PARTITIONS`] (NATS ADR-30, `partition`).
pub fn partition_of(lane: Lane) -> u16 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(PRIME);
    let hash = lane.to_string().bytes().fold(OFFSET, step);
    u16::try_from(hash % u32::from(PARTITIONS)).unwrap_or_default()
}

const STORED_FORM: &str = "shares.submitted.p.{partition}.{node}.{lane}";

/// Takes apart a subject as it is stored in [`SHARES_SUBMITTED`].
///
/// The node is the one whose link the message came through: the hub writes that token, whatever
/// the sender claimed.
pub fn parse_submitted(stored: &str) -> Result<(NodeId, Lane), UnknownSubject> {
    let refuse = || UnknownSubject { subject: stored.to_owned(), expected: STORED_FORM };
    let rest = stored.strip_prefix("shares.submitted.p.").ok_or_else(refuse)?;
    let (partition, address) = rest.split_once('.').ok_or_else(refuse)?;
    let (node, lane) = address.split_once('.').ok_or_else(refuse)?;
    let lane: Lane = lane.parse().map_err(|_| refuse())?;
    if partition != partition_of(lane).to_string() {
        return Err(refuse());
    }
    Ok((node.parse().map_err(|_| refuse())?, lane))
}

/// Which subjects CORE and MONEY keep where, in the order in which a share meets them.
pub fn routes() -> Vec<(&'static str, &'static str)> {
    vec![
        (templates::New::FILTER, TEMPLATES),
        (templates::Tip::FILTER, TEMPLATES),
        (templates::Health::FILTER, NODE_TELEMETRY),
        (sessions::Changed::FILTER, NODE_EVENTS),
        (shares::Submitted::FILTER, SHARES_SUBMITTED),
        (shares::Rejected::FILTER, NODE_TELEMETRY),
        (shares::Accepted::FILTER, SHARES),
        (shares::Refused::FILTER, SHARES_REFUSED),
        (blocks::Claimed::FILTER, BLOCK_CLAIMS),
        (blocks::Solved::FILTER, BLOCKS),
        (blocks::Submitted::FILTER, BLOCKS),
        (blocks::Outcome::FILTER, BLOCKS),
        (rounds::SliceLines::FILTER, ROUNDS),
        (rounds::SliceClosed::FILTER, ROUNDS),
        (rounds::Closed::FILTER, ROUNDS),
        (payouts::Statement::FILTER, PAYOUTS),
        (parked::Parked::FILTER, PARKED),
    ]
}

/// Which subjects the leaf of `node` keeps where.
pub fn leaf_routes(node: &NodeId) -> Vec<(String, &'static str)> {
    vec![
        (format!("sessions.{node}.*"), OUT_FACTS),
        (format!("shares.submitted.{node}.*"), OUT_SHARES),
        (format!("shares.rejected.{node}.*"), OUT_FACTS),
        (format!("blocks.claimed.{node}"), OUT_FACTS),
    ]
}

/// The stream that keeps `subject`, a subject or a filter; DATA calls its mirror the same.
pub fn stream_of(subject: &str) -> Option<&'static str> {
    let overlaps = |(filter, stream)| subjects_overlap(filter, subject).then_some(stream);
    routes().into_iter().find_map(overlaps)
}

/// Whether some concrete subject matches both filters.
pub(crate) fn subjects_overlap(left: &str, right: &str) -> bool {
    let (mut left, mut right) = (left.split('.'), right.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(one), Some(other)) if one == other || one == "*" || other == "*" => {}
            _ => return false,
        }
    }
}

/// Whether every subject that matches `inner` matches `outer`.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_covers_what_it_matches() {
        assert!(covers("a.*.*", "a.b.*"));
        assert!(covers("a.>", "a.b.*"));
        assert!(covers("a.b", "a.b"));
        assert!(!covers("a.b.*", "a.*.*"));
        assert!(!covers("a.*", "a.>"));
        assert!(!covers("a.*", "a"));
    }

    #[test]
    fn a_stored_subject_is_read_back_and_nothing_else_is() {
        let lane = Lane(300);
        let stored = format!("shares.submitted.p.{}.n1.300", partition_of(lane));
        assert_eq!(parse_submitted(&stored), Ok(("n1".parse().unwrap(), lane)));
        for other in [
            "shares.submitted.n1.300",
            "shares.submitted.p.99.n1.300",
            "shares.submitted.p.1.n1",
            "shares.submitted.p.1.N1.300",
            "in.n1.shares.submitted.n1.300",
            "",
        ] {
            assert!(parse_submitted(other).is_err(), "{other}");
        }
    }

    #[test]
    fn lanes_spread_over_all_partitions() {
        let mut lanes = vec![0_u32; usize::from(PARTITIONS)];
        for lane in 0..=u16::MAX {
            lanes[usize::from(partition_of(Lane(lane)))] += 1;
        }
        assert!(lanes.iter().all(|count| (3_800..4_400).contains(count)), "{lanes:?}");
    }

    #[test]
    fn a_subject_or_filter_leads_to_its_stream() {
        assert_eq!(stream_of("shares.accepted.n1.300"), Some(SHARES));
        assert_eq!(stream_of("shares.accepted.>"), Some(SHARES));
        assert_eq!(stream_of("templates.tip.*"), Some(TEMPLATES));
        assert_eq!(stream_of("templates.health.main"), Some(NODE_TELEMETRY));
        assert_eq!(stream_of("payouts.statement.>"), Some(PAYOUTS));
        assert_eq!(stream_of("rounds.progress"), None);
        assert_eq!(stream_of("shares"), None);
    }
}
