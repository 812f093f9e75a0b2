//! The rows of the book, as a fact says them.

use super::{MinerIndex, NodeIndex, WorkerIndex};
use subjects::{BlockHash, Timestamp, blocks, payouts, rounds};

/// Latest time that a row holds: the end of the year 9999. A stranger's clock may say more.
const LATEST: Timestamp = Timestamp(253_402_300_799_999);

/// An accepted share. Its id is the batch's incarnation, `sequence` and `index`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareRow {
    /// When its message was stored.
    pub stored_at: Timestamp,
    /// Sequence of its message.
    pub sequence: u64,
    /// Its position in the message.
    pub index: u16,
    /// Credited work is 2 to this power.
    pub work_log2: u8,
    /// Whose ingress took it.
    pub node: NodeIndex,
    /// The ingress's lane.
    pub lane: u16,
    /// The ingress's start.
    pub boot_epoch: u16,
    /// The miner's channel.
    pub channel: u32,
    /// The miner's number of it on the channel.
    pub channel_sequence: u32,
    /// Who is credited.
    pub miner: MinerIndex,
    /// Which of the miner's workers did it.
    pub worker: WorkerIndex,
    /// Height of the block that it could have become.
    pub height: u32,
    /// When the ingress took it, by the ingress's clock.
    pub taken_at: Timestamp,
    /// The eight most significant bytes of its hash.
    pub hash_top: u64,
    /// The block that it solves.
    pub block: Option<BlockHash>,
}

/// A share that Core refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// When its message was stored.
    pub stored_at: Timestamp,
    /// Sequence of its message.
    pub sequence: u64,
    /// Its position in the message.
    pub index: u16,
    /// Its position in the submitted batch.
    pub share: u32,
    /// The node of the subject.
    pub node: NodeIndex,
    /// The lane of the subject.
    pub lane: u16,
    /// The ingress's start, as claimed.
    pub boot_epoch: u16,
    /// The batch's number, as claimed.
    pub batch: u64,
    /// The channel, as claimed.
    pub channel: u32,
    /// The miner's number of it, as claimed.
    pub channel_sequence: u32,
    /// The identity, as claimed.
    pub identity: String,
    /// The worker's name, as claimed.
    pub worker: String,
    /// The reason's code.
    pub reason: &'static str,
}

/// Shares of one worker that an ingress turned away for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionRow {
    /// Minute in which the message was stored.
    pub minute: Timestamp,
    /// Sequence of its message.
    pub sequence: u64,
    /// Its position in the message.
    pub line: u16,
    /// Whose ingress it is.
    pub node: NodeIndex,
    /// The ingress's lane.
    pub lane: u16,
    /// The ingress's start.
    pub boot_epoch: u16,
    /// The miner's identity.
    pub identity: String,
    /// The worker's name.
    pub worker: String,
    /// The reason's code.
    pub reason: &'static str,
    /// How many shares.
    pub shares: u64,
}

/// A block of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// The fact.
    pub solved: blocks::Solved,
    /// When it was stored.
    pub stored_at: Timestamp,
}

/// How a block of ours ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The fact.
    pub outcome: blocks::Outcome,
    /// When it was stored.
    pub stored_at: Timestamp,
}

/// A round that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundRow {
    /// The fact.
    pub closed: rounds::Closed,
    /// Who found the block.
    pub finder: MinerIndex,
    /// When it was stored.
    pub stored_at: Timestamp,
}

/// A signed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// The fact.
    pub statement: payouts::Statement,
    /// What it says.
    pub body: payouts::BlockStatement,
    /// When it was stored.
    pub stored_at: Timestamp,
}

/// The rows of a batch, by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Accepted shares.
    pub shares: Vec<ShareRow>,
    /// What Core refused.
    pub refusals: Vec<RefusalRow>,
    /// What ingresses turned away.
    pub rejections: Vec<RejectionRow>,
    /// Solved blocks.
    pub blocks: Vec<BlockRow>,
    /// Outcomes of blocks.
    pub outcomes: Vec<OutcomeRow>,
    /// Closed rounds.
    pub rounds: Vec<RoundRow>,
    /// Signed statements.
    pub statements: Vec<StatementRow>,
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        let of_shares = self.shares.len() + self.refusals.len() + self.rejections.len();
        let of_blocks = self.blocks.len() + self.outcomes.len() + self.rounds.len();
        of_shares + of_blocks + self.statements.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A stranger's time, capped at [`LATEST`].
pub(super) fn capped(time: Timestamp) -> Timestamp {
    time.min(LATEST)
}
