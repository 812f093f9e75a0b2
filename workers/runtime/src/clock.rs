//! Where time enters. Everything else receives it as an argument.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use subjects::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, in milliseconds since 1970-01-01 UTC. It may jump, also backwards.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment before this process's first call. It never runs backwards.
    fn monotonic(&self) -> Duration;
}

/// The host's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting monotonic time now.
    #[expect(clippy::disallowed_methods, reason = "this module is where time enters")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this module is where time enters")]
    fn now(&self) -> Timestamp {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicU64,
    monotonic: Mutex<Duration>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now_ms: AtomicU64::new(now.0), monotonic: Mutex::default() }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now_ms.fetch_add(millis, Ordering::SeqCst);
        *self.monotonic.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    /// Sets the wall clock alone, as an operator or NTP does.
    pub fn jump_to(&self, now: Timestamp) {
        self.now_ms.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        *self.monotonic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_in_this_century_and_goes_forward() {
        let clock = SystemClock::new();
        assert!(clock.now() > Timestamp(1_700_000_000_000));
        let earlier = clock.monotonic();
        assert!(clock.monotonic() >= earlier);
    }

    #[test]
    fn a_jump_moves_only_the_wall_clock() {
        let clock = ManualClock::new(Timestamp(10_000));
        clock.advance(Duration::from_secs(2));
        clock.jump_to(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
        assert_eq!(clock.monotonic(), Duration::from_secs(2));
    }
}
