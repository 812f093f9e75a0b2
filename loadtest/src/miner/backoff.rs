//! How long to wait before the next attempt.

use std::time::Duration;

/// The first pause is at most this.
const FIRST: Duration = Duration::from_millis(250);
/// No pause is longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses that double, each with full jitter, so that miners that lost one pool do not come back
/// in one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { most: FIRST }
    }
}

impl Backoff {
    /// The next pause: between a tenth of and the whole of what it may be, by `random`.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let least = self.most / 10;
        let span = u64::try_from((self.most - least).as_millis()).unwrap_or(u64::MAX);
        let part = u64::from(random).saturating_mul(span) >> 32;
        self.most = (self.most * 2).min(LONGEST);
        least + Duration::from_millis(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let mut longest = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| longest.next(u32::MAX).as_millis()).collect();
        assert_eq!(pauses, [249, 499, 999, 1999, 3999, 7999, 15_999, 29_999, 29_999]);
        let mut shortest = Backoff::default();
        assert_eq!(shortest.next(0), Duration::from_millis(25));
    }
}
