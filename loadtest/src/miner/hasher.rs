//! The threads that hash, at a limited rate.

use super::{
    MinerConfig,
    pace::Pace,
    search::Search,
    work::{Found, Work},
};
use anyhow::Context as _;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use worker_runtime::clock::Clock;

/// Batches in a second: how soon a thread sees new work.
const BATCHES_PER_SECOND: u64 = 50;
/// Most hashes in one batch: some milliseconds, also at full speed.
const MAX_BATCH: u64 = 32_768;
/// Shares that may wait to be sent; then threads wait too.
const MAX_FOUND: usize = 1_024;

/// Threads that hash what they are given until they are stopped.
pub(super) struct Hashers {
    threads: JoinSet<()>,
    stop: CancellationToken,
    work: watch::Sender<Option<Arc<Work>>>,
    found: mpsc::Receiver<Found>,
    hashes: Arc<AtomicU64>,
    generation: u64,
}

impl Hashers {
    /// Starts the threads, idle.
    pub(super) fn start(config: &MinerConfig, clock: Arc<dyn Clock>) -> Self {
        let (work, given) = watch::channel(None);
        let (finds, found) = mpsc::channel(MAX_FOUND);
        let (stop, hashes) = (CancellationToken::new(), Arc::<AtomicU64>::default());
        let mut threads = JoinSet::new();
        for number in 0..config.threads.get() {
            let thread = Thread {
                number,
                threads: config.threads.get(),
                per_second: config.hashes_per_second / u64::from(config.threads.get()),
                clock: Arc::clone(&clock),
                stop: stop.clone(),
                work: given.clone(),
                finds: finds.clone(),
                hashes: Arc::clone(&hashes),
            };
            threads.spawn_blocking(move || thread.run(&Handle::current()));
        }
        Self { threads, stop, work, found, hashes, generation: 0 }
    }

    /// The last generation of work that was given.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Gives the threads other work.
    pub(super) fn give(&mut self, work: Work) {
        self.generation = work.generation;
        self.work.send_replace(Some(Arc::new(work)));
    }

    /// Lets the threads idle, and forgets what they found.
    pub(super) fn idle(&mut self) {
        self.work.send_replace(None);
        while self.found.try_recv().is_ok() {}
    }

    /// The next find. May be cancelled; then nothing is lost.
    pub(super) async fn next(&mut self) -> Option<Found> {
        self.found.recv().await
    }

    /// Hashes since the last call.
    pub(super) fn take_hashes(&self) -> u64 {
        self.hashes.swap(0, Ordering::Relaxed)
    }

    /// Ends the threads.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.found.close();
        while let Some(ended) = self.threads.join_next().await {
            ended.context("a hashing thread died")?;
        }
        Ok(())
    }
}

impl Drop for Hashers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Thread {
    number: u32,
    threads: u32,
    per_second: u64,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    work: watch::Receiver<Option<Arc<Work>>>,
    finds: mpsc::Sender<Found>,
    hashes: Arc<AtomicU64>,
}

impl Thread {
    fn run(mut self, runtime: &Handle) {
        let mut search: Option<Search> = None;
        let mut pace = Pace::new(self.per_second, self.clock.monotonic());
        let batch = (self.per_second / BATCHES_PER_SECOND).clamp(1, MAX_BATCH);
        let batch = u32::try_from(batch).unwrap_or(1);
        while !self.stop.is_cancelled() {
            let Some(work) = self.work.borrow_and_update().clone() else {
                runtime.block_on(self.wait_for_work());
                continue;
            };
            let search = self.searching(&mut search, &work);
            let found = search.batch(work.ntime_at(self.clock.monotonic()), batch);
            self.hashes.fetch_add(u64::from(batch), Ordering::Relaxed);
            if found.into_iter().any(|find| self.finds.blocking_send(find).is_err()) {
                return;
            }
            let pause = pace.done(batch, self.clock.monotonic());
            runtime.block_on(self.pause(pause));
        }
    }

    fn searching<'a>(&self, search: &'a mut Option<Search>, work: &Arc<Work>) -> &'a mut Search {
        let search = search.get_or_insert_with(|| {
            Search::new(Arc::clone(work), self.number.into(), self.threads.into())
        });
        search.adopt(work);
        search
    }

    async fn wait_for_work(&mut self) {
        tokio::select! {
            changed = self.work.changed() => if changed.is_err() { self.stop.cancel() },
            () = self.stop.cancelled() => {}
        }
    }

    async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }
}
