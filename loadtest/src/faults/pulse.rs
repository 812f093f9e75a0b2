//! Whether something that should grow goes on growing.

use anyhow::Context as _;
use std::time::Duration;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use worker_runtime::clock::{Clock as _, SystemClock};

/// How often to look.
const EVERY: Duration = Duration::from_millis(25);

/// Watches a number.
#[derive(Debug)]
pub(super) struct Pulse {
    stop: CancellationToken,
    watching: JoinSet<anyhow::Result<Duration>>,
}

impl Pulse {
    /// Watches what `read` says from now on.
    pub(super) fn of<R, F>(read: R) -> Self
    where
        R: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = anyhow::Result<u64>> + Send + 'static,
    {
        let (stop, mut watching) = (CancellationToken::new(), JoinSet::new());
        watching.spawn(watch(read, stop.clone()));
        Self { stop, watching }
    }

    /// The longest time in which the number stayed the same.
    pub(super) async fn longest(mut self) -> anyhow::Result<Duration> {
        self.stop.cancel();
        self.watching.join_next().await.context("nobody watched")??
    }
}

async fn watch<R, F>(read: R, stop: CancellationToken) -> anyhow::Result<Duration>
where
    R: Fn() -> F,
    F: Future<Output = anyhow::Result<u64>>,
{
    let clock = SystemClock::new();
    let (mut last, mut grown, mut longest) = (None, clock.monotonic(), Duration::ZERO);
    while !stop.is_cancelled() {
        let number = read().await?;
        let now = clock.monotonic();
        longest = longest.max(now.saturating_sub(grown));
        if last.replace(number) != Some(number) {
            grown = now;
        }
        sleep(EVERY).await; // polls
    }
    Ok(longest)
}
