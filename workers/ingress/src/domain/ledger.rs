//! What one connection is still owed: an acknowledgement for every share that the lane took.
//!
//! The lane stores its batches one after another, in the order in which it took the shares. So
//! "the contiguous stored prefix" is a count, and nothing beyond it can be acknowledged.

use std::{collections::VecDeque, time::Duration};

/// A share that the lane took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed<T> {
    /// What its acknowledgement says.
    pub answer: T,
    /// When it was read.
    pub read_at: Duration,
}

/// Shares that wait to be stored, oldest first.
#[derive(Debug)]
pub struct Ledger<T> {
    owed: VecDeque<Owed<T>>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { owed: VecDeque::new() }
    }
}

impl<T> Ledger<T> {
    /// Shares that wait.
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// The lane took a share.
    pub fn took(&mut self, answer: T, read_at: Duration) {
        self.owed.push_back(Owed { answer, read_at });
    }

    /// The bus has stored the `count` oldest: they are to be acknowledged, each by `acknowledge`,
    /// in the order of taking. A count beyond what is owed acknowledges no more than that.
    pub fn stored(&mut self, count: usize, mut acknowledge: impl FnMut(Owed<T>)) {
        for owed in self.owed.drain(..count.min(self.owed.len())) {
            acknowledge(owed);
        }
        if self.owed.is_empty() {
            self.owed.shrink_to(KEPT_CAPACITY);
        }
    }
}

/// Shares that a ledger keeps room for between uses.
const KEPT_CAPACITY: usize = 4;
