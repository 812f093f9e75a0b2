//! The open round: what its closed slices add up to.

use primitive_types::U256;
use subjects::{
    Work,
    rounds::{Closed, SliceClosed, SolvingShare},
};

/// Millionths in one.
const PPM: u32 = 1_000_000;

/// A round that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenRound {
    number: u64,
    /// Slice and sequence with which it began, once it has a closed slice.
    first: Option<(u64, u64)>,
    started_ntime: Option<u32>,
    shares: u64,
    work: Work,
}

impl OpenRound {
    /// The very first round.
    pub(crate) const fn first() -> Self {
        Self { number: 1, first: None, started_ntime: None, shares: 0, work: Work::ZERO }
    }

    /// The round after the one that `slice` ended.
    pub(crate) fn after(slice: &SliceClosed) -> Self {
        let started_ntime = Some(slice.last_ntime);
        Self { number: slice.round.saturating_add(1), started_ntime, ..Self::first() }
    }

    /// Its number.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Shares in its closed slices.
    pub(crate) fn shares(&self) -> u64 {
        self.shares
    }

    /// Work in its closed slices.
    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// Adds a closed slice; `None` on overflow. If the slice solved a block, this round is handed
    /// back closed and `self` is the next one.
    #[must_use = "an overflow must stop the accounting"]
    pub(crate) fn add(&mut self, slice: &SliceClosed) -> Option<Option<Closed>> {
        self.first.get_or_insert((slice.slice, slice.first_sequence));
        self.shares = self.shares.checked_add(slice.shares)?;
        self.work = self.work.checked_add(slice.work)?;
        let ended = slice.block.as_ref().map(|block| self.closed(slice, block));
        if ended.is_some() {
            *self = Self::after(slice);
        }
        Some(ended)
    }

    fn closed(&self, last: &SliceClosed, block: &SolvingShare) -> Closed {
        let (first_slice, first_sequence) = self.first.unwrap_or((last.slice, last.first_sequence));
        Closed {
            round: self.number,
            block: block.clone(),
            first_slice,
            last_slice: last.slice,
            first_sequence,
            last_sequence: last.last_sequence,
            started_ntime: self.started_ntime,
            stopped_ntime: last.last_ntime,
            shares: self.shares,
            work: self.work,
            network_work: last.network_work,
            luck_ppm: luck_ppm(last.network_work, self.work),
        }
    }
}

/// Expected over done work in millionths, rounded down; the largest number when no work was done
/// or the ratio is beyond 64 bits.
fn luck_ppm(expected: Work, done: Work) -> u64 {
    let scaled = U256::from(expected.to_u128()).checked_mul(U256::from(PPM));
    let ratio = scaled.and_then(|scaled| scaled.checked_div(U256::from(done.to_u128())));
    ratio.and_then(|ratio| u64::try_from(ratio).ok()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luck_is_expected_over_done() {
        let luck = |expected, done| luck_ppm(Work::new(expected), Work::new(done));
        assert_eq!(luck(100, 50), 2_000_000);
        assert_eq!(luck(100, 300), 333_333);
        assert_eq!(luck(0, 5), 0);
        assert_eq!(luck(5, 0), u64::MAX);
        assert_eq!(luck(u128::MAX, u128::MAX), 1_000_000);
        assert_eq!(luck(u128::MAX, 1), u64::MAX);
    }
}
