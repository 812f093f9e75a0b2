//! The lane's batches: shares of all connections in the order in which they were taken, packed and
//! stored one batch after another.
//!
//! One batch is in flight; the next one collects meanwhile. So the order of the stream is the order
//! of taking, and a share is stored only when all that were taken before it are.

use crate::domain::miner::Miner;
use std::{collections::VecDeque, sync::Arc};
use subjects::{
    BootEpoch, Lane as LaneNumber, NodeId, Timestamp,
    shares::{Extranonce, Job, MAX_SHARES, Share, Submitted},
};

/// A share that was judged good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many times the tip had changed when its job's tip became current.
    pub tips: u64,
    /// What it was mined on.
    pub job: Arc<Job>,
    /// Whose it is.
    pub miner: Arc<Miner>,
    /// The channel's number.
    pub channel: u32,
    /// The miner's sequence number on the channel.
    pub sequence: u32,
    /// What the miner rolled after the prefix.
    pub extranonce: Extranonce,
    /// Time in the header, in seconds since 1970.
    pub ntime: u32,
    /// Nonce in the header.
    pub nonce: u32,
    /// Version in the header.
    pub version: u32,
    /// When it was read.
    pub at: Timestamp,
}

/// The lane does not take the share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The lane has taken a share on a later tip. Core closes a tip for a lane with the first share
    /// on the next, so this one could not be credited any more.
    #[error("the lane has moved on to a later tip")]
    TipClosed,
    /// As many shares wait as may; the caller holds it and reads no further.
    #[error("as many shares wait for the bus as may")]
    Full,
}

/// A batch was reported stored that is not in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("batch {0} is not in flight")]
pub struct NotInFlight(pub u64);

/// The shares of one lane on their way to the bus. `R` is where to report that a share is stored.
#[derive(Debug)]
pub struct Lane<R> {
    node: NodeId,
    lane: LaneNumber,
    boot_epoch: BootEpoch,
    capacity: usize,
    next_batch: u64,
    tips: u64,
    open: VecDeque<(R, Taken)>,
    in_flight: Option<(u64, Vec<R>)>,
}

impl<R> Lane<R> {
    /// A lane at the start of a boot epoch, with room for `capacity` shares that wait.
    pub fn new(node: NodeId, lane: LaneNumber, boot_epoch: BootEpoch, capacity: usize) -> Self {
        Self {
            node,
            lane,
            boot_epoch,
            capacity,
            next_batch: 0,
            tips: 0,
            open: VecDeque::new(),
            in_flight: None,
        }
    }

    /// Takes a share.
    ///
    /// # Errors
    ///
    /// When its tip is closed or there is no room; nothing has changed then, and the share is
    /// handed back.
    pub fn offer(&mut self, reply: R, taken: Taken) -> Result<(), (NotTaken, Taken)> {
        if taken.tips < self.tips {
            return Err((NotTaken::TipClosed, taken));
        }
        if self.len() >= self.capacity {
            return Err((NotTaken::Full, taken));
        }
        self.tips = taken.tips;
        self.open.push_back((reply, taken));
        Ok(())
    }

    /// Shares that are not yet stored.
    pub fn len(&self) -> usize {
        self.open.len() + self.in_flight.as_ref().map_or(0, |(_, replies)| replies.len())
    }

    /// Shares that are in no batch yet.
    pub fn waiting(&self) -> usize {
        self.open.len()
    }

    /// Whether every share that was taken is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next batch to publish; `None` while one is in flight or no share waits. Until it is
    /// stored, [`Lane::in_flight`] is its number.
    pub fn next_batch(&mut self) -> Option<Submitted> {
        if self.in_flight.is_some() || self.open.is_empty() {
            return None;
        }
        let count = self.open.len().min(MAX_SHARES);
        let (replies, shares): (Vec<R>, Vec<Taken>) = self.open.drain(..count).unzip();
        let batch = self.next_batch;
        self.next_batch = batch.saturating_add(1);
        self.in_flight = Some((batch, replies));
        Some(self.pack(batch, shares))
    }

    /// The batch that is being published.
    pub fn in_flight(&self) -> Option<u64> {
        self.in_flight.as_ref().map(|(batch, _)| *batch)
    }

    /// The bus has stored `batch`: whom to tell, one entry per share, in the order of taking.
    ///
    /// # Errors
    ///
    /// When that batch is not in flight; nothing has changed then.
    pub fn stored(&mut self, batch: u64) -> Result<Vec<R>, NotInFlight> {
        match self.in_flight.take() {
            Some((in_flight, replies)) if in_flight == batch => Ok(replies),
            other => {
                self.in_flight = other;
                Err(NotInFlight(batch))
            }
        }
    }

    fn pack(&self, batch: u64, taken: Vec<Taken>) -> Submitted {
        let opened_at = taken.iter().map(|share| share.at).min().unwrap_or_default();
        let (mut jobs, mut workers) = (Places::<Job>::default(), Places::<Miner>::default());
        let shares = taken.into_iter().map(|taken| Share {
            job: jobs.place(&taken.job),
            channel: taken.channel,
            sequence: taken.sequence,
            extranonce: taken.extranonce,
            ntime: taken.ntime,
            nonce: taken.nonce,
            version: taken.version,
            worker: workers.place(&taken.miner),
            after_ms: u32::try_from(taken.at.millis_since(opened_at)).unwrap_or(u32::MAX),
        });
        Submitted {
            node: self.node.clone(),
            lane: self.lane,
            boot_epoch: self.boot_epoch,
            batch,
            opened_at,
            shares: shares.collect(),
            jobs: jobs.entries().map(Job::clone).collect(),
            workers: workers.entries().map(|miner| miner.worker.clone()).collect(),
        }
    }
}

/// A list without repetitions, by identity of the allocation: one channel's job, one channel's
/// miner. A batch has at most [`MAX_SHARES`] of either.
#[derive(Debug)]
struct Places<T> {
    entries: Vec<Arc<T>>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<T> Places<T> {
    /// The position of `entry`, which is put at the end when it is not there. The search begins
    /// at the end: shares of a channel come in runs.
    fn place(&mut self, entry: &Arc<T>) -> u32 {
        let found = self.entries.iter().rposition(|other| Arc::ptr_eq(other, entry));
        let place = found.unwrap_or_else(|| {
            self.entries.push(Arc::clone(entry));
            self.entries.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    fn entries(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(AsRef::as_ref)
    }
}
