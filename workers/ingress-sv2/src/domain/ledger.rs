//! What one connection is still owed: an acknowledgement for every share that the lane took.
//!
//! The lane stores its batches one after another, in the order in which it took the shares. So
//! "the contiguous stored prefix" is a count, and nothing beyond it can be acknowledged.

use crate::wire::Frames;
use mining::target::difficulty_sum;
use std::{collections::VecDeque, time::Duration};
use subjects::Work;

#[derive(Clone, Copy, Debug)]
struct Owed {
    channel_id: u32,
    sequence: u32,
    work: Work,
    /// When it was read.
    read_at: Duration,
}

/// Shares that wait to be stored, oldest first.
#[derive(Debug, Default)]
pub struct Ledger {
    owed: VecDeque<Owed>,
}

#[derive(Debug)]
struct Acknowledged {
    channel_id: u32,
    last_sequence: u32,
    count: u32,
    work: Work,
}

impl Ledger {
    /// Shares that wait.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// The lane took a share.
    pub fn took(&mut self, channel_id: u32, sequence: u32, work: Work, read_at: Duration) {
        self.owed.push_back(Owed { channel_id, sequence, work, read_at });
    }

    /// The bus has stored the `count` oldest: writes one acknowledgement per channel that
    /// `is_open`, and returns when each share was read.
    pub fn stored(
        &mut self,
        count: usize,
        is_open: impl Fn(u32) -> bool,
        frames: &mut Frames,
    ) -> Vec<Duration> {
        let mut channels: Vec<Acknowledged> = Vec::new();
        let mut read_at = Vec::with_capacity(count.min(self.owed.len()));
        for owed in self.owed.drain(..count.min(self.owed.len())) {
            read_at.push(owed.read_at);
            acknowledge(&mut channels, owed);
        }
        for done in channels.iter().filter(|done| is_open(done.channel_id)) {
            let sum = difficulty_sum(done.work);
            frames.shares_stored(done.channel_id, done.last_sequence, done.count, sum);
        }
        if self.owed.is_empty() {
            self.owed.shrink_to(KEPT_CAPACITY);
        }
        read_at
    }
}

/// Shares that a ledger keeps room for between uses.
const KEPT_CAPACITY: usize = 4;

fn acknowledge(channels: &mut Vec<Acknowledged>, owed: Owed) {
    let Owed { channel_id, sequence, work, .. } = owed;
    match channels.iter_mut().find(|done| done.channel_id == channel_id) {
        Some(done) => {
            done.last_sequence = sequence;
            done.count = done.count.saturating_add(1);
            // A batch is bounded, and so is a share's work: the sum stays far below the type's.
            done.work = done.work.checked_add(work).unwrap_or(done.work);
        }
        None => channels.push(Acknowledged { channel_id, last_sequence: sequence, count: 1, work }),
    }
}
