//! The life of a process: configuration, logs, signals, workers, drain, exit code.

mod launch;
mod signals;

use crate::{
    Context, WorkerConfig,
    handover::{self, Heir, Predecessor},
    logging::{self, Logs},
};
use anyhow::Context as _;
use launch::{Launch, Prepared, Running};
use signals::{Signal, Signals};
use std::{
    future::Future,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tokio::task::JoinSet;

/// A worker: a name, a configuration, and what it does until it is told to stop.
pub trait Worker: Send + 'static {
    /// The crate's name, e.g. `share-verifier`; also its user on the bus and its durable consumer.
    const NAME: &'static str;
    /// Feature flags that it knows.
    const FLAGS: &'static [&'static str] = &[];
    /// Its keys.
    type Config: WorkerConfig;

    /// Works until `ctx.stop` is cancelled and what is in hand is finished. An error ends the
    /// process.
    fn run(ctx: Context<Self::Config>) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// A key, its value, and the option of the command line that says so.
pub type Setting = (&'static str, String, &'static str);

/// One or several workers in one process, each with its own configuration, connection and
/// listener.
#[derive(Debug, Default)]
pub struct Process {
    workers: Vec<Box<dyn Launch>>,
    handover: Option<PathBuf>,
}

impl Process {
    /// A process without workers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a worker, configured by a file and the environment.
    #[must_use]
    pub fn worker<W: Worker>(self, config_file: Option<PathBuf>) -> Self {
        self.worker_with::<W>(config_file, Vec::new())
    }

    /// Adds a worker for which the command line has settings of its own. They stay in force when the
    /// configuration is read again.
    #[must_use]
    pub fn worker_with<W: Worker>(
        mut self,
        config_file: Option<PathBuf>,
        settings: Vec<Setting>,
    ) -> Self {
        self.workers.push(launch::of::<W>(config_file, settings));
        self
    }

    /// Takes over the listening sockets of the process that waits at this Unix socket, if there is
    /// one, and waits there for the next.
    #[must_use]
    pub fn handover(mut self, path: Option<PathBuf>) -> Self {
        self.handover = path;
        self
    }

    /// The effective configuration of every worker as TOML, secrets hidden.
    pub fn print_config(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for (worker, others) in self.with_others() {
            text.push_str(&format!("# {}\n{}\n", worker.name(), worker.print(&others)?));
        }
        Ok(text)
    }

