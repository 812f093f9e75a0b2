//! A worker's way from a configuration file to a running task, without its type.

use super::{HTTP_GRACE, Setting, Worker};
use crate::{
    Context,
    clock::SystemClock,
    config::{self, ConfigError, Environment, Loaded, LogConfig, reload},
    http, logging,
    metric::Name,
};
use anyhow::Context as _;
use futures_util::future::BoxFuture;
use std::{
    fmt,
    marker::PhantomData,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

/// A worker that is not configured yet.
pub(super) trait Launch: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn print(&self, others: &[&str]) -> anyhow::Result<String>;
    fn prepare(&self, others: &[&'static str]) -> anyhow::Result<Box<dyn Prepared>>;
}

/// A worker with its configuration.
pub(super) trait Prepared: Send {
    fn name(&self) -> &'static str;
    fn log(&self) -> &LogConfig;
    fn start(self: Box<Self>) -> BoxFuture<'static, anyhow::Result<Started>>;
}

/// The handle of a running worker, and its end.
pub(super) type Started = (Box<dyn Running>, BoxFuture<'static, anyhow::Result<()>>);

/// A worker that runs.
pub(super) trait Running: Send + Sync {
    fn reload(&self);
    fn is_ready(&self) -> bool;
    fn hand_over(&self);
    fn stop(&self);
    fn halt(&self);
    fn gone(&self);
}

pub(super) fn of<W: Worker>(file: Option<PathBuf>, options: Vec<Setting>) -> Box<dyn Launch> {
    Box::new(Source::<W> { file, options, others: Vec::new(), worker: PhantomData })
}

struct Source<W> {
    file: Option<PathBuf>,
    /// What the command line says.
    options: Vec<Setting>,
    others: Vec<&'static str>,
    worker: PhantomData<fn() -> W>,
}

impl<W: Worker> fmt::Debug for Source<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", W::NAME)
    }
}

impl<W: Worker> Source<W> {
    fn load(&self, others: &[&str]) -> Result<Loaded<W::Config>, ConfigError> {
        let environment = Environment::of_process(W::NAME, others).and(&self.options);
        config::load(self.file.as_deref(), &environment, W::FLAGS)
    }
}

impl<W: Worker> Launch for Source<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }

    fn print(&self, others: &[&str]) -> anyhow::Result<String> {
        Ok(config::redacted(&self.load(others)?)?)
    }

    fn prepare(&self, others: &[&'static str]) -> anyhow::Result<Box<dyn Prepared>> {
        let loaded = self.load(others).with_context(|| format!("configuration of {}", W::NAME))?;
        let source = Self {
            file: self.file.clone(),
            options: self.options.clone(),
            others: others.to_vec(),
            worker: PhantomData,
        };
        Ok(Box::new(Ready { source, loaded }))
    }
}

struct Ready<W: Worker> {
    source: Source<W>,
    loaded: Loaded<W::Config>,
}

impl<W: Worker> Prepared for Ready<W> {
    fn name(&self) -> &'static str {
        W::NAME
    }

    fn log(&self) -> &LogConfig {
        &self.loaded.shell.log
    }

    fn start(self: Box<Self>) -> BoxFuture<'static, anyhow::Result<Started>> {
        Box::pin(start(*self))
    }
}

async fn start<W: Worker>(ready: Ready<W>) -> anyhow::Result<Started> {
    let Ready { source, loaded } = ready;
    // The running configuration is kept a second time to compare a reload with; the context's
    // copy belongs to the worker.
    let worker = config::copy(&loaded.worker)?;
    let shell = loaded.shell.clone();
    let context = Context::new(W::NAME, worker, shell, Arc::new(SystemClock::new()));
    let listener =
        http::bind(context.shell()).await.with_context(|| format!("worker {}", W::NAME))?;
    let ended = CancellationToken::new();
    let server = http::serve(listener, Arc::clone(context.shell()), ended.clone());
    let span = info_span!("worker", worker = W::NAME);
    let end = live::<W>(context.clone(), server, ended).instrument(span);
    let handle = Live { source, context, current: Mutex::new(loaded) };
    Ok((Box::new(handle), Box::pin(end)))
}

/// Runs the worker beside its HTTP listener, then drains.
async fn live<W: Worker>(
    context: Context<W::Config>,
    server: impl Future<Output = std::io::Result<()>>,
    ended: CancellationToken,
) -> anyhow::Result<()> {
    let work = async {
        tracing::info!(instance = context.instance(), "started");
        let main = context.clone();
        context.spawn("main", async move {
            let stop = main.stop.clone();
            let result = W::run(main).await;
            // A worker that has nothing left to do takes its helpers with it.
            stop.cancel();
            result
        });
        context.stop.cancelled().await;
        let grace = context.shell().config.load().grace();
        let result = context.finish(grace).await;
        tracing::info!(ok = result.is_ok(), "ended");
        ended.cancel();
        result
    };
    let handed_over = context.handed_over();
    let served = async {
        let late = async {
            ended.cancelled().await;
            tokio::time::sleep(HTTP_GRACE).await;
        };
        tokio::select! {
            served = server => served,
            () = late => Ok(()),
            // Who asks how this worker is means its successor, which has the socket.
            () = handed_over.cancelled() => Ok(()),
        }
    };
    let (served, result) = tokio::join!(served, work);
    result.with_context(|| format!("worker {}", W::NAME))?;
    served.context("the HTTP listener")
}

struct Live<W: Worker> {
    source: Source<W>,
    context: Context<W::Config>,
    current: Mutex<Loaded<W::Config>>,
}

impl<W: Worker> Running for Live<W> {
    fn reload(&self) {
        let result = self.try_reload();
        let label = if result.is_ok() { "ok" } else { "refused" };
        self.context.metrics().counter_with(Name::WorkerReloadsTotal, &[("result", label)]).inc();
        if let Err(error) = result {
            let cause = format!("{error:#}");
            tracing::error!(worker = W::NAME, cause, "the new configuration is refused");
        }
    }

    fn is_ready(&self) -> bool {
        self.context.is_ready()
    }

    fn hand_over(&self) {
        self.context.handed_over().cancel();
    }

    fn stop(&self) {
        self.context.stop.cancel();
    }

    fn halt(&self) {
        self.context.shell().halt.cancel();
    }

    /// Takes the announcement back, unless a successor has written its own.
    fn gone(&self) {
        let shell = self.context.shell();
        let Some(path) = shell.config.load().http.announce_file.clone() else { return };
        let ours = std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&shell.instance));
        if ours && let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove the announcement file");
        }
    }
}

impl<W: Worker> Live<W> {
    fn try_reload(&self) -> anyhow::Result<()> {
        let new = self.source.load(&self.source.others)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let reload = reload(&current, &new)?;
        if !reload.needs_restart.is_empty() {
            let keys = reload.needs_restart.join(", ");
            tracing::warn!(worker = W::NAME, keys, "changed, but needs a restart");
        }
        if reload.applied.iter().any(|key| key == "log.level") {
            logging::set_level(&reload.next.shell.log.level)?;
        }
        tracing::info!(worker = W::NAME, keys = reload.applied.join(", "), "reloaded");
        self.context.reloaded(config::copy(&reload.next.worker)?, reload.next.shell.clone());
        *current = reload.next;
        Ok(())
    }
}
