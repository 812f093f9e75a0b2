//! One back-off for all publications that fail together.

use rand::Rng;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// First pause after a failure.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// Longest pause: an election lasts 4 to 7 s, and the first moment after it should be used.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The gate that all publications of a connection pass.
///
/// A thousand publications that fail together wait once, together. If each waited for itself and
/// one after another, an outage of seconds would grow to minutes.
#[derive(Default)]
pub(in crate::bus) struct Burst {
    state: Mutex<State>,
    opened: Notify,
}

#[derive(Default)]
struct State {
    /// Counts failing bursts; an attempt belongs to the burst in which it began.
    epoch: u64,
    /// Failing bursts in a row.
    failing: u32,
    /// Until when the gate is shut.
    shut_until: Option<Instant>,
}

impl Burst {
    /// Waits until the gate is open; says which burst an attempt that begins now belongs to.
    pub(in crate::bus) async fn pass(&self) -> u64 {
        loop {
            let shut_until = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                match state.shut_until {
                    Some(until) if until > Instant::now() => until,
                    Some(_) | None => return state.epoch,
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(shut_until) => {}
                () = self.opened.notified() => {}
            }
        }
    }

    /// Notes a failure and waits. The first failure of a burst shuts the gate and is told how
    /// many bursts in a row have failed; the others just wait with it.
    pub(in crate::bus) async fn fail(&self, epoch: u64) -> Option<u32> {
        let failing = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.epoch == epoch {
                state.epoch += 1;
                state.failing = state.failing.saturating_add(1);
                state.shut_until = Some(Instant::now() + pause(state.failing));
                Some(state.failing)
            } else {
                None
            }
        };
        self.pass().await;
        failing
    }

    /// Notes a success, which opens the gate. Says whether there was a failure before.
    pub(in crate::bus) fn succeed(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let recovered = state.failing > 0;
        if recovered {
            state.failing = 0;
            state.shut_until = None;
            self.opened.notify_waiters();
        }
        recovered
    }
}

fn pause(failing: u32) -> Duration {
    let longest = MIN_PAUSE.saturating_mul(1 << failing.min(10)).min(MAX_PAUSE);
    rand::thread_rng().gen_range(longest / 2..=longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_backs_off_once() {
        let burst = Burst::default();
        let epoch = burst.pass().await;
        let start = Instant::now();
        let all = (0..1_000).map(|_| burst.fail(epoch));
        let told: Vec<_> = futures_util::future::join_all(all).await;
        assert_eq!(told.iter().flatten().collect::<Vec<_>>(), [&1]);
        assert!(
            start.elapsed() <= MIN_PAUSE * 2 + Duration::from_millis(5),
            "{:?}",
            start.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn bursts_in_a_row_wait_longer_and_a_success_ends_that() {
        let burst = Burst::default();
        for failing in 1..=12 {
            let epoch = burst.pass().await;
            assert_eq!(burst.fail(epoch).await, Some(failing));
        }
        let start = Instant::now();
        let epoch = burst.pass().await;
        burst.fail(epoch).await;
        assert!((MAX_PAUSE / 2..=MAX_PAUSE * 2).contains(&start.elapsed()));
        assert!(burst.succeed() && !burst.succeed());
        assert_eq!(burst.fail(burst.pass().await).await, Some(1));
    }
}
