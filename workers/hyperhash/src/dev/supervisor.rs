//! The process that keeps a network running.

use super::{
    home::{Home, Lock},
    hub::HubServers,
    logs,
    narrator::{Narrator, Terminal},
    network::{self, Keys, Network},
    observe::{
        observer::{Observer, Shared},
        status::Phase,
    },
    parts::{self, Parts},
    process::{
        identity::Identity,
        managed::Keeper,
        record::{Record, Stop},
        sweep,
    },
    providers::{self, Provider},
    servers,
    settings::{self, Choice},
    terminal,
    view::Page,
};
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use worker_runtime::clock::{Clock, SystemClock};

/// The supervisor's name in its record and log.
pub const NAME: &str = "supervisor";

/// How long a whole network may take to drain: each group's grace, and some.
pub const GRACE: Duration = Duration::from_secs(180);

/// How a network is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The private root with servers, if there is one.
    pub root: Option<PathBuf>,
    /// Ports that the person chose.
    pub ports: Vec<Choice>,
    /// How many servers the hub has; absent means as many as before, and one at first.
    pub hub_servers: Option<HubServers>,
    /// Hashes per second of each of the network's own miners.
    pub hashrate: u64,
    /// Names of [`super::workers::optional`] that are not started.
    pub without: Vec<String>,
    /// The sources of templates, by preference.
    pub providers: &'static [Provider],
    /// What the terminal shows.
    pub show: Show,
}

/// What the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A page that is drawn again every second.
    Page,
    /// One line an event.
    Lines,
    /// Nothing: nobody looks.
    Nothing,
}

/// Brings the network in `home` up and keeps it until a signal comes; `lock` proves that no other
/// supervisor does.
///
/// # Errors
///
/// When a part cannot be started or the network cannot be drained.
pub async fn supervise(home: &Home, lock: Lock, options: &Options) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(home.log(NAME))?;
    let terminal = if options.show == Show::Lines { Terminal::Lines } else { Terminal::Nothing };
    let narrator = Arc::new(Narrator::new(Arc::clone(&clock), log, terminal));
    home.supervisor().write(&Record {
        name: NAME.into(),
        order: u32::MAX,
        stop: Stop::Term,
        grace_secs: GRACE.as_secs(),
        identity: Identity::own()?,
    })?;
    let result = run(home, options, clock, narrator).await;
    home.supervisor().remove(NAME)?;
    drop(lock);
    result
}

async fn run(
    home: &Home,
    options: &Options,
    clock: Arc<dyn Clock>,
    narrator: Arc<Narrator>,
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let keeper = Keeper::new(home, Arc::clone(&narrator));
    let left = sweep::end_all(home.folder(), &keeper.records).await?;
    if !left.is_empty() {
        let text = format!("ended what an earlier supervisor left behind: {}", left.join(", "));
        narrator.warn("network", &text);
    }
    let servers = servers::find(options.root.as_deref())?;
    let tell = |line: &str| narrator.warn("network", line);
    let hub = settings::settle_hub(home, options.hub_servers)?;
    let names = parts::ports(hub, options.providers);
    let ports = settings::settle_ports(home, hub, &names, &options.ports, tell)?;
    let parts = Parts { home, servers: &servers, ports: &ports, hub, providers: options.providers };
    let keys = Keys::mint(home, hub, clock.now())?;
    let shared = Arc::new(Shared::default());
    let observer = Observer::new(&parts, Arc::clone(&shared), clock, network::endpoints(&parts)?)?;
    let watching = Watching::start(home, observer, &shared, &narrator, options)?;
    let network = Network::new(parts, keeper, Arc::clone(&shared))?;
    let result = live(network, &keys, options, &shared, &mut signals).await;
    watching.end().await?;
    result
}

/// Up, until a signal, down.
async fn live(
    mut network: Network<'_>,
    keys: &Keys,
    options: &Options,
    shared: &Shared,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let up = tokio::select! {
        up = network.bring_up(keys, options) => up.map(|()| Until::Signal),
        () = signals.stop() => Ok(Until::Now),
    };
    if let Ok(Until::Signal) = up {
        shared.phase.send_replace(Phase::Running);
        signals.stop().await;
    }
    shared.phase.send_replace(Phase::Stopping);
    let haste = network.haste();
    let drained = {
        let drain = network.drain();
        tokio::pin!(drain);
        tokio::select! {
            drained = &mut drain => drained,
            () = signals.stop() => {
                // Asked twice: nobody wants to wait for flushes any more.
                haste.cancel();
                drain.await
            }
        }
    };
    up.map(drop).and(drained)
}

/// Until when a network runs that has come up.
enum Until {
    Signal,
    Now,
}

/// The signals that end a network.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// What goes on beside the network: its observer, its logs' bounds, and what the terminal shows.
struct Watching {
    tasks: TaskTracker,
    stop: CancellationToken,
    status_file: PathBuf,
}

impl Watching {
    fn start(
        home: &Home,
        observer: Observer,
        shared: &Arc<Shared>,
        narrator: &Arc<Narrator>,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        drop(tasks.spawn(observer.run(Arc::clone(narrator), stop.clone())));
        drop(tasks.spawn(keep_logs_small(home.logs(), Arc::clone(narrator), stop.clone())));
        let (shared, narrator) = (Arc::clone(shared), Arc::clone(narrator));
        match options.show {
            Show::Page => {
                let page = Page::open()?;
                drop(tasks.spawn(terminal::draw(page, shared, narrator, stop.clone())));
            }
            Show::Lines => {
                let names = providers::core(options.providers);
                let follow = terminal::follow(home.clone(), names, shared, narrator, stop.clone());
                drop(tasks.spawn(follow));
            }
            Show::Nothing => {}
        }
        Ok(Self { tasks, stop, status_file: home.status() })
    }

    async fn end(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        // Only now nobody writes it any more.
        match fs::remove_file(&self.status_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

async fn keep_logs_small(folder: PathBuf, narrator: Arc<Narrator>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(LOOK_AT_LOGS_EVERY);
    while !stop.is_cancelled() {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = logs::trim(&folder) {
            narrator.warn("logs", &format!("cannot be kept small: {error}"));
        }
    }
}

const LOOK_AT_LOGS_EVERY: Duration = Duration::from_secs(30);
