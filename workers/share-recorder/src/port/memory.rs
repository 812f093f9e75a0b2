//! A book in memory, with faults at will.

use super::{Book, BookError, Written};
use crate::domain::{Batch, Feed};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Everything that was recorded, in order. Clones are hands on the same book.
#[derive(Clone, Debug, Default)]
pub struct MemoryBook(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    positions: BTreeMap<(Feed, u64), u64>,
    batches: Vec<Batch>,
    faults: VecDeque<Fault>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Down,
    LostAnswer,
}

impl MemoryBook {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next call fails, and nothing is written.
    pub fn fail_next(&self) {
        self.pages().faults.push_back(Fault::Down);
    }

    /// The next batch is written, but the answer is lost.
    pub fn lose_next_answer(&self) {
        self.pages().faults.push_back(Fault::LostAnswer);
    }

    /// What was recorded, in order.
    pub fn recorded(&self) -> Vec<Batch> {
        self.pages().batches.clone()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn down() -> BookError {
    BookError::Unavailable("the book was told to fail".into())
}

impl Pages {
    fn write(&mut self, batch: &Batch) -> Written {
        let position = self.positions.entry((batch.feed(), batch.incarnation())).or_default();
        if *position != batch.after() {
            return Written::Elsewhere { position: *position };
        }
        *position = batch.through();
        self.batches.push(batch.clone());
        Written::Whole
    }
}

impl Book for MemoryBook {
    async fn position(&mut self, feed: Feed, incarnation: u64) -> Result<u64, BookError> {
        let pages = self.pages();
        Ok(pages.positions.get(&(feed, incarnation)).copied().unwrap_or_default())
    }

    async fn record(&mut self, batch: &Batch) -> Result<Written, BookError> {
        let mut pages = self.pages();
        match pages.faults.pop_front() {
            None => Ok(pages.write(batch)),
            Some(Fault::Down) => Err(down()),
            Some(Fault::LostAnswer) => {
                pages.write(batch);
                Err(down())
            }
        }
    }
}
