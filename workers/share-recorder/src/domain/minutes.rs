//! Sums by the minute, so that a dashboard reads thousands of rows instead of billions.

use super::{MinerIndex, NodeIndex, Parties, WorkerIndex};
use std::collections::BTreeMap;
use subjects::Timestamp;

/// A minute in milliseconds.
const MINUTE_MS: u64 = 60_000;

/// What was done in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Accepted shares.
    pub shares: u64,
    /// Sum of their work, in nominal hashes.
    pub work: u128,
    /// The smallest of their hashes' top eight bytes; the greatest number while there are none.
    pub best_hash_top: u64,
    /// Shares that Core refused.
    pub refused: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { shares: 0, work: 0, best_hash_top: u64::MAX, refused: 0 }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.shares = self.shares.saturating_add(other.shares);
        self.work = self.work.saturating_add(other.work);
        self.best_hash_top = self.best_hash_top.min(other.best_hash_top);
        self.refused = self.refused.saturating_add(other.refused);
    }
}

/// The sums of one batch. A minute is that in which a message was stored, which is the same
/// whenever the stream is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minutes {
    workers: BTreeMap<(Timestamp, WorkerIndex), Tally>,
    lanes: BTreeMap<(Timestamp, NodeIndex, u16), Tally>,
}

impl Minutes {
    /// Adds an accepted share.
    pub fn share(
        &mut self,
        stored_at: Timestamp,
        lane: (NodeIndex, u16),
        worker: WorkerIndex,
        work: u128,
        hash_top: u64,
    ) {
        let one = Tally { shares: 1, work, best_hash_top: hash_top, refused: 0 };
        let minute = minute(stored_at);
        self.workers.entry((minute, worker)).or_default().add(one);
        self.lanes.entry((minute, lane.0, lane.1)).or_default().add(one);
    }

    /// Adds refused shares. They are the lane's alone: whom they name, nobody has checked.
    pub fn refused(&mut self, stored_at: Timestamp, lane: (NodeIndex, u16), shares: u64) {
        let refused = Tally { refused: shares, ..Tally::default() };
        self.lanes.entry((minute(stored_at), lane.0, lane.1)).or_default().add(refused);
    }

    /// Sums by worker.
    pub fn by_worker(&self) -> &BTreeMap<(Timestamp, WorkerIndex), Tally> {
        &self.workers
    }

    /// Sums by miner.
    pub fn by_miner(&self, parties: &Parties) -> BTreeMap<(Timestamp, MinerIndex), Tally> {
        let mut sums: BTreeMap<_, Tally> = BTreeMap::new();
        for ((minute, worker), tally) in &self.workers {
            if let Some((miner, _)) = parties.workers().get(worker.0) {
                sums.entry((*minute, *miner)).or_default().add(*tally);
            }
        }
        sums
    }

    /// Sums by lane.
    pub fn by_lane(&self) -> &BTreeMap<(Timestamp, NodeIndex, u16), Tally> {
        &self.lanes
    }

    /// Sums by node.
    pub fn by_node(&self) -> BTreeMap<(Timestamp, NodeIndex), Tally> {
        let mut sums: BTreeMap<_, Tally> = BTreeMap::new();
        for ((minute, node, _), tally) in &self.lanes {
            sums.entry((*minute, *node)).or_default().add(*tally);
        }
        sums
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

/// Start of the minute.
pub(super) fn minute(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_sub(time.0 % MINUTE_MS))
}
