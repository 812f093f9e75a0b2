//! One process that is kept running until it is told to stop.

use super::{
    identity::Identity,
    record::{Record, Records, Stop},
    sweep,
};
use crate::dev::{home::Home, narrator::Narrator};
use anyhow::Context as _;
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What to run and how to end it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its name, e.g. `share-verifier`.
    pub name: String,
    /// What it is to the network.
    pub role: Role,
    /// Its place in the order of starting.
    pub order: u32,
    /// The program and its arguments.
    pub command: Launch,
    /// How it is asked to end.
    pub stop: Stop,
    /// How long it may take to end.
    pub grace: Duration,
    /// Where its output goes.
    pub log: PathBuf,
}

/// What a process is to its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Somebody else's program that we rely on.
    Server,
    /// One of ours.
    Worker,
    /// A miner.
    Miner,
}

/// A program, its arguments and where it runs.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its working directory.
    pub folder: PathBuf,
}

/// How a kept process does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// About to be started for the first time.
    Starting,
    /// Running.
    Running(Identity),
    /// Ended by itself, and about to be started again.
    Ended {
        /// How it ended.
        why: String,
    },
    /// Stopped because it was told to.
    Stopped,
}

/// The network that a process belongs to.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// The network's data folder.
    pub home: PathBuf,
    /// Where running processes are written down.
    pub records: Records,
    /// Who hears of ends and restarts.
    pub narrator: Arc<Narrator>,
    /// Cancelled when nobody wants to wait any more: what is told to stop is killed.
    pub haste: CancellationToken,
}

impl Keeper {
    /// A keeper of processes of the network in `home`.
    pub fn new(home: &Home, narrator: Arc<Narrator>) -> Self {
        let (folder, records) = (home.folder().to_owned(), home.records());
        Self { home: folder, records, narrator, haste: CancellationToken::new() }
    }
}

/// A process that is kept running.
#[derive(Debug)]
pub struct Managed {
    /// What is run.
    pub spec: Spec,
    condition: watch::Receiver<Condition>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A look at a process that somebody else keeps.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its name.
    pub name: String,
    /// What it is to the network.
    pub role: Role,
    /// How it does.
    pub condition: watch::Receiver<Condition>,
}

impl Keeper {
    /// Starts a process and keeps it running.
    pub fn keep(&self, spec: Spec) -> Managed {
        let (sender, condition) = watch::channel(Condition::Starting);
        let stop = CancellationToken::new();
        let work = keep_running(self.clone(), spec.clone(), sender, stop.clone());
        let task = TaskTracker::new().spawn(work);
        Managed { spec, condition, stop, task }
    }
}

impl Managed {
    /// How it does now.
    pub fn condition(&self) -> Condition {
        self.condition.borrow().clone()
    }

    /// Its present incarnation, while it runs.
    pub fn running(&self) -> Option<Identity> {
        match &*self.condition.borrow() {
            Condition::Running(identity) => Some(identity.clone()),
            Condition::Starting | Condition::Ended { .. } | Condition::Stopped => None,
        }
    }

    /// A look at it for others.
    pub fn watched(&self) -> Watched {
        let Spec { name, role, .. } = &self.spec;
        Watched { name: name.clone(), role: *role, condition: self.condition.clone() }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    ///
    /// When the task that keeps it has failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.with_context(|| format!("the keeper of {} failed", self.spec.name))
    }
}

/// Waits between restarts: the first comes at once, so that a crash costs little; a process that
/// crashes on every start must not burn a processor.
#[derive(Debug, Default)]
struct BackOff {
    failures: u32,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(15);
    /// A run of this length counts as healthy, and the next failure as the first.
    const HEALTHY: Duration = Duration::from_secs(30);

    fn after(&mut self, ran_for: Duration) -> Duration {
        if ran_for >= Self::HEALTHY {
            self.failures = 0;
        }
        let factor = 1_u32 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        Self::FIRST.saturating_mul(factor).min(Self::LONGEST)
    }
}

