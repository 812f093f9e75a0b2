//! How long to wait before asking again.

use rand::Rng;
use std::time::Duration;

/// Waits that double from a first to a last one, each shortened by a random part, so that many who
/// failed together do not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
}

impl Backoff {
    /// From `first` to at most `last`.
    pub const fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, failures: 0 }
    }

    /// The next wait: between half of the full wait and all of it.
    pub fn next_wait(&mut self) -> Duration {
        let full = self.full_wait();
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(rand::thread_rng().gen_range(0.5..=1.0))
    }

    /// Begins with the first wait again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }

    fn full_wait(&self) -> Duration {
        let factor = 2_u32.saturating_pow(self.failures);
        self.first.saturating_mul(factor).min(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for full in [100, 200, 400, 800, 1_000, 1_000] {
            let wait = backoff.next_wait();
            assert!(wait >= Duration::from_millis(full / 2) && wait <= Duration::from_millis(full));
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }
}
