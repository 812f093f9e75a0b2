//! Who did how much.

use std::collections::BTreeMap;
use subjects::{MinerId, Work, rounds::Line};

/// Work and shares by miner, and their sums. Sums are checked: work that does not fit 128 bits is
/// an error, never a wrong number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credits {
    by_miner: BTreeMap<MinerId, (Work, u64)>,
    work: Work,
    shares: u64,
}

impl Credits {
    /// Credits `shares` shares with `work` together; `None` on overflow, and nothing is credited.
    #[must_use = "an overflow must stop the accounting"]
    pub fn add(&mut self, miner: &MinerId, work: Work, shares: u64) -> Option<()> {
        // A miner's part is never more than the sum, so only the sum can overflow.
        let (all_work, all_shares) =
            (self.work.checked_add(work)?, self.shares.checked_add(shares)?);
        match self.by_miner.get_mut(miner) {
            Some((mine, count)) => {
                (*mine, *count) = (mine.checked_add(work)?, count.checked_add(shares)?);
            }
            None => {
                self.by_miner.insert(miner.clone(), (work, shares));
            }
        }
        (self.work, self.shares) = (all_work, all_shares);
        Some(())
    }

    /// Credits all that `other` credits; `None` on overflow, after which the sums mean nothing.
    #[must_use = "an overflow must stop the accounting"]
    pub fn add_all(&mut self, other: &Self) -> Option<()> {
        other
            .by_miner
            .iter()
            .try_for_each(|(miner, (work, shares))| self.add(miner, *work, *shares))
    }

    /// Sum of the work.
    pub fn work(&self) -> Work {
        self.work
    }

    /// Number of shares.
    pub fn shares(&self) -> u64 {
        self.shares
    }

    /// The lines, in ascending order of the miner id.
    pub fn into_lines(self) -> Vec<Line> {
        let line = |(miner, (work, shares))| Line { miner, work, shares };
        self.by_miner.into_iter().map(line).collect()
    }
}
