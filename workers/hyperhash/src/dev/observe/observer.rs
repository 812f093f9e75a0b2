//! Looks at everything, once a second.

use super::{
    figures::Figures,
    health::Asker,
    metrics::Page,
    status::{Looks, Phase, assemble},
    tally::Tally,
};
use crate::{
    dev::{
        files,
        home::Home,
        hub::monitor_port,
        narrator::Narrator,
        parts::Parts,
        postgresql::database::{self, Database, Recorded, Role as DatabaseRole},
        process::{
            identity::Identity,
            managed::{Condition, Role, Watched},
        },
        providers::Provider,
        settings::Ports,
        workers::{metrics_port, of_process},
    },
    status::{Endpoints, Health, Process, Status},
};
use anyhow::Context as _;
use bitcoind_rpc::Rpc;
use futures_util::future::join_all;
use sqlx::PgConnection;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use worker_runtime::clock::Clock;

/// How often to look.
const EVERY: Duration = Duration::from_secs(1);
/// A database that answers later than this is as good as silent.
const DATABASE_DEADLINE: Duration = Duration::from_secs(2);
/// The file of what is counted over all starts.
const COUNTERS: &str = "counters.json";

/// What a supervisor and its observer share.
#[derive(Debug)]
pub struct Shared {
    /// How far the network is in its life.
    pub phase: watch::Sender<Phase>,
    /// The latest status.
    pub status: watch::Sender<Status>,
    /// What the public facts say.
    pub tally: Arc<Mutex<Tally>>,
    watched: Mutex<Vec<Watched>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Starting),
            status: watch::Sender::default(),
            tally: Arc::default(),
            watched: Mutex::default(),
        }
    }
}

impl Shared {
    /// Adds a process to those that are watched.
    pub fn watch(&self, process: Watched) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(process);
    }

    fn watched(&self) -> Vec<Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Looks at a network.
pub struct Observer {
    home: Home,
    ports: Ports,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    endpoints: Endpoints,
    database: Database,
    connection: Option<PgConnection>,
    recorded: Recorded,
    /// By process.
    bitcoinds: BTreeMap<String, Rpc>,
    asker: Asker,
    figures: Figures,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").field("home", &self.home).finish_non_exhaustive()
    }
}

/// What one process showed of itself.
struct Look {
    name: String,
    role: Role,
    process: Process,
    page: Option<(u32, Page)>,
}

impl Observer {
    /// An observer of the network of `parts`, which listens at `endpoints`.
    ///
    /// # Errors
    ///
    /// When what was counted before cannot be read.
    pub fn new(
        parts: &Parts<'_>,
        shared: Arc<Shared>,
        clock: Arc<dyn Clock>,
        endpoints: Endpoints,
    ) -> anyhow::Result<Self> {
        let bitcoind = |provider: &Provider| {
            let rpc = Rpc::new(parts.bitcoind_rpc(*provider)?)?;
            anyhow::Ok((provider.process("bitcoind"), rpc))
        };
        Ok(Self {
            home: parts.home.clone(),
            ports: parts.ports.clone(),
            shared,
            clock,
            endpoints,
            database: parts.database()?,
            connection: None,
            recorded: Recorded::default(),
            bitcoinds: parts.providers.iter().map(bitcoind).collect::<anyhow::Result<_>>()?,
            asker: Asker::new()?,
            figures: Figures::new(read_counters(parts.home)?),
        })
    }

