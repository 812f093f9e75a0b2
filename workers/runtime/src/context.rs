//! What a worker holds of its process: configuration, clock, readiness, tasks and the way out.

mod checks;
mod tasks;

pub(crate) use checks::{Check, Checks};

use crate::{
    bus::{Bus, BusConfig, ConnectError},
    clock::{Clock, SystemClock},
    config::ShellConfig,
    metric::{Metrics, Name},
    secret::{SecretError, SecretFiles, SecretProvider},
};
use arc_swap::ArcSwap;
use secrecy::SecretString;
use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use subjects::Timestamp;
use tasks::Tasks;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A worker's hold on its process. A cheap handle.
pub struct Context<C> {
    /// The worker's configuration as it is now; a reload swaps it.
    pub config: Arc<ArcSwap<C>>,
    /// Cancelled when the process begins to end: take nothing new, finish what is in hand.
    pub stop: CancellationToken,
    shell: Arc<Shell>,
}

/// The part of a context that does not depend on the worker's configuration.
pub(crate) struct Shell {
    pub(crate) name: &'static str,
    pub(crate) instance: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) secrets: Box<dyn SecretProvider>,
    pub(crate) checks: Checks,
    pub(crate) config: ArcSwap<ShellConfig>,
    pub(crate) stop: CancellationToken,
    /// Cancelled when another process has taken over the listening sockets.
    pub(crate) handed_over: CancellationToken,
    /// Cancelled when the grace is over: give up what is in hand.
    pub(crate) halt: CancellationToken,
    pub(crate) announced: Mutex<BTreeMap<String, String>>,
    connections: AtomicUsize,
    /// Connections, kept so that what was said last is still sent.
    clients: Mutex<Vec<async_nats::Client>>,
    read_only: watch::Sender<bool>,
    reloads: watch::Sender<u64>,
    tasks: Tasks,
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell").field("instance", &self.instance).finish_non_exhaustive()
    }
}

impl<C> Clone for Context<C> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            stop: self.stop.clone(),
            shell: Arc::clone(&self.shell),
        }
    }
}

impl<C> fmt::Debug for Context<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("shell", &self.shell).finish_non_exhaustive()
    }
}

impl<C> Context<C> {
    pub(crate) fn new(
        name: &'static str,
        config: C,
        shell: ShellConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let metrics = Metrics::default();
        let stop = CancellationToken::new();
        let shell = Shell {
            name,
            instance: format!("{name}-{}-{:08x}", std::process::id(), rand::random::<u32>()),
            checks: Checks::new(metrics.clone(), Arc::clone(&clock)),
            clock,
            metrics,
            secrets: Box::new(SecretFiles),
            read_only: watch::Sender::new(shell.read_only),
            config: ArcSwap::from_pointee(shell),
            stop: stop.clone(),
            handed_over: CancellationToken::new(),
            halt: CancellationToken::new(),
            announced: Mutex::default(),
            connections: AtomicUsize::new(0),
            clients: Mutex::default(),
            reloads: watch::Sender::new(0),
            tasks: Tasks::default(),
        };
        Self { config: Arc::new(ArcSwap::from_pointee(config)), stop, shell: Arc::new(shell) }
    }

    /// A context without signals, HTTP or reloads, for tools and tests.
    pub fn detached(name: &'static str, config: C) -> Self {
        Self::detached_with_clock(name, config, Arc::new(SystemClock::new()))
    }

    /// The same with a clock of the caller's.
    pub fn detached_with_clock(name: &'static str, config: C, clock: Arc<dyn Clock>) -> Self {
        crate::process::install_crypto();
        Self::new(name, config, ShellConfig::default(), clock)
    }

    pub(crate) const fn shell(&self) -> &Arc<Shell> {
        &self.shell
    }

