//! Adds up the lines of a run of slices, a few slices at a time: what is held is one line per
//! miner, however many slices the run has.

use crate::{
    book::Due,
    slices::{Run, Slices},
};
use std::collections::BTreeMap;
use subjects::{
    MinerId, Work,
    rounds::{Line, SliceLines},
};

/// Most slices whose lines are asked for at once: each is one subject filter of the reader.
pub const SLICES_AT_ONCE: u64 = 256;

/// The work of each miner in the slices that a due block pays.
#[derive(Clone, Debug)]
pub struct Gathering {
    due: Due,
    /// The first slice whose lines are not yet added; beyond the run when all are.
    next: u64,
    /// How far the slices that are being read have come.
    reading: BTreeMap<u64, Reading>,
    works: BTreeMap<MinerId, Work>,
}

#[derive(Clone, Debug, Default)]
struct Reading {
    parts: u32,
    miners: u64,
    work: Work,
    last: Option<MinerId>,
}

/// The lines in `ROUNDS` are not those of their slice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatherError {
    /// Lines are missing, or there are too many.
    #[error("the lines of slice {slice} in ROUNDS are not whole: {found}, but it has {expected}")]
    NotWhole {
        /// The slice.
        slice: u64,
        /// What was read.
        found: String,
        /// What the slice says.
        expected: String,
    },
    /// Lines do not stand in ascending order of the miner, so one may stand there twice.
    #[error("the lines of slice {0} in ROUNDS do not stand in ascending order of the miner")]
    Order(u64),
    /// The sum of the work overflows.
    #[error("the work of the slices up to {0} overflows 128 bits")]
    Overflow(u64),
}

impl Gathering {
    /// Nothing is added yet.
    pub fn new(due: Due) -> Self {
        let next = *due.run.start();
        Self { due, next, reading: BTreeMap::new(), works: BTreeMap::new() }
    }

    /// Whether this is about the same block and slices.
    pub fn is_for(&self, due: &Due) -> bool {
        self.due == *due
    }

    /// The slices whose lines are to be read next; `None` when all are added.
    pub fn wanted(&self) -> Option<Run> {
        let last = self.next.saturating_add(SLICES_AT_ONCE).saturating_sub(1);
        let run = self.next..=last.min(*self.due.run.end());
        (!run.is_empty()).then_some(run)
    }

    /// Adds some lines. Lines that are not wanted, or were added before, change nothing.
    ///
    /// # Errors
    ///
    /// When the lines cannot be those of a slice.
    pub fn add(&mut self, lines: SliceLines) -> Result<(), GatherError> {
        let slice = lines.slice;
        if !self.wanted().is_some_and(|wanted| wanted.contains(&slice)) {
            return Ok(());
        }
        let reading = self.reading.entry(slice).or_default();
        if lines.part != reading.parts {
            // Read before; or one before it is missing, which `end_of_reading` tells.
            return Ok(());
        }
        reading.parts = reading.parts.saturating_add(1);
        let follows = |first: &Line| reading.last.as_ref().is_none_or(|last| *last < first.miner);
        let ascends = lines.lines.is_sorted_by(|one, other| one.miner < other.miner);
        if !ascends || !lines.lines.first().is_none_or(follows) {
            return Err(GatherError::Order(slice));
        }
        if let Some(last) = lines.lines.last() {
            reading.last = Some(last.miner.clone());
        }
        for line in lines.lines {
            let overflow = || GatherError::Overflow(slice);
            reading.work = reading.work.checked_add(line.work).ok_or_else(overflow)?;
            reading.miners = reading.miners.saturating_add(1);
            let sum = self.works.entry(line.miner).or_default();
            *sum = sum.checked_add(line.work).ok_or_else(overflow)?;
        }
        Ok(())
    }

    /// All lines that were wanted have been read.
    ///
    /// # Errors
    ///
    /// When they are not what their slices say.
    pub fn end_of_reading(&mut self, slices: &Slices) -> Result<(), GatherError> {
        let Some(wanted) = self.wanted() else { return Ok(()) };
        for slice in wanted.clone() {
            let read = self.reading.remove(&slice).unwrap_or_default();
            let told = |parts: u32, miners: u64, work: Work| {
                format!("{parts} parts with {miners} lines and work {work}")
            };
            let found = told(read.parts, read.miners, read.work);
            let expected = slices
                .get(slice)
                .map_or_else(String::new, |record| told(record.parts, record.miners, record.work));
            if found != expected {
                return Err(GatherError::NotWhole { slice, found, expected });
            }
        }
        self.next = wanted.end().saturating_add(1);
        Ok(())
    }

    /// Hands over what was gathered: the block and the work of each miner.
    pub fn into_parts(self) -> (Due, BTreeMap<MinerId, Work>) {
        (self.due, self.works)
    }
}