    /// Keeps the status up to date, for those who share it and in its file, until `stop`.
    pub async fn run(mut self, narrator: Arc<Narrator>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            match self.look().await.and_then(|status| self.show(status)) {
                Ok(()) => failing = false,
                // One line a fault: the next second will most likely meet the same.
                Err(error) if !failing => {
                    narrator.warn("status", &format!("{error:#}"));
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }

    fn show(&self, status: Status) -> anyhow::Result<()> {
        let file = files::show(&self.home.status(), &serde_json::to_vec_pretty(&status)?);
        self.shared.status.send_replace(status);
        file.and_then(|()| self.keep_counters())
    }

    async fn look(&mut self) -> anyhow::Result<Status> {
        // The database first: what is recorded was accepted before.
        let database = self.look_at_database().await;
        let looks = join_all(self.shared.watched().into_iter().map(|process| {
            // Borrows of `self` end with the looks.
            self.look_at(process, database.as_ref().err().map(ToString::to_string))
        }))
        .await;
        let mut seen = Looks::default();
        for Look { name, role, process, page } in looks {
            if let Some((pid, page)) = page {
                self.figures.add(&name, pid, &page);
            }
            match role {
                Role::Server => seen.servers.insert(name, process),
                Role::Worker => seen.workers.insert(name, process),
                Role::Miner => seen.miners.insert(name, process),
            };
        }
        if let Some(free) = self.home.space_problem() {
            seen.problems.push(free);
        }
        let tally = self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let phase = *self.shared.phase.borrow();
        let now = self.clock.now();
        let mut status = assemble(phase, now, seen, &tally, &self.recorded, &self.figures);
        status.endpoints = Some(self.endpoints.clone());
        status.credentials = crate::dev::workers::credentials(&self.home.keys())?;
        Ok(status)
    }

    async fn look_at(&self, watched: Watched, database: Option<String>) -> Look {
        let Watched { name, role, condition } = watched;
        let condition = condition.borrow().clone();
        let Condition::Running(Identity { pid, .. }) = condition else {
            let why = match condition {
                Condition::Ended { why } => Some(why),
                Condition::Starting | Condition::Running(_) | Condition::Stopped => None,
            };
            let process = Process { pid: None, health: Health::Down, why };
            return Look { name, role, process, page: None };
        };
        let asked = match role {
            Role::Server => self.ask_server(&name, database).await,
            Role::Worker => self.ask_worker(&name).await,
            Role::Miner => Ok(()),
        };
        let page = if role == Role::Worker { self.page(&name).await.ok() } else { None };
        let (health, why) = match asked {
            Ok(()) => (Health::Ready, None),
            Err(error) => (Health::Unready, Some(format!("{error:#}"))),
        };
        let process = Process { pid: Some(pid), health, why };
        Look { name, role, process, page: page.map(|page| (pid, page)) }
    }

    async fn ask_worker(&self, name: &str) -> anyhow::Result<()> {
        for worker in of_process(name) {
            self.asker.worker(self.ports.address(&metrics_port(worker))?).await?;
        }
        Ok(())
    }

    async fn page(&self, name: &str) -> anyhow::Result<Page> {
        // Of several workers the sum.
        let mut text = String::new();
        for worker in of_process(name) {
            text += &self.asker.metrics(self.ports.address(&metrics_port(worker))?).await?;
        }
        Ok(Page::parse(&text))
    }

    async fn ask_server(&self, name: &str, database: Option<String>) -> anyhow::Result<()> {
        if let Some(bitcoind) = self.bitcoinds.get(name) {
            return Ok(bitcoind.state().await.map(drop)?);
        }
        match name {
            "postgresql" => database.map_or(Ok(()), |why| Err(anyhow::Error::msg(why))),
            "leaf" => {
                let monitor = self.ports.address("leaf-monitor")?;
                self.asker.nats(monitor).await?;
                self.asker.link(monitor).await
            }
            of_hub => self.asker.nats(self.ports.address(&monitor_port(of_hub))?).await,
        }
    }

    /// Reads what is recorded; while the database is silent, what it said last stands.
    async fn look_at_database(&mut self) -> anyhow::Result<()> {
        let work = async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.database.connect(DatabaseRole::Reader).await?,
            };
            let recorded = database::recorded(&mut connection).await?;
            anyhow::Ok((connection, recorded))
        };
        let late = || format!("it does not answer within {DATABASE_DEADLINE:?}");
        let (connection, recorded) =
            tokio::time::timeout(DATABASE_DEADLINE, work).await.with_context(late)??;
        self.connection = Some(connection);
        self.recorded = recorded;
        Ok(())
    }

    fn keep_counters(&self) -> anyhow::Result<()> {
        let path = self.home.folder().join(COUNTERS);
        files::show(&path, &serde_json::to_vec(&self.figures.counters)?)
    }
}

fn read_counters(home: &Home) -> anyhow::Result<super::counter::Counters> {
    let path = home.folder().join(COUNTERS);
    match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} is damaged; delete it, or `hyperhash dev reset` starts over",
                path.display()
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Default::default()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
