//! What one decision comes to, for the figures.

use std::collections::BTreeMap;
use subjects::shares::{Reason, Refusal};

/// How many shares of one delivery met which end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Shares that count.
    pub accepted: u64,
    /// Shares that do not, by reason.
    pub refused: BTreeMap<Reason, u64>,
    /// Blocks that were solved.
    pub solved: u64,
    /// 1 when the batch had been dealt with before.
    pub repeated: u64,
    /// Batches of the same boot epoch that should have come before it and did not.
    pub missing_before: u64,
    /// What is waited for, if the batch cannot be judged yet.
    pub waits_for: Option<Wait>,
}

/// What a batch may have to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// Templates and tips that the stream may hold.
    Templates,
    /// The registration of its lane.
    Owner,
    /// The lane's past, which refers to templates that were not heard of.
    Past,
}

impl Tally {
    pub(super) fn of(accepted: usize, refusals: &[Refusal], solved: usize) -> Self {
        let mut refused = BTreeMap::new();
        for refusal in refusals {
            *refused.entry(refusal.reason).or_default() += 1;
        }
        let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
        Self { accepted: count(accepted), refused, solved: count(solved), ..Self::default() }
    }

    pub(super) fn waiting(wait: Wait) -> Self {
        Self { waits_for: Some(wait), ..Self::default() }
    }

    pub(super) fn repeated() -> Self {
        Self { repeated: 1, ..Self::default() }
    }
}