async fn keep_running(
    keeper: Keeper,
    spec: Spec,
    condition: watch::Sender<Condition>,
    stop: CancellationToken,
) {
    let mut back_off = BackOff::default();
    while !stop.is_cancelled() {
        let started = Instant::now();
        let why = match run_once(&keeper, &spec, &condition, &stop).await {
            Ok(None) => break,
            Ok(Some(status)) => format!("ended by itself ({status})"),
            Err(error) => format!("{error:#}"),
        };
        let wait = back_off.after(started.elapsed());
        keeper.narrator.warn(&spec.name, &format!("{why}; starting it again in {wait:?}"));
        condition.send_replace(Condition::Ended { why });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
    if let Err(error) = keeper.records.remove(&spec.name) {
        keeper.narrator.warn(&spec.name, &format!("{error:#}"));
    }
    condition.send_replace(Condition::Stopped);
}

/// Runs the process once. `None` means that it was told to stop.
async fn run_once(
    keeper: &Keeper,
    spec: &Spec,
    condition: &watch::Sender<Condition>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<ExitStatus>> {
    let mut child = spawn(keeper, spec)?;
    let identity = match write_down(keeper, spec, &child) {
        Ok(identity) => identity,
        Err(error) => {
            child.kill().await?;
            return Err(error);
        }
    };
    condition.send_replace(Condition::Running(identity.clone()));
    tokio::select! {
        status = child.wait() => Ok(Some(status?)),
        () = stop.cancelled() => {
            tokio::select! {
                ended = identity.end(spec.stop.signal(), spec.grace) => drop(ended?),
                () = keeper.haste.cancelled() => child.start_kill()?,
            }
            child.wait().await?;
            Ok(None)
        }
    }
}

fn spawn(keeper: &Keeper, spec: &Spec) -> anyhow::Result<Child> {
    let log = open_log(&spec.log)?;
    Command::new(&spec.command.program)
        .args(&spec.command.arguments)
        .current_dir(&spec.command.folder)
        .env(sweep::MARK, &keeper.home)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C in the terminal reaches the supervisor alone, which then drains in order.
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", spec.command.program.display()))
}

fn write_down(keeper: &Keeper, spec: &Spec, child: &Child) -> anyhow::Result<Identity> {
    let pid = child.id().context("it ended at once")?;
    let identity = Identity::of(pid)?.context("it ended at once")?;
    keeper.records.write(&Record {
        name: spec.name.clone(),
        order: spec.order,
        stop: spec.stop,
        grace_secs: spec.grace.as_secs(),
        identity: identity.clone(),
    })?;
    Ok(identity)
}

/// Opened to append, so that the file can be emptied while it is being written to.
fn open_log(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Bench {
        folder: tempfile::TempDir,
        home: Home,
        keeper: Keeper,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::prepare(&folder.path().join("net")).unwrap();
            let keeper = Keeper::new(&home, Arc::new(Narrator::silent()));
            Self { folder, home, keeper }
        }

        fn keep(&self, script: &str) -> Managed {
            self.keeper.keep(Spec {
                name: "it".into(),
                role: Role::Worker,
                order: 1,
                command: Launch {
                    program: "sh".into(),
                    arguments: vec!["-c".into(), script.into()],
                    folder: self.folder.path().to_owned(),
                },
                stop: Stop::Term,
                grace: Duration::from_secs(60),
                log: self.log(),
            })
        }

        fn log(&self) -> PathBuf {
            self.folder.path().join("it.log")
        }
    }

    async fn until(managed: &Managed, wanted: impl FnMut(&Condition) -> bool) -> Condition {
        let mut condition = managed.condition.clone();
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, condition.wait_for(wanted)).await.unwrap().unwrap().clone()
    }

    async fn run_of(managed: &Managed, not: Option<&Identity>) -> Identity {
        let mut found = None;
        let is_new = |condition: &Condition| {
            found = match condition {
                Condition::Running(identity) if Some(identity) != not => Some(identity.clone()),
                Condition::Running(_)
                | Condition::Starting
                | Condition::Ended { .. }
                | Condition::Stopped => None,
            };
            found.is_some()
        };
        until(managed, is_new).await;
        found.unwrap()
    }

    #[tokio::test]
    async fn a_killed_process_is_started_again_and_a_stopped_one_is_not() {
        let bench = Bench::new();
        let managed = bench.keep("exec sleep 600");
        let first = run_of(&managed, None).await;
        assert_eq!(bench.keeper.records.read("it").unwrap().unwrap().identity, first);

        first.end(rustix::process::Signal::KILL, Duration::from_secs(60)).await.unwrap();
        let second = run_of(&managed, Some(&first)).await;
        assert_eq!(bench.keeper.records.read("it").unwrap().unwrap().identity, second);

        let mut condition = managed.condition.clone();
        managed.stop().await.unwrap();
        assert_eq!(*condition.borrow_and_update(), Condition::Stopped);
        assert!(!second.is_alive().unwrap());
        assert_eq!(bench.keeper.records.last_first().unwrap(), []);
        assert_eq!(sweep::marked(bench.home.folder()).unwrap(), []);
    }

    #[tokio::test]
    async fn says_how_it_ended_and_keeps_what_it_printed() {
        let bench = Bench::new();
        let managed = bench.keep("echo out of order >&2; exit 7");
        let ended = until(&managed, |condition| matches!(condition, Condition::Ended { .. })).await;
        assert_eq!(ended, Condition::Ended { why: "ended by itself (exit status: 7)".into() },);
        managed.stop().await.unwrap();
        assert!(fs::read_to_string(bench.log()).unwrap().starts_with("out of order\n"));
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let bench = Bench::new();
        let mut spec = bench.keep("exit 0").spec;
        spec.command.program = "/nowhere/server".into();
        let managed = bench.keeper.keep(spec);
        let ended = until(&managed, |condition| matches!(condition, Condition::Ended { .. })).await;
        let Condition::Ended { why } = ended else { panic!("{ended:?}") };
        assert!(why.starts_with("cannot start /nowhere/server"), "{why}");
        managed.stop().await.unwrap();
    }

    #[tokio::test]
    async fn haste_kills_what_is_slow_to_end() {
        let bench = Bench::new();
        let managed = bench.keep("trap '' TERM; echo deaf; exec sleep 600");
        let run = run_of(&managed, None).await;
        while !fs::read_to_string(bench.log()).unwrap().contains("deaf") {
            tokio::task::yield_now().await;
        }
        bench.keeper.haste.cancel();
        managed.stop().await.unwrap();
        assert!(!run.is_alive().unwrap());
    }

    #[test]
    fn waits_longer_after_each_failure_until_it_ran_well() {
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..8).map(|_| back_off.after(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
        assert_eq!(back_off.after(BackOff::HEALTHY), BackOff::FIRST);
    }
}
