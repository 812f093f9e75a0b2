//! A nats-server with JetStream that syncs every write, as production does.

use super::{START_DEADLINE, end, root, signal, until};
use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// How long a polite end may take.
const GRACE: Duration = Duration::from_secs(5);

/// A running server. It is killed when this is dropped, and its data is removed.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    domain: Option<String>,
    extra: String,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server on a free port.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with("").await
    }

    /// Starts a server with more configuration, e.g. accounts or a leaf remote. The words
    /// `$DIR` in it stand for the server's own folder.
    pub async fn start_with(extra: &str) -> anyhow::Result<Self> {
        Self::launch(None, extra).await
    }

    /// The same with a `JetStream` domain of its own, as leaves have.
    pub async fn start_in_domain(domain: &str, extra: &str) -> anyhow::Result<Self> {
        Self::launch(Some(domain.to_owned()), extra).await
    }

    async fn launch(domain: Option<String>, extra: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hyperhash-nats-").tempdir()?;
        let mut server = Self { folder, domain, extra: extra.to_owned(), port: 0, child: None };
        server.restart().await?;
        Ok(server)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The server's own folder: its configuration, log and store.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the server again on the same port and data, after [`Self::kill9`] or [`Self::stop`].
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        fs::write(self.config_file(), self.config())?;
        let log = fs::File::options().create(true).append(true).open(self.log_file())?;
        let child = Command::new(root::nats_server()?)
            .arg("--config")
            .arg(self.config_file())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start nats-server")?;
        let ports = self.folder().join(format!("nats-server_{}.ports", child.id()));
        self.child = Some(child);
        let log = self.log_file();
        until("nats-server says its ports", START_DEADLINE, async || port_of(&ports).is_some())
            .await
            .with_context(|| fs::read_to_string(log).unwrap_or_default())?;
        self.port = port_of(&ports).context("no port")?;
        let port = self.port;
        until("nats-server answers", START_DEADLINE, async || {
            TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await
    }

    /// Kills the server as a crash does: nothing is flushed, nobody is told.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if the server ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// Ends the server politely.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            end(&mut child, Signal::TERM, GRACE);
        }
    }

    /// Freezes the server: connections stay open and nobody answers.
    pub fn freeze(&self) -> anyhow::Result<()> {
        signal(self.child.as_ref().context("not running")?, Signal::STOP)
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        signal(self.child.as_ref().context("not running")?, Signal::CONT)
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Creates a stream for these subjects; `extra` overrides any of its settings.
    pub async fn stream(&self, name: &str, subjects: &[&str], extra: Value) -> anyhow::Result<()> {
        let mut config = json!({
            "name": name,
            "subjects": subjects,
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "num_replicas": 1,
            "duplicate_window": Duration::from_secs(120).as_nanos(),
        });
        if let (Some(config), Value::Object(extra)) = (config.as_object_mut(), extra) {
            config.extend(extra);
        }
        self.call(&format!("STREAM.CREATE.{name}"), &config).await.map(drop)
    }

    /// Creates a bucket of keys and values; `max_age` is the length of the leases in it.
    pub async fn bucket(&self, name: &str, max_age: Option<Duration>) -> anyhow::Result<()> {
        let age = max_age.map_or(0, |age| age.as_nanos());
        let extra = json!({
            "max_msgs_per_subject": 1,
            "max_age": age,
            "duplicate_window": max_age.unwrap_or(Duration::from_secs(120)).as_nanos(),
            "allow_rollup_hdrs": true,
            "allow_direct": true,
            "deny_delete": true,
        });
        self.stream(&format!("KV_{name}"), &[&format!("$KV.{name}.>")], extra).await
    }

    /// Calls JetStream's API, without the `$JS.API.` before `call`.
    pub async fn call(&self, call: &str, question: &Value) -> anyhow::Result<Value> {
        crate::process::install_crypto();
        let client = async_nats::connect(self.url()).await?;
        let subject = format!("$JS.API.{call}");
        let answer = client.request(subject, serde_json::to_vec(question)?.into()).await?;
        let answer: Value = serde_json::from_slice(&answer.payload)?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => anyhow::bail!("{call}: {error}"),
        }
    }

    fn config(&self) -> String {
        let folder = self.folder().display().to_string();
        let port = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let extra = self.extra.replace("$DIR", &folder);
        let domain = self.domain.as_ref().map_or(String::new(), |name| format!(", domain: {name}"));
        format!(
            "host: 127.0.0.1\nport: {port}\nports_file_dir: \"{folder}\"\n\
             jetstream {{ store_dir: \"{folder}/store\", sync_interval: always{domain} }}\n{extra}\n"
        )
    }

    fn config_file(&self) -> PathBuf {
        self.folder().join("nats.conf")
    }

    fn log_file(&self) -> PathBuf {
        self.folder().join("nats.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// The client port in a server's ports file; `None` while the file is absent or half written.
fn port_of(file: &Path) -> Option<u16> {
    let ports: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    ports.get("nats")?.get(0)?.as_str()?.rsplit(':').next()?.parse().ok()
}
