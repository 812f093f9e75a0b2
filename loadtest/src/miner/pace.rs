//! Holding a hashing thread to its rate.

use std::time::Duration;

/// A thread that fell behind by more than this does not catch up: a loaded machine must not turn
/// into a burst.
const FORGIVEN: Duration = Duration::from_secs(1);

/// How long to pause so that hashes come at a given rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: u64,
    /// When the next hash is due.
    due: Duration,
}

impl Pace {
    /// Starts at `now` on a monotonic clock; a rate of 0 counts as 1.
    pub(super) fn new(per_second: u64, now: Duration) -> Self {
        Self { per_second: per_second.max(1), due: now }
    }

    /// Counts `hashes` as done by `now`; returns how long to pause.
    pub(super) fn done(&mut self, hashes: u32, now: Duration) -> Duration {
        let nanos = u64::from(hashes).saturating_mul(1_000_000_000) / self.per_second;
        let due = self.due + Duration::from_nanos(nanos);
        self.due = due.max(now.saturating_sub(FORGIVEN));
        self.due.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn hashes_come_at_the_rate() {
        let mut pace = Pace::new(1_000, ms(0));
        assert_eq!(pace.done(100, ms(10)), ms(90));
        assert_eq!(pace.done(100, ms(150)), ms(50));
        // Half a second late: caught up without a pause.
        assert_eq!(pace.done(100, ms(700)), ms(0));
        assert_eq!(pace.done(500, ms(710)), ms(90));
    }

    #[test]
    fn a_long_halt_is_not_caught_up() {
        let mut pace = Pace::new(1_000, ms(0));
        assert_eq!(pace.done(100, ms(60_000)), ms(0));
        assert_eq!(pace.done(1_500, ms(60_000)), ms(500));
    }
}
