//! What was turned away, as counts per minute.

use crate::domain::miner::Miner;
use std::collections::BTreeMap;
use subjects::{
    BootEpoch, Lane, NodeId, Timestamp,
    shares::{MAX_COUNTS, Reason, Rejected, RejectedCount},
};

/// Most lines that a minute may have. What is beyond is counted in the metrics only: 10 000 miners
/// that all send wrong shares in one minute are one event, not 10 000.
const MAX_LINES: usize = 10_000;
/// Length of a minute, in milliseconds.
const MINUTE_MS: u64 = 60_000;

type Line = (String, String, Reason);

/// The counts of the minute that is running.
#[derive(Debug)]
pub struct Rejections {
    node: NodeId,
    lane: Lane,
    boot_epoch: BootEpoch,
    sequence: u64,
    counts: BTreeMap<Line, u64>,
}

impl Rejections {
    /// Nothing was turned away.
    pub const fn new(node: NodeId, lane: Lane, boot_epoch: BootEpoch) -> Self {
        Self { node, lane, boot_epoch, sequence: 0, counts: BTreeMap::new() }
    }

    /// Counts a share that was turned away.
    pub fn count(&mut self, miner: &Miner, reason: Reason) {
        let line = (miner.identity.clone(), miner.worker.clone(), reason);
        let room = self.counts.len() < MAX_LINES;
        if let Some(count) = self.counts.get_mut(&line) {
            *count = count.saturating_add(1);
        } else if room {
            self.counts.insert(line, 1);
        }
    }

    /// Ends the minute that `now` lies in: what is to be said of it.
    pub fn end_minute(&mut self, now: Timestamp) -> Vec<Rejected> {
        let lines: Vec<_> = std::mem::take(&mut self.counts).into_iter().collect();
        let minute = Timestamp(now.0 - now.0 % MINUTE_MS);
        lines.chunks(MAX_COUNTS).map(|lines| self.message(minute, lines)).collect()
    }

    fn message(&mut self, minute: Timestamp, lines: &[(Line, u64)]) -> Rejected {
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        let counts = lines.iter().map(|((identity, worker, reason), shares)| RejectedCount {
            identity: identity.clone(),
            worker: worker.clone(),
            reason: *reason,
            shares: *shares,
        });
        Rejected {
            node: self.node.clone(),
            lane: self.lane,
            boot_epoch: self.boot_epoch,
            sequence,
            minute,
            counts: counts.collect(),
        }
    }
}