    /// The worker's name.
    pub fn name(&self) -> &'static str {
        self.shell.name
    }

    /// A name that no other start of any worker has, e.g. as the holder of a lease.
    pub fn instance(&self) -> &str {
        &self.shell.instance
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shell.clock
    }

    /// The wall clock's time.
    pub fn now(&self) -> Timestamp {
        self.shell.clock.now()
    }

    /// The worker's figures.
    pub fn metrics(&self) -> &Metrics {
        &self.shell.metrics
    }

    /// Sets one of the checks behind `/readyz`. The process is ready while all of them pass, and
    /// there is at least one: connecting to a bus sets one.
    pub fn ready(&self, check: &'static str, ok: bool, why: &str) {
        self.shell.checks.set(check, ok, why);
    }

    /// Whether all checks pass.
    pub fn is_ready(&self) -> bool {
        self.shell.checks.all_pass()
    }

    /// The checks that fail, each as `check: why`.
    pub fn failing_checks(&self) -> Vec<String> {
        let checks = self.shell.checks.list().into_iter().filter(|check| !check.ok);
        checks.map(|check| format!("{}: {}", check.name, check.why)).collect()
    }

    /// Adds an address to the announcement file, e.g. the port that miners connect to.
    pub fn announce(&self, what: &str, address: &str) {
        self.shell.announce(what, address);
    }

    /// Runs a task beside the worker. It is awaited when the process drains; an error or a panic
    /// in it ends the process with that error.
    pub fn spawn<F>(&self, task: &'static str, work: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.shell.spawn(task, work);
    }

    /// Connects to a bus, and keeps trying until it answers or the process ends.
    pub async fn connect(&self, config: &BusConfig) -> Result<Bus, ConnectError> {
        Bus::connect(Arc::clone(&self.shell), config).await
    }

    /// Whether a feature flag is on. Flags that the configuration does not name are off.
    pub fn flag(&self, name: &str) -> bool {
        self.shell.config.load().flags.get(name).copied().unwrap_or(false)
    }

    /// Whether the operator holds all decisions back.
    pub fn read_only(&self) -> bool {
        *self.shell.read_only.borrow()
    }

    /// Holds all decisions back, or lets them go, until the next reload says otherwise.
    pub fn set_read_only(&self, read_only: bool) {
        self.shell.read_only.send_replace(read_only);
    }

    /// Waits until decisions may be taken, or the process ends.
    pub async fn writable(&self) {
        tokio::select! {
            () = self.shell.writable() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Cancelled when a successor has this process's listening sockets and serves: take nobody new,
    /// and end once those who are there have gone to it.
    pub fn handed_over(&self) -> &CancellationToken {
        &self.shell.handed_over
    }

    /// Counts reloads: changes each time that [`Self::config`] may have.
    pub fn reloads(&self) -> watch::Receiver<u64> {
        self.shell.reloads.subscribe()
    }

    /// Reads the secret that a configuration key names by its path.
    pub fn secret(&self, path: &Path) -> Result<SecretString, SecretError> {
        self.shell.secrets.read(path)
    }

    /// Begins the drain, waits for all tasks, and returns the first error. What is still in hand
    /// after `grace` is given up.
    pub async fn finish(&self, grace: Duration) -> anyhow::Result<()> {
        self.stop.cancel();
        self.shell.finish(grace).await
    }

    pub(crate) fn reloaded(&self, config: C, shell: ShellConfig) {
        self.config.store(Arc::new(config));
        self.shell.read_only.send_replace(shell.read_only);
        self.shell.config.store(Arc::new(shell));
        self.shell.reloads.send_modify(|count| *count += 1);
    }
}

/// How long the last words of one connection may take.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

/// Readiness checks of a process's first connections, in the order in which they are made.
const BUS_CHECKS: [&str; 4] = ["bus", "bus-2", "bus-3", "bus-4"];

impl Shell {
    /// The name of the readiness check of the next bus connection.
    pub(crate) fn next_bus_check(&self) -> &'static str {
        let index = self.connections.fetch_add(1, Ordering::Relaxed);
        BUS_CHECKS.get(index).copied().unwrap_or("bus-more")
    }

    pub(crate) fn connected(&self, client: async_nats::Client) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }

    /// Sends what the connections still hold.
    async fn flush(&self) {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner).split_off(0);
        for client in clients {
            if !matches!(tokio::time::timeout(FLUSH_DEADLINE, client.flush()).await, Ok(Ok(()))) {
                tracing::warn!("the bus was gone before everything was said");
            }
        }
    }

    /// Waits until decisions may be taken.
    pub(crate) async fn writable(&self) {
        let mut gate = self.read_only.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        drop(gate.wait_for(|read_only| !read_only).await);
    }

    pub(crate) fn spawn<F>(&self, task: &'static str, work: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(task, work, &self.stop, &self.halt);
    }

    /// Waits for all tasks; after `grace` they are given up.
    pub(crate) async fn finish(&self, grace: Duration) -> anyhow::Result<()> {
        let finished = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        self.halt.cancel();
        if !finished {
            let late = self.tasks.running();
            self.tasks.wait().await;
            self.tasks.record(anyhow::anyhow!(
                "still running {} ms after the drain began: {}",
                grace.as_millis(),
                late.join(", ")
            ));
        }
        self.flush().await;
        self.tasks.failure().map_or(Ok(()), Err)
    }

    pub(crate) fn announce(&self, what: &str, address: &str) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.insert(what.to_owned(), address.to_owned());
        if let Some(path) = &self.config.load().http.announce_file
            && let Err(error) = crate::http::write_announcement(path, self, &announced)
        {
            tracing::error!(path = %path.display(), %error, "cannot write the announcement file");
        }
    }

    pub(crate) fn set_ready_gauge(&self) {
        let ready = self.checks.all_pass() && !self.stop.is_cancelled();
        self.metrics.gauge(Name::WorkerReady).set(i64::from(ready));
    }
}
