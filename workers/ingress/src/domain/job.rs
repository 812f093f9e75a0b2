//! The jobs of a channel: which may still be worked on, and which were.

use mining::WorkTemplate;
use std::{collections::VecDeque, sync::Arc};
use subjects::{Exponent, shares, shares::Reason};

/// Jobs on the current tip whose shares are still taken.
pub const MAX_JOBS: usize = 8;

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
    /// Its merkle root, on standard channels.
    pub merkle_root: Option<Box<[u8; 32]>>,
    /// How batches name it, made with the first share.
    pub record: Option<Arc<shares::Job>>,
}

/// The jobs of one channel.
#[derive(Debug)]
pub struct Jobs {
    next_id: u32,
    /// Jobs on the tip, newest last.
    active: VecDeque<Job>,
    /// The job that waits for its tip.
    future: Option<Job>,
}

impl Default for Jobs {
    fn default() -> Self {
        // Ids count from 1, because firmware takes 0 for none.
        Self { next_id: 1, active: VecDeque::new(), future: None }
    }
}

impl Jobs {
    /// No jobs, with ids that none of these had.
    pub const fn succeed(&self) -> Self {
        Self { next_id: self.next_id, active: VecDeque::new(), future: None }
    }

    /// An id that no other job of the channel ever had.
    pub const fn next_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.saturating_add(1);
        id
    }

    /// A job that was started at once.
    pub fn start(&mut self, job: Job) {
        if self.active.len() >= MAX_JOBS {
            self.active.pop_front();
        }
        self.active.push_back(job);
    }

    /// A job that waits for its tip, in the place of one that waited before.
    pub fn wait(&mut self, job: Job) {
        self.future = Some(job);
    }

    /// The job that waits for its tip.
    pub const fn future(&self) -> Option<&Job> {
        self.future.as_ref()
    }

    /// The job that the miner works on.
    pub fn current(&self) -> Option<&Job> {
        self.active.back()
    }

    /// The tip has come: the waiting job starts, all others are over. Returns the started job's id.
    pub fn activate(&mut self) -> Option<u32> {
        let job = self.future.take()?;
        let id = job.id;
        self.active.clear();
        self.active.push_back(job);
        Some(id)
    }

    /// The job that a share names.
    ///
    /// # Errors
    ///
    /// `StaleShare` for one that was sent but is over, `InvalidJobId` for one that was never sent
    /// or waits for its tip.
    pub fn find(&self, id: u32) -> Result<&Job, Reason> {
        self.active.iter().rev().find(|job| job.id == id).ok_or_else(|| self.unknown(id))
    }

    /// The same, to be changed.
    ///
    /// # Errors
    ///
    /// As [`Jobs::find`].
    pub fn find_mut(&mut self, id: u32) -> Result<&mut Job, Reason> {
        let unknown = self.unknown(id);
        self.active.iter_mut().rev().find(|job| job.id == id).ok_or(unknown)
    }

    fn unknown(&self, id: u32) -> Reason {
        let sent = (1..self.next_id).contains(&id);
        let waits = self.future.as_ref().is_some_and(|future| future.id == id);
        if sent && !waits { Reason::StaleShare } else { Reason::InvalidJobId }
    }
}
