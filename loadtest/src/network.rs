//! A whole network of the development stack, driven through its own command line, as a person
//! would: started, looked at, broken, ended.

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sqlx::PgPool;
use std::{
    fmt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};
use subjects::Payload;
use tokio::{process::Command, time::sleep};
use worker_runtime::{
    Bus, BusConfig, Context, Delivery, TlsConfig,
    clock::{Clock as _, SystemClock},
    transform::Start,
};

/// Each look starts a process: the machine has better things to do.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// How long anything may take that should happen.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// How long a connection may take to open.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);

/// What `hyperhash dev status --json` says.
#[derive(Clone, Debug)]
pub struct Status(Value);

impl Status {
    /// Whether all parts run and are ready.
    pub fn is_ready(&self) -> bool {
        self.is("ready")
    }

    fn is(&self, state: &str) -> bool {
        self.0.pointer("/state").and_then(Value::as_str) == Some(state)
    }

    /// A number, by its JSON pointer.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn number(&self, path: &str) -> anyhow::Result<u64> {
        let number = self.0.pointer(path).and_then(Value::as_u64);
        number.with_context(|| format!("the status has no number {path}: {self}"))
    }

    /// A text, by its JSON pointer.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn text(&self, path: &str) -> anyhow::Result<String> {
        let text = self.0.pointer(path).and_then(Value::as_str);
        Ok(text.with_context(|| format!("the status has no text {path}: {self}"))?.to_owned())
    }

    /// The names of an object's members, by its JSON pointer.
    ///
    /// # Errors
    ///
    /// When there is no such object.
    pub fn names(&self, path: &str) -> anyhow::Result<Vec<String>> {
        let object = self.0.pointer(path).and_then(Value::as_object);
        let object = object.with_context(|| format!("the status has no object {path}: {self}"))?;
        Ok(object.keys().cloned().collect())
    }

    /// The process id of a part: `group` is `workers`, `servers` or `miners`.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pid(&self, group: &str, name: &str) -> anyhow::Result<u64> {
        self.number(&format!("/{group}/{name}/pid")).with_context(|| format!("{name} is down"))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// A running network. It ends with the value.
#[derive(Debug)]
pub struct Network {
    program: PathBuf,
    data: PathBuf,
    clock: SystemClock,
}

impl Network {
    /// Starts the network whose data is in `data` and waits until it is ready. `program` is
    /// `hyperhash`; `options` go to its `dev up`.
    ///
    /// # Errors
    ///
    /// When it does not come up, with what it said.
    pub async fn up(program: &Path, data: &Path, options: &[&str]) -> anyhow::Result<Self> {
        let clock = SystemClock::new();
        let network = Self { program: program.to_owned(), data: data.to_owned(), clock };
        let mut arguments = vec!["dev", "up", "--detach", "--plain"];
        arguments.extend(options);
        let output = network.run(&arguments).await?;
        ensure!(output.status.success(), "the network does not come up:\n{}", said(&output));
        Ok(network)
    }

