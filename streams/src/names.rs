//! What things are called, and where a subject is kept.

use std::time::Duration;
use subjects::{
    Lane, NodeId, Payload, ProviderId, Subject, UnknownSubject, blocks, parked, payouts, rounds,
    sessions, shares, templates,
};

/// Templates and tips: on a leaf and in NODES the last hours, in CORE and DATA all.
pub const TEMPLATES: &str = "TEMPLATES";
/// A leaf's shares that are on their way to the hub.
pub const OUT_SHARES: &str = "OUT_SHARES";
/// A leaf's other facts that are on their way to the hub.
pub const OUT_FACTS: &str = "OUT_FACTS";
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
/// Bucket: which nodes have a leaf that Core reads. Key: node id.
pub const LEAVES: &str = "LEAVES";
/// Bucket: how far Core has read of each leaf. Key: node id and stream of the leaf, with a dot
/// between them.
pub const LEAF_POSITIONS: &str = "LEAF_POSITIONS";
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

/// The partition that the server puts a lane into.
pub fn partition_of(lane: Lane) -> u16 {
    partition(&lane.to_string())
}

/// The partition of a node: its leaf is read by whoever holds that.
pub fn partition_of_node(node: &NodeId) -> u16 {
    partition(node.as_str())
}

/// FNV-1a of a token, modulo [`PARTITIONS`] (NATS ADR-30, `partition`).
fn partition(token: &str) -> u16 {
    const OFFSET: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(PRIME);
    let hash = token.bytes().fold(OFFSET, step);
    u16::try_from(hash % u32::from(PARTITIONS)).unwrap_or_default()
}

const STORED_FORM: &str = "shares.submitted.p.{partition}.{node}.{lane}";

/// Takes apart a subject as it is stored in [`SHARES_SUBMITTED`].
///
/// The node is the one whose link the message came through: Core's reader of leaves writes that
/// token, whatever the sender claimed.
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

/// Largest message of a node in bytes, headers included: 256 shares have about 50 kB, a claim
/// 35 kB.
pub const NODE_MESSAGE_BYTES: u32 = 1024 * 1024;

/// Samples of nodes, as their agents say them.
pub(crate) const NODE_TELEMETRY_SAMPLE: &str = "node.telemetry.*";
/// What nodes say happened.
pub(crate) const NODE_EVENT: &str = "node.event.*";
/// What became of commands to nodes.
pub(crate) const NODE_COMMAND_DONE: &str = "node.command.done.*";

/// A kind of message that a node says, in the order in which a share meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its subjects; the first wildcard is the node.
    pub(crate) filter: &'static str,
    /// Its type; empty for what has no type yet.
    pub(crate) kind: &'static str,
    /// The leaf's stream that keeps it for Core.
    pub(crate) kept_in: &'static str,
}

/// All that a node may say.
pub(crate) const UPLINK: [Said; 7] = [
    said(sessions::Changed::FILTER, sessions::Changed::TYPE, OUT_FACTS),
    said(shares::Submitted::FILTER, shares::Submitted::TYPE, OUT_SHARES),
    said(shares::Rejected::FILTER, shares::Rejected::TYPE, OUT_FACTS),
    said(blocks::Claimed::FILTER, blocks::Claimed::TYPE, OUT_FACTS),
    said(NODE_TELEMETRY_SAMPLE, "", OUT_FACTS),
    said(NODE_EVENT, "", OUT_FACTS),
    said(NODE_COMMAND_DONE, "", OUT_FACTS),
];

const fn said(filter: &'static str, kind: &'static str, kept_in: &'static str) -> Said {
    Said { filter, kind, kept_in }
}

/// What a message that came over the link of a node is called in Core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Its subject, with that node's name in it, whatever the sender claimed.
    pub subject: Subject,
    /// Its type; empty for what has no type yet.
    pub kind: &'static str,
    /// The stream of CORE that keeps it.
    pub stream: &'static str,
}

/// Renames a message that came over the link of `node` under the subject `claimed`.
///
/// A leaf can claim any subject for a message that it delivers, so the subject must not say who
/// sent it; the link does.
///
/// # Errors
/// When a node has nothing of that kind to say.
pub fn uplink(node: &NodeId, claimed: &str) -> Result<Uplink, UnknownSubject> {
    const EXPECTED: &str = "one of what a node says, e.g. `shares.submitted.{node}.{lane}`";
    let refuse = || UnknownSubject { subject: claimed.to_owned(), expected: EXPECTED };
    let said = UPLINK.iter().find(|said| covers(said.filter, claimed)).ok_or_else(refuse)?;
    // Of the wildcards the first is the node, the second, where there is one, a lane.
    let named = said.filter.replacen('*', node.as_str(), 1);
    let subject = match named.strip_suffix('*') {
        Some(head) => {
            let lane = claimed.rsplit('.').next().unwrap_or_default();
            let lane: Lane = lane.parse().map_err(|_| refuse())?;
            format!("{head}{lane}")
        }
        None => named,
    };
    let subject = subject.parse().map_err(|_| refuse())?;
    let stream = stream_of(said.filter).ok_or_else(refuse)?;
    Ok(Uplink { subject, kind: said.kind, stream })
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
        (NODE_TELEMETRY_SAMPLE, NODE_TELEMETRY),
        (NODE_EVENT, NODE_EVENTS),
        (NODE_COMMAND_DONE, NODE_EVENTS),
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
    let own = |said: &Said| (said.filter.replacen('*', node.as_str(), 1), said.kept_in);
    UPLINK.iter().map(own).collect()
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
    fn what_comes_over_a_link_gets_the_name_of_its_node() {
        let n1 = "n1".parse().unwrap();
        let as_n1 = |claimed| uplink(&n1, claimed).map(|one| (one.subject.to_string(), one.stream));
        for (claimed, subject, stream) in [
            ("shares.submitted.n1.256", "shares.submitted.n1.256", SHARES_SUBMITTED),
            ("shares.submitted.n2.258", "shares.submitted.n1.258", SHARES_SUBMITTED),
            ("shares.rejected.core.1", "shares.rejected.n1.1", NODE_TELEMETRY),
            ("sessions.n2.258", "sessions.n1.258", NODE_EVENTS),
            ("blocks.claimed.n2", "blocks.claimed.n1", BLOCK_CLAIMS),
            ("node.telemetry.n2", "node.telemetry.n1", NODE_TELEMETRY),
            ("node.event.n2", "node.event.n1", NODE_EVENTS),
            ("node.command.done.n2", "node.command.done.n1", NODE_EVENTS),
        ] {
            assert_eq!(as_n1(claimed), Ok((subject.to_owned(), stream)));
        }
        for claimed in [
            "shares.accepted.n1.256",
            "shares.submitted.n1",
            "shares.submitted.n1.256.x",
            "shares.submitted.n1.>",
            "shares.submitted.p.1.n1.256",
            "shares.submitted.n1.2 56",
            "shares.submitted.n1.65536",
            "shares.submitted.n1.0256",
            "node.verdict.n1",
            "node.command.n1",
            "templates.new.main",
            "$JS.API.STREAM.DELETE.SHARES",
            "",
        ] {
            assert!(as_n1(claimed).is_err(), "{claimed}");
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
    fn nodes_spread_over_all_partitions() {
        let mut nodes = vec![0_u32; usize::from(PARTITIONS)];
        for number in 0..10_000 {
            let node = format!("node-{number}").parse().unwrap();
            nodes[usize::from(partition_of_node(&node))] += 1;
        }
        assert!(nodes.iter().all(|count| (400..900).contains(count)), "{nodes:?}");
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
