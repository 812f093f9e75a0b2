//! The closed slices, without their lines, and the windows that a block pays.

use std::{fmt, ops::RangeInclusive};
use subjects::{HexBytes, Work, payouts::Window, rounds::SliceClosed};

/// Most slices that are held: 128 MB per million. A pool that finds every block of its network
/// closes 64 slices a block, so this is the history of four years of Bitcoin; for a larger one the
/// oldest have to be read again instead.
pub const MAX_SLICES: usize = 16_000_000;

/// Every closed slice, from the first one on.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// Slice `n` stands at `n - 1`.
    held: Vec<Record>,
}

/// What is needed of a slice once its lines are gone.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Incarnation of `SHARES`.
    incarnation: u64,
    first_sequence: u64,
    last_sequence: u64,
    chain_start: [u8; 32],
    chain_end: [u8; 32],
    lines_root: [u8; 32],
    network_work: Work,
    /// Sum of the credited work.
    pub work: Work,
    /// Number of shares.
    pub shares: u64,
    /// Number of lines.
    pub miners: u64,
    /// Number of messages that carry the lines.
    pub parts: u32,
    /// Sequence of the slice's own fact in `ROUNDS`: its lines stand before it.
    pub closed_at: u64,
}

/// A run of slices, by number.
pub type Run = RangeInclusive<u64>;

/// A slice does not continue the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    /// A slice between was never heard of.
    #[error("slice {found} came where slice {expected} was expected")]
    Gap {
        /// The next slice's number.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// The same number with other content, or a hash chain that does not continue.
    #[error("slice {0} contradicts what was heard before")]
    Contradiction(u64),
    /// More slices than can be held.
    #[error("slice {0} is beyond the {MAX_SLICES} slices that this worker holds")]
    TooMany(u64),
}

impl Slices {
    /// Adds the next slice, which stands at `closed_at` in `ROUNDS`. One that is held already
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// When it does not continue the slices before it.
    pub fn add(&mut self, slice: &SliceClosed, closed_at: u64) -> Result<(), SliceError> {
        let number = slice.slice;
        let record = Record::of(slice, closed_at).ok_or(SliceError::Contradiction(number))?;
        if let Some(held) = self.get(number) {
            let same = *held == record;
            return if same { Ok(()) } else { Err(SliceError::Contradiction(number)) };
        }
        let expected = self.last().saturating_add(1);
        if number != expected {
            return Err(SliceError::Gap { expected, found: number });
        }
        if self.held.len() >= MAX_SLICES {
            return Err(SliceError::TooMany(number));
        }
        if self.held.last().is_some_and(|last| last.chain_end != record.chain_start) {
            return Err(SliceError::Contradiction(number));
        }
        self.held.push(record);
        Ok(())
    }

    /// Number of the last slice; 0 before the first.
    pub fn last(&self) -> u64 {
        u64::try_from(self.held.len()).unwrap_or(u64::MAX)
    }

    /// A slice by its number.
    pub fn get(&self, number: u64) -> Option<&Record> {
        self.held.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Where the lines of `number` may begin in `ROUNDS`: after the slice before it.
    pub fn lines_from(&self, number: u64) -> u64 {
        let before = number.checked_sub(1).and_then(|before| self.get(before));
        before.map_or(1, |before| before.closed_at.saturating_add(1))
    }

    /// The smallest run that ends with `last` and holds at least `factor` times the network work
    /// of its block; all there is, while history is shorter.
    pub fn window(&self, last: u64, factor: u32) -> Option<Run> {
        let enough = self.get(last)?.network_work.to_u128().saturating_mul(factor.into());
        let mut first = last;
        let mut work = self.get(last)?.work.to_u128();
        while work < enough {
            let Some(before) = first.checked_sub(1).and_then(|before| self.get(before)) else {
                break;
            };
            work = work.saturating_add(before.work.to_u128());
            first = first.saturating_sub(1);
        }
        Some(first..=last)
    }

    /// What a statement says of a run; `None` when a slice of it is not held, or its sums
    /// overflow.
    pub fn describe(&self, run: &Run) -> Option<Window> {
        let (first, last) = (self.get(*run.start())?, self.get(*run.end())?);
        let mut window = Window {
            incarnation: last.incarnation,
            first_slice: *run.start(),
            last_slice: *run.end(),
            first_sequence: first.first_sequence,
            last_sequence: last.last_sequence,
            chain_start: HexBytes(first.chain_start.to_vec()),
            chain_end: HexBytes(last.chain_end.to_vec()),
            lines_roots: Vec::new(),
            work: Work::ZERO,
            shares: 0,
        };
        for number in run.clone() {
            let slice = self.get(number)?;
            window.lines_roots.push(HexBytes(slice.lines_root.to_vec()));
            window.work = window.work.checked_add(slice.work)?;
            window.shares = window.shares.checked_add(slice.shares)?;
        }
        Some(window)
    }
}

impl Record {
    fn of(slice: &SliceClosed, closed_at: u64) -> Option<Self> {
        let hash = |bytes: &HexBytes| bytes.as_slice().try_into().ok();
        Some(Self {
            incarnation: slice.incarnation,
            first_sequence: slice.first_sequence,
            last_sequence: slice.last_sequence,
            chain_start: hash(&slice.chain_start)?,
            chain_end: hash(&slice.chain_end)?,
            lines_root: hash(&slice.lines_root)?,
            network_work: slice.network_work,
            work: slice.work,
            shares: slice.shares,
            miners: slice.miners,
            parts: slice.parts,
            closed_at,
        })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={} work {}", self.first_sequence, self.last_sequence, self.work)
    }
}