    /// Runs all workers until they end or a signal comes, and says with which code to exit: 0
    /// after a clean end, 1 after an error, 2 when the configuration is refused.
    pub async fn run(self) -> ExitCode {
        let prepared = match self.prepare() {
            Ok(prepared) => prepared,
            Err(error) => {
                complain(&error);
                return ExitCode::from(2);
            }
        };
        match run_all(prepared, self.handover.as_deref()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    fn prepare(&self) -> anyhow::Result<Vec<Box<dyn Prepared>>> {
        self.with_others().map(|(worker, others)| worker.prepare(&others)).collect()
    }

    /// Every worker with the names of the others.
    fn with_others(&self) -> impl Iterator<Item = (&dyn Launch, Vec<&'static str>)> + '_ {
        self.workers.iter().enumerate().map(|(index, worker)| {
            let others = self.workers.iter().enumerate().filter(move |(other, _)| *other != index);
            (worker.as_ref(), others.map(|(_, other)| other.name()).collect())
        })
    }
}

/// The `main` of a binary with one worker: understands `--config <file>` and `--print-config`.
pub async fn run<W: Worker>() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (file, print) = match words.as_slice() {
        [] => (None, false),
        ["--print-config"] => (None, true),
        ["--config", file] => (Some(*file), false),
        ["--config", file, "--print-config"] | ["--print-config", "--config", file] => {
            (Some(*file), true)
        }
        _ => {
            let usage = format!("usage: {} [--config <file>] [--print-config]", W::NAME);
            complain(&anyhow::anyhow!(usage));
            return ExitCode::from(2);
        }
    };
    let process = Process::new().worker::<W>(file.map(|file| Path::new(file).to_owned()));
    if print { show(process.print_config()) } else { process.run().await }
}

#[expect(clippy::print_stdout, reason = "the answer to --print-config")]
fn show(config: anyhow::Result<String>) -> ExitCode {
    match config {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

/// The last words of a process: one line with the whole chain of causes.
#[expect(clippy::print_stderr, reason = "a person or a supervisor must see it without a log")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Makes ring the provider of all TLS in this process. A second call changes nothing.
pub(crate) fn install_crypto() {
    // An error means that a provider is installed already, which is what is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

async fn run_all(prepared: Vec<Box<dyn Prepared>>, handover: Option<&Path>) -> anyhow::Result<()> {
    install_crypto();
    let names: Vec<&str> = prepared.iter().map(|worker| worker.name()).collect();
    let logs = match prepared.first() {
        Some(first) => logging::init(first.log(), &names.join("+"))?,
        None => Logs::default(),
    };
    let mut running = Vec::new();
    let result = run_until_end(prepared, handover, &mut running).await;
    if let Err(error) = &result {
        tracing::error!(cause = format!("{error:#}"), "the process ends with an error");
    }
    running.iter().for_each(|worker| worker.gone());
    logs.finish().await;
    result
}

/// Starts all workers, and only when all have their listeners lets them work.
async fn run_until_end(
    prepared: Vec<Box<dyn Prepared>>,
    handover: Option<&Path>,
    running: &mut Vec<Box<dyn Running>>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let succession = match handover {
        Some(path) => Some(Succession::begin(path).await?),
        None => None,
    };
    let mut lives = Vec::new();
    for worker in prepared {
        let (handle, life) = worker.start().await?;
        running.push(handle);
        lives.push(life);
    }
    let mut ends: JoinSet<_> = lives.into_iter().collect();
    let running: &[_] = running;
    let succession = async {
        match succession {
            Some(succession) => succession.relieved(running).await,
            None => std::future::pending().await,
        }
    };
    supervise(&mut signals, running, &mut ends, succession).await
}

/// This process between the one before it and the one after it.
struct Succession {
    path: PathBuf,
    place: Place,
}

/// Whom the sockets are had from.
enum Place {
    /// Nobody: this process waits for the next from its start.
    First(Heir),
    /// One who waits until this process serves.
    After(Predecessor),
}

impl Succession {
    async fn begin(path: &Path) -> anyhow::Result<Self> {
        let place = match handover::inherit(path).await? {
            Some(predecessor) => Place::After(predecessor),
            None => Place::First(wait_at(path)?),
        };
        Ok(Self { path: path.to_owned(), place })
    }

    /// Relieves the predecessor when all workers serve, and returns when this process is relieved.
    async fn relieved(self, running: &[Box<dyn Running>]) -> anyhow::Result<()> {
        let heir = match self.place {
            Place::First(heir) => heir,
            Place::After(predecessor) => {
                while !running.iter().all(|worker| worker.is_ready()) {
                    tokio::time::sleep(LOOK).await; // polls
                }
                let heir = wait_at(&self.path)?;
                match predecessor.relieve().await {
                    Ok(()) => tracing::info!("the predecessor is relieved"),
                    Err(error) => tracing::warn!(%error, "the predecessor had ended before"),
                }
                heir
            }
        };
        heir.relieved().await;
        Ok(())
    }
}

/// How often it is looked whether all workers serve.
const LOOK: Duration = Duration::from_millis(50);

fn wait_at(path: &Path) -> anyhow::Result<Heir> {
    let hint = || {
        format!("cannot wait for a successor at {}: is its folder there and ours?", path.display())
    };
    Heir::wait_at(path).with_context(hint)
}

/// Waits for workers to end and signals to come. The first error or signal drains all; the
/// second signal, or the end of the grace, gives up what is still in hand.
async fn supervise(
    signals: &mut Signals,
    running: &[Box<dyn Running>],
    ends: &mut JoinSet<anyhow::Result<()>>,
    succession: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    let mut draining = false;
    let mut waits = true;
    tokio::pin!(succession);
    loop {
        tokio::select! {
            end = ends.join_next() => match end {
                None => return result,
                Some(end) => {
                    if let Err(error) = end.map_err(anyhow::Error::from).flatten() {
                        result = result.and(Err(error));
                        drain(running);
                        draining = true;
                    }
                }
            },
            relieved = &mut succession, if waits && !draining => {
                waits = false;
                match relieved {
                    Ok(()) => {
                        tracing::info!("a successor serves: hands over");
                        running.iter().for_each(|worker| worker.hand_over());
                    }
                    Err(error) => {
                        let cause = format!("{error:#}");
                        tracing::error!(cause, "cannot hand over: the next start is not seamless");
                    }
                }
            }
            signal = signals.next() => match signal {
                Signal::Reload => running.iter().for_each(|worker| worker.reload()),
                Signal::Stop if draining => {
                    running.iter().for_each(|worker| worker.halt());
                    result = result.and(Err(anyhow::anyhow!("ended at once by a second signal")));
                }
                Signal::Stop => {
                    tracing::info!("draining");
                    drain(running);
                    draining = true;
                }
            },
        }
    }
}

fn drain(running: &[Box<dyn Running>]) {
    running.iter().for_each(|worker| worker.stop());
}

/// How long requests in progress may take to end after their worker has.
const HTTP_GRACE: Duration = Duration::from_secs(1);
