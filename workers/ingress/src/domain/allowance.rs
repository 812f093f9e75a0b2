//! How much may come in a while: so much a second, and some of it at once.

use std::{num::NonZeroU32, time::Duration};

/// A rate with a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What one costs.
    interval: Duration,
    /// What may be owed.
    window: Duration,
}

impl Rate {
    /// So many a second on average, and `burst` at once after a rest. Above 10^9 a second it bounds
    /// nothing.
    pub const fn new(per_sec: NonZeroU32, burst: u32) -> Self {
        let interval = Duration::from_nanos(1_000_000_000 / per_sec.get() as u64);
        Self { interval, window: interval.saturating_mul(burst) }
    }
}

/// What one party has used of a rate (the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// When all that was taken is earned.
    earned_at: Duration,
}

impl Allowance {
    /// Takes `cost`, also what is not earned yet.
    pub fn take(&mut self, rate: Rate, cost: u32, now: Duration) {
        let spent = rate.interval.saturating_mul(cost);
        self.earned_at = self.earned_at.max(now).saturating_add(spent);
    }

    /// How long nothing may be taken; `None` when something may be now.
    pub fn pause(self, rate: Rate, now: Duration) -> Option<Duration> {
        let free_at = self.earned_at.saturating_sub(rate.window);
        free_at.checked_sub(now).filter(|pause| !pause.is_zero())
    }

    /// Whether nothing is owed.
    pub fn is_earned(self, now: Duration) -> bool {
        self.earned_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rate(per_sec: u32, burst: u32) -> Rate {
        Rate::new(NonZeroU32::new(per_sec).unwrap(), burst)
    }

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_comes_at_once_and_the_rest_at_the_rate() {
        let (rate, mut allowance) = (rate(10, 5), Allowance::default());
        for _ in 0..6 {
            assert_eq!(allowance.pause(rate, at(1_000)), None);
            allowance.take(rate, 1, at(1_000));
        }
        assert_eq!(allowance.pause(rate, at(1_000)), Some(at(100)));
        assert_eq!(allowance.pause(rate, at(1_100)), None);
        assert!(!allowance.is_earned(at(1_599)));
        assert!(allowance.is_earned(at(1_600)));
    }

    #[test]
    fn what_costs_more_than_all_that_may_be_owed_is_paid_later() {
        let (rate, mut allowance) = (rate(10, 5), Allowance::default());
        allowance.take(rate, 100, at(0));
        assert_eq!(allowance.pause(rate, at(0)), Some(at(9_500)));
    }

    #[test]
    fn a_rate_without_end_bounds_nothing() {
        let (rate, mut allowance) = (rate(u32::MAX, 0), Allowance::default());
        for _ in 0..1_000 {
            allowance.take(rate, u32::MAX, at(1));
            assert_eq!(allowance.pause(rate, at(1)), None);
        }
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(
            steps in prop::collection::vec((0_u64..500, 1_u32..5), 1..200),
        ) {
            let (rate, mut allowance) = (rate(20, 10), Allowance::default());
            let (mut now, mut taken) = (0, 0_u64);
            for (wait, cost) in steps {
                now += wait;
                if allowance.pause(rate, at(now)).is_none() {
                    allowance.take(rate, cost, at(now));
                    taken += u64::from(cost);
                }
                // The last one may be taken on credit.
                prop_assert!(taken <= 10 + 4 + 1 + now * 20 / 1_000, "{taken} in {now} ms");
            }
        }
    }
}
