//! The jobs of a channel: which may still be worked on, and which were.

use mining::WorkTemplate;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use subjects::{Exponent, shares, shares::Reason};

/// How long after its successor a job's shares are still taken: what slow hardware was measured to
/// need, which finishes what it has begun.
pub const RETENTION: Duration = Duration::from_secs(16);
/// Most jobs on the current tip whose shares are taken, however fast they followed one another.
pub const MAX_JOBS: usize = 64;

/// A job that was sent.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id on the channel.
    pub id: u32,
    /// What it was made from.
    pub template: Arc<WorkTemplate>,
    /// The exponent that its coinbase commits to, whatever the channel's is by now.
    pub exponent: Exponent,
    /// Version bits that may be rolled on it.
    pub version_mask: u32,
    /// Its merkle root, on standard channels whose miner was told it.
    pub merkle_root: Option<Box<[u8; 32]>>,
    /// How batches name it, made with the first share.
    pub record: Option<Arc<shares::Job>>,
}

/// A job on the tip.
#[derive(Debug)]
struct Active {
    job: Job,
    started_at: Duration,
}

/// The jobs of one channel.
#[derive(Debug, Default)]
pub struct Jobs {
    /// The least and the greatest id that were ever given, once one was.
    sent: Option<(u32, u32)>,
    /// Jobs on the tip, newest last.
    active: VecDeque<Active>,
    /// The job that waits for its tip.
    future: Option<Job>,
}

impl Jobs {
    /// No jobs, with ids that none of these had.
    pub const fn succeed(&self) -> Self {
        Self { sent: self.sent, active: VecDeque::new(), future: None }
    }

    /// An id that no other job of the channel ever had. Ids count from 1, because firmware takes 0
    /// for none.
    pub fn next_id(&self) -> u32 {
        self.sent.map_or(1, |(_, last)| last.saturating_add(1))
    }

    /// A job that was started at once, at `now`.
    pub fn start(&mut self, job: Job, now: Duration) {
        self.note(job.id);
        self.active.push_back(Active { job, started_at: now });
        self.forget(now);
    }

    /// A job that waits for its tip, in the place of one that waited before.
    pub fn wait(&mut self, job: Job) {
        self.note(job.id);
        self.future = Some(job);
    }

    /// The job that waits for its tip.
    pub const fn future(&self) -> Option<&Job> {
        self.future.as_ref()
    }

    /// The job that the miner works on.
    pub fn current(&self) -> Option<&Job> {
        self.active.back().map(|active| &active.job)
    }

    /// The tip has come, at `now`: the waiting job starts, all others are over. Returns the started
    /// job's id.
    pub fn activate(&mut self, now: Duration) -> Option<u32> {
        let job = self.future.take()?;
        let id = job.id;
        self.active.clear();
        self.active.shrink_to(KEPT_CAPACITY);
        self.active.push_back(Active { job, started_at: now });
        Some(id)
    }

    /// The job that a share names which came at `now`.
    ///
    /// # Errors
    ///
    /// `StaleShare` for one that was sent but is over, `InvalidJobId` for one that was never sent
    /// or waits for its tip.
    pub fn find(&self, id: u32, now: Duration) -> Result<&Job, Reason> {
        let retained = self.active.iter().skip(self.over(now));
        let mut jobs = retained.map(|active| &active.job).rev();
        jobs.find(|job| job.id == id).ok_or_else(|| self.unknown(id))
    }

    /// The same, to be changed.
    ///
    /// # Errors
    ///
    /// As [`Jobs::find`].
    pub fn find_mut(&mut self, id: u32, now: Duration) -> Result<&mut Job, Reason> {
        let (unknown, over) = (self.unknown(id), self.over(now));
        let retained = self.active.iter_mut().skip(over);
        retained.map(|active| &mut active.job).rev().find(|job| job.id == id).ok_or(unknown)
    }

    /// How many of the oldest jobs are over: their successors started long ago.
    fn over(&self, now: Duration) -> usize {
        let successors = self.active.iter().skip(1);
        let is_old = |next: &&Active| now.saturating_sub(next.started_at) >= RETENTION;
        successors.take_while(is_old).count()
    }

    fn forget(&mut self, now: Duration) {
        let surplus = self.active.len().saturating_sub(MAX_JOBS);
        self.active.drain(..self.over(now).max(surplus));
    }

    fn note(&mut self, id: u32) {
        let (first, last) = self.sent.unwrap_or((id, id));
        self.sent = Some((first.min(id), last.max(id)));
    }

    /// An id in between that was another channel's counts as one of ours that is over.
    fn unknown(&self, id: u32) -> Reason {
        let sent = self.sent.is_some_and(|(first, last)| (first..=last).contains(&id));
        let waits = self.future.as_ref().is_some_and(|future| future.id == id);
        if sent && !waits { Reason::StaleShare } else { Reason::InvalidJobId }
    }
}

/// Jobs that a channel keeps room for over a tip.
const KEPT_CAPACITY: usize = 4;
