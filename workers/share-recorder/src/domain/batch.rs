//! A run of one stream that goes into the book in one transaction.

use super::{
    BlockRow, Feed, MinerIndex, Minutes, OutcomeRow, Parties, RefusalRow, RejectionRow, RoundRow,
    Rows, ShareRow, StatementRow, minutes::minute, parties::plain, rows::capped,
};
use std::collections::BTreeMap;
use subjects::{DecodeError, Payload, Timestamp, blocks, payouts, rounds, shares};

/// Messages of one stream, from after a position to a position, and what they add to the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    feed: Feed,
    incarnation: u64,
    after: u64,
    through: u64,
    newest: Option<Timestamp>,
    parties: Parties,
    rows: Rows,
    minutes: Minutes,
}

/// A message that does not follow the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequence {sequence} after {through}")]
pub struct OutOfOrder {
    /// Where the batch ended.
    pub through: u64,
    /// What came.
    pub sequence: u64,
}

/// Why a message adds nothing to the book.
#[derive(Debug, thiserror::Error)]
pub enum NotAdded {
    /// The reader lost its place; nothing has changed.
    #[error(transparent)]
    OutOfOrder(#[from] OutOfOrder),
    /// Nobody can read it. The position moves past it nevertheless, so that the stream goes on.
    #[error("the message cannot be read")]
    Unreadable(#[from] DecodeError),
}

/// A message as the stream holds it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Its sequence.
    pub sequence: u64,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// Its type.
    pub kind: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

impl Batch {
    /// An empty batch that continues the book after sequence `after` of the stream that was
    /// created at `incarnation`.
    pub fn new(feed: Feed, incarnation: u64, after: u64) -> Self {
        Self {
            feed,
            incarnation,
            after,
            through: after,
            newest: None,
            parties: Parties::default(),
            rows: Rows::default(),
            minutes: Minutes::default(),
        }
    }

    /// The batch that follows this one.
    #[must_use]
    pub fn following(&self) -> Self {
        Self::new(self.feed, self.incarnation, self.through)
    }

    /// What is recorded.
    pub const fn feed(&self) -> Feed {
        self.feed
    }

    /// When the stream was created, in milliseconds since 1970.
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The position that the book must have for this batch to be next.
    pub const fn after(&self) -> u64 {
        self.after
    }

    /// The position that the book has afterwards.
    pub const fn through(&self) -> u64 {
        self.through
    }

    /// When the latest of its messages was stored.
    pub const fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Who appears in it.
    pub const fn parties(&self) -> &Parties {
        &self.parties
    }

    /// Its rows.
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Its sums by the minute.
    pub const fn minutes(&self) -> &Minutes {
        &self.minutes
    }

    /// Whether recording it would move nothing.
    pub const fn is_empty(&self) -> bool {
        self.after == self.through
    }

    /// Adds the next message.
    ///
    /// # Errors
    ///
    /// When it does not follow the ones before it, or cannot be read.
    pub fn add(&mut self, heard: Heard<'_>) -> Result<(), NotAdded> {
        if heard.sequence <= self.through {
            let (through, sequence) = (self.through, heard.sequence);
            return Err(OutOfOrder { through, sequence }.into());
        }
        self.through = heard.sequence;
        self.newest = self.newest.max(Some(heard.stored_at));
        Ok(self.read(heard)?)
    }

    fn read(&mut self, heard: Heard<'_>) -> Result<(), DecodeError> {
        match heard.kind {
            shares::Accepted::TYPE => self.accepted(heard, &shares::Accepted::decode(heard.body)?),
            shares::Refused::TYPE => self.refused(heard, shares::Refused::decode(heard.body)?),
            shares::Rejected::TYPE => self.rejected(heard, shares::Rejected::decode(heard.body)?),
            blocks::Solved::TYPE => {
                let solved = blocks::Solved::decode(heard.body)?;
                self.rows.blocks.push(BlockRow { solved, stored_at: heard.stored_at });
            }
            blocks::Outcome::TYPE => {
                let outcome = blocks::Outcome::decode(heard.body)?;
                self.rows.outcomes.push(OutcomeRow { outcome, stored_at: heard.stored_at });
            }
            rounds::Closed::TYPE => self.round(heard, rounds::Closed::decode(heard.body)?),
            payouts::Statement::TYPE => {
                let statement = payouts::Statement::decode(heard.body)?;
                let (body, stored_at) = (statement.body()?, heard.stored_at);
                self.rows.statements.push(StatementRow { statement, body, stored_at });
            }
            other => return Err(DecodeError::field("type", format!("`{other}` is not recorded"))),
        }
        Ok(())
    }

    fn accepted(&mut self, heard: Heard<'_>, message: &shares::Accepted) {
        let node = self.parties.node(&message.node);
        let jobs: Vec<MinerIndex> = message
            .jobs
            .iter()
            .map(|job| self.parties.miner(&job.miner, &job.job.identity))
            .collect();
        let mut workers = BTreeMap::new();
        for (index, share) in (0_u16..).zip(&message.shares) {
            let Some((job, miner)) = message.job_of(share).zip(at(&jobs, share.share.job)) else {
                continue; // decoding has checked that every share has its job
            };
            let worker = *workers
                .entry((miner, share.share.worker))
                .or_insert_with(|| self.parties.worker(miner, message.worker_of(share)));
            let work = share.work.to_u128();
            let lane = (node, message.lane.0);
            self.minutes.share(heard.stored_at, lane, worker, work, share.hash_top);
            self.rows.shares.push(ShareRow {
                stored_at: heard.stored_at,
                sequence: heard.sequence,
                index,
                work_log2: log2(work),
                node,
                lane: message.lane.0,
                boot_epoch: message.boot_epoch.0,
                channel: share.share.channel,
                channel_sequence: share.share.sequence,
                miner,
                worker,
                height: job.height,
                taken_at: capped(message.opened_at.plus_millis(share.share.after_ms.into())),
                hash_top: share.hash_top,
                block: share.block,
            });
        }
    }

    fn refused(&mut self, heard: Heard<'_>, message: shares::Refused) {
        let node = self.parties.node(&message.node);
        let count = u64::try_from(message.refusals.len()).unwrap_or(u64::MAX);
        self.minutes.refused(heard.stored_at, (node, message.lane.0), count);
        let rows = (0_u16..).zip(message.refusals).map(|(index, refusal)| RefusalRow {
            stored_at: heard.stored_at,
            sequence: heard.sequence,
            index,
            share: refusal.index,
            node,
            lane: message.lane.0,
            boot_epoch: message.boot_epoch.0,
            batch: message.batch,
            channel: refusal.channel,
            channel_sequence: refusal.sequence,
            identity: plain(&refusal.identity),
            worker: plain(&refusal.worker),
            reason: refusal.reason.code(),
        });
        self.rows.refusals.extend(rows);
    }

    fn rejected(&mut self, heard: Heard<'_>, message: shares::Rejected) {
        let node = self.parties.node(&message.node);
        let rows = (0_u16..).zip(message.counts).map(|(line, count)| RejectionRow {
            minute: minute(heard.stored_at),
            sequence: heard.sequence,
            line,
            node,
            lane: message.lane.0,
            boot_epoch: message.boot_epoch.0,
            identity: plain(&count.identity),
            worker: plain(&count.worker),
            reason: count.reason.code(),
            shares: count.shares,
        });
        self.rows.rejections.extend(rows);
    }

    fn round(&mut self, heard: Heard<'_>, closed: rounds::Closed) {
        let finder = self.parties.miner(&closed.block.finder, &closed.block.identity);
        self.rows.rounds.push(RoundRow { closed, finder, stored_at: heard.stored_at });
    }
}

fn at(jobs: &[MinerIndex], position: u32) -> Option<MinerIndex> {
    jobs.get(usize::try_from(position).ok()?).copied()
}

/// Work is a power of two, at most 2^127.
fn log2(work: u128) -> u8 {
    u8::try_from(work.checked_ilog2().unwrap_or_default()).unwrap_or(u8::MAX)
}
