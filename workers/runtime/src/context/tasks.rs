//! The tasks of a worker: named, supervised, awaited.

use crate::bus::ConnectError;
use anyhow::Context as _;
use futures_util::FutureExt;
use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

/// Running tasks and the first failure among them.
#[derive(Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<&'static str, usize>,
    failure: Option<anyhow::Error>,
}

impl Tasks {
    /// Runs `work` until it ends or `halt` is called; its failure calls `stop`.
    pub(super) fn spawn<F>(
        &self,
        name: &'static str,
        work: F,
        stop: &CancellationToken,
        halt: &CancellationToken,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        *lock(&self.state).running.entry(name).or_default() += 1;
        let (state, stop, halt) = (Arc::clone(&self.state), stop.clone(), halt.clone());
        let supervised = async move {
            let result = tokio::select! {
                result = AssertUnwindSafe(work).catch_unwind() => result,
                () = halt.cancelled() => Ok(Ok(())),
            };
            let result = result.unwrap_or_else(|panic| Err(anyhow::anyhow!(words_of(&*panic))));
            let result = result.or_else(|error| if is_end(&error) { Ok(()) } else { Err(error) });
            if let Err(error) = result.with_context(|| format!("task {name} failed")) {
                lock(&state).failure.get_or_insert(error);
                stop.cancel();
            }
            let mut state = lock(&state);
            if let Some(count) = state.running.get_mut(name) {
                *count = count.saturating_sub(1);
            }
        };
        self.tracker.spawn(supervised.in_current_span());
    }

    /// Waits until no task runs.
    pub(super) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Names of the tasks that run.
    pub(super) fn running(&self) -> Vec<&'static str> {
        let state = lock(&self.state);
        state.running.iter().filter(|(_, count)| **count > 0).map(|(name, _)| *name).collect()
    }

    /// Notes a failure, unless one was noted before.
    pub(super) fn record(&self, error: anyhow::Error) {
        lock(&self.state).failure.get_or_insert(error);
    }

    /// Takes the first failure.
    pub(super) fn failure(&self) -> Option<anyhow::Error> {
        lock(&self.state).failure.take()
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a task ended because the process did, while it still waited for the bus.
fn is_end(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ConnectError::Stopped))
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", words.unwrap_or_else(|| "without words".to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::{BusConfig, Context};
    use std::time::Duration;

    const GRACE: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn the_first_error_stops_the_worker_and_is_reported_with_its_task() {
        let context = Context::detached("toy", ());
        context.spawn("reader", async { anyhow::bail!("disk full") });
        context.stop.cancelled().await;
        let error = context.finish(GRACE).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "task reader failed: disk full");
    }

    #[tokio::test]
    async fn a_panic_is_an_error_too() {
        let context = Context::detached("toy", ());
        context.spawn("reader", async { panic!("oh") });
        context.stop.cancelled().await;
        let error = context.finish(GRACE).await.unwrap_err();
        assert_eq!(format!("{error:#}"), "task reader failed: panicked: oh");
    }

    #[tokio::test]
    async fn to_end_while_the_bus_is_awaited_is_no_error() {
        let context = Context::detached("toy", ());
        let main = context.clone();
        context.spawn("main", async move {
            // Port 1 of a loopback interface: nobody answers there.
            main.connect(&BusConfig::new("nats://127.0.0.1:1")).await?;
            Ok(())
        });
        context.finish(Duration::from_secs(10)).await.unwrap();
    }

    #[tokio::test]
    async fn what_ends_in_time_is_awaited_and_what_does_not_is_named() {
        let context = Context::detached("toy", ());
        let stop = context.stop.clone();
        context.spawn("polite", async move {
            stop.cancelled().await;
            Ok(())
        });
        context.finish(GRACE).await.unwrap();

        let context = Context::detached("toy", ());
        context.spawn("stubborn", std::future::pending());
        let error = context.finish(GRACE).await.unwrap_err();
        assert_eq!(error.to_string(), "still running 50 ms after the drain began: stubborn");
    }
}