    /// `hyperhash …` against this network.
    ///
    /// # Errors
    ///
    /// When the program cannot be run.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(arguments).output().await.context("cannot run hyperhash")
    }

    /// A command against this network that is not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("HYPERHASH_DEV_DATA_DIR", &self.data).stdin(Stdio::null());
        command
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A clock for whoever waits.
    pub const fn clock(&self) -> &SystemClock {
        &self.clock
    }

    /// The status, as its schema has it.
    ///
    /// # Errors
    ///
    /// When it cannot be had.
    pub async fn status(&self) -> anyhow::Result<Status> {
        let output = self.run(&["dev", "status", "--json"]).await?;
        let status = serde_json::from_slice(&output.stdout);
        Ok(Status(status.with_context(|| format!("the status is no JSON:\n{}", said(&output)))?))
    }

    /// Waits until the status is as `wanted`, and returns it.
    ///
    /// # Errors
    ///
    /// When that takes longer than [`PATIENCE`].
    pub async fn until(
        &self,
        what: &str,
        wanted: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        let deadline = self.clock.monotonic() + PATIENCE;
        loop {
            let status = self.status().await?;
            if wanted(&status) {
                return Ok(status);
            }
            ensure!(self.clock.monotonic() < deadline, "not {what} within {PATIENCE:?}: {status}");
            sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Waits until all parts run and are ready.
    ///
    /// # Errors
    ///
    /// Those of [`Self::until`].
    pub async fn ready(&self) -> anyhow::Result<Status> {
        self.until("ready", Status::is_ready).await
    }

    /// Drains the network, and makes sure that it says so.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub async fn down(&self) -> anyhow::Result<()> {
        let output = self.run(&["dev", "down"]).await?;
        ensure!(output.status.success(), "it does not end:\n{}", said(&output));
        let status = self.status().await?;
        ensure!(status.is("down"), "it has not ended: {status}");
        Ok(())
    }

    /// The files in which the network's own miners note their acknowledged shares.
    ///
    /// # Errors
    ///
    /// When there is no such folder.
    pub fn acknowledged(&self) -> anyhow::Result<Vec<PathBuf>> {
        let folder = self.data.join("acknowledged");
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("no acknowledged shares in {}", folder.display()))?;
        entries.map(|entry| Ok(entry?.path())).collect()
    }

    /// How many shares are on file as acknowledged.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn acknowledged_count(&self) -> anyhow::Result<usize> {
        let files = self.acknowledged()?;
        let counts = files.iter().map(|file| Ok(std::fs::read_to_string(file)?.lines().count()));
        counts.sum()
    }

    /// Where a miner of this name notes its acknowledged shares, so that audits know of them.
    pub fn acknowledged_of(&self, miner: &str) -> PathBuf {
        self.data.join("acknowledged").join(miner)
    }

    /// A connection to the hub with the credential of a role.
    ///
    /// # Errors
    ///
    /// When the hub does not take it.
    pub async fn bus(&self, role: &str) -> anyhow::Result<Connection> {
        let config = self.hub(&self.status().await?, role)?;
        Connection::open(BusConfig { inbox_prefix: Some(format!("_INBOX_{role}")), ..config }).await
    }

    /// A connection to the hub as a worker has it.
    ///
    /// # Errors
    ///
    /// When the hub does not take it.
    pub async fn bus_of(&self, worker: &str) -> anyhow::Result<Connection> {
        Connection::open(BusConfig {
            creds_file: Some(self.data.join(format!("keys/creds/{worker}.creds"))),
            inbox_prefix: Some(format!("_INBOX_{worker}")),
            ..self.hub(&self.status().await?, "operator")?
        })
        .await
    }

    /// How to reach the hub with the credential of a role.
    ///
    /// # Errors
    ///
    /// When the network does not run.
    pub fn hub(&self, status: &Status, role: &str) -> anyhow::Result<BusConfig> {
        let ca_file = Some(status.text("/endpoints/nats/ca_file")?.into());
        Ok(BusConfig {
            creds_file: Some(status.text(&format!("/credentials/{role}"))?.into()),
            tls: Some(TlsConfig { ca_file, ..TlsConfig::default() }),
            ..BusConfig::new(status.text("/endpoints/nats/hub")?)
        })
    }

    /// The leaf server of node `n1`, with the key that its operator holds for the ingress.
    ///
    /// # Errors
    ///
    /// When the leaf does not take it.
    pub async fn leaf_ingress(&self) -> anyhow::Result<Connection> {
        let url = self.status().await?.text("/endpoints/nats/leaf")?;
        let mut connection = Connection::open(BusConfig {
            nkey_seed_file: Some(self.data.join("keys/nodes/n1/ingress-sv2.nk")),
            inbox_prefix: Some("_INBOX_n1.ingress-sv2".to_owned()),
            ..BusConfig::new(url)
        })
        .await?;
        connection.bus = connection.bus.route("shares.submitted.*.*", streams::OUT_SHARES);
        Ok(connection)
    }

    /// A connection to the database that may read everything.
    ///
    /// # Errors
    ///
    /// When the database does not take it.
    pub async fn database(&self) -> anyhow::Result<PgPool> {
        let url = self.status().await?.text("/endpoints/postgresql")?;
        PgPool::connect(&url).await.context("cannot reach the database")
    }

    /// Sends a signal to a process of the network: `group` is `workers`, `servers` or `miners`.
    /// Returns its process id.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn signal(&self, group: &str, name: &str, signal: Signal) -> anyhow::Result<u64> {
        let pid = self.status().await?.pid(group, name)?;
        send(pid, signal)?;
        Ok(pid)
    }

    /// Kills a process and waits until another one has its place.
    ///
    /// # Errors
    ///
    /// When none takes it.
    pub async fn kill(&self, group: &str, name: &str) -> anyhow::Result<()> {
        self.replace(group, name, Signal::KILL).await
    }

    /// Ends a process by a signal and waits until another one has its place.
    ///
    /// # Errors
    ///
    /// When none takes it.
    pub async fn replace(&self, group: &str, name: &str, by: Signal) -> anyhow::Result<()> {
        let old = self.signal(group, name, by).await?;
        let restarted = |status: &Status| status.pid(group, name).is_ok_and(|now| now != old);
        self.until(&format!("{name} started again"), restarted).await?;
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(&self.program);
        command.args(["dev", "down"]).env("HYPERHASH_DEV_DATA_DIR", &self.data);
        // It may have been ended before, and nobody is left to be told.
        drop(command.output());
    }
}

/// A connection to a bus, as a tool uses it.
#[derive(Debug)]
pub struct Connection {
    context: Context<()>,
    /// The bus.
    pub bus: Bus,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the server does not take it in time.
    pub async fn open(config: BusConfig) -> anyhow::Result<Self> {
        let context = Context::detached("loadtest", ());
        let connecting = tokio::time::timeout(CONNECT_PATIENCE, context.connect(&config));
        let bus = connecting.await.context("no connection in time")??;
        Ok(Self { bus, context })
    }

    /// Everything of one type that a stream holds now.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read, or holds what is not of that type.
    pub async fn all<P: Payload>(&self, stream: &str, filter: &str) -> anyhow::Result<Vec<P>> {
        let mut reader = self.bus.ordered(stream, vec![filter.to_owned()], Start::First);
        reader.opened().await?;
        let mut found = Vec::new();
        while !reader.caught_up() {
            found.push(P::decode(&reader.next().await?.body)?);
        }
        Ok(found)
    }

    /// The first message from `start` on.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read.
    pub async fn first(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
    ) -> anyhow::Result<Delivery> {
        let mut reader = self.bus.ordered(stream, vec![filter.to_owned()], start);
        Ok(reader.next().await?)
    }

    /// Closes it.
    ///
    /// # Errors
    ///
    /// When a task of it failed.
    pub async fn finish(self) -> anyhow::Result<()> {
        self.context.finish(Duration::from_secs(2)).await
    }
}

/// Sends a signal to a process.
///
/// # Errors
///
/// When there is no such process.
pub fn send(pid: u64, signal: Signal) -> anyhow::Result<()> {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        bail!("{pid} is no process id");
    };
    kill_process(process, signal).with_context(|| format!("cannot signal {pid}"))
}

/// What a program printed.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}
