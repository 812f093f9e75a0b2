//! The whole network on this machine, started and ended as a person would.

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};
use subjects::Payload;
use worker_runtime::{Bus, BusConfig, Context, Delivery, TlsConfig, transform::Start};

/// How long anything may take that should happen.
const PATIENCE: Duration = Duration::from_secs(240);

/// Each look starts a process: the machine has better things to do.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// A running network with a data folder of its own; ends with the value.
pub(crate) struct Network {
    program: PathBuf,
    data: tempfile::TempDir,
}

impl Network {
    /// Starts it and waits until it is ready. `options` go to `dev up`.
    pub(crate) fn up(options: &[&str]) -> Self {
        let network = Self { program: program(), data: tempfile::tempdir().unwrap() };
        let mut arguments = vec!["dev", "up", "--detach", "--plain"];
        arguments.extend(options);
        let output = network.run(&arguments);
        assert!(output.status.success(), "the network does not come up:\n{}", said(&output));
        network
    }

    /// `hyperhash …` against this network.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("HYPERHASH_DEV_DATA_DIR", self.data.path());
        command.output().unwrap()
    }

    /// The status as the contract has it.
    pub(crate) fn status(&self) -> Value {
        let output = self.run(&["dev", "status", "--json"]);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("the status is no JSON ({error}):\n{}", said(&output)))
    }

    /// Waits until the status satisfies `wanted`, and returns it.
    pub(crate) fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "not {what} within {PATIENCE:?}: {status:#}");
            std::thread::park_timeout(BETWEEN_LOOKS);
        }
    }

    /// Ends it, and proves that nothing is left.
    pub(crate) fn down(&self) {
        let output = self.run(&["dev", "down"]);
        assert!(output.status.success(), "it does not end:\n{}", said(&output));
        assert_eq!(self.status()["state"], "down");
    }

    /// Every file below the data folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.run(&["dev", "down"]);
    }
}

/// The binary, built beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("hyperhash");
    assert!(program.exists(), "build it first: cargo build --package hyperhash");
    program
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

impl Network {
    /// Shares that the network's own miners have on file as acknowledged.
    pub(crate) fn acknowledged_lines(&self) -> usize {
        let mut lines = 0;
        walk(&self.data().join("acknowledged"), &mut |path| {
            lines += std::fs::read_to_string(path).unwrap_or_default().lines().count();
        });
        lines
    }

    /// A connection to the hub with the credential of a role.
    pub(crate) async fn bus(&self, role: &str) -> Connection {
        let status = self.status();
        let creds = status["credentials"][role].as_str().unwrap();
        let nats = &status["endpoints"]["nats"];
        let ca_file = Some(nats["ca_file"].as_str().unwrap().into());
        Connection::open(BusConfig {
            creds_file: Some(creds.into()),
            inbox_prefix: Some(format!("_INBOX_{role}")),
            tls: Some(TlsConfig { ca_file, ..TlsConfig::default() }),
            ..BusConfig::new(nats["hub"].as_str().unwrap().to_owned())
        })
        .await
    }

    /// A connection to the database that may read everything.
    pub(crate) async fn database(&self) -> sqlx::PgPool {
        let status = self.status();
        let url = status["endpoints"]["postgresql"].as_str().unwrap().to_owned();
        sqlx::PgPool::connect(&url).await.unwrap()
    }
}

/// A connection to a bus, as a test uses it.
pub(crate) struct Connection {
    context: Context<()>,
    pub(crate) bus: Bus,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(config: BusConfig) -> Self {
        let context = Context::detached("system-tests", ());
        let connecting = context.connect(&config);
        let bus = tokio::time::timeout(Duration::from_secs(20), connecting).await;
        Self { bus: bus.expect("connects in time").unwrap(), context }
    }

    /// Everything of one type that a stream holds now.
    pub(crate) async fn all<P: Payload>(&self, stream: &str, filter: &str) -> Vec<P> {
        let mut reader = self.bus.ordered(stream, vec![filter.to_owned()], Start::First);
        reader.opened().await.unwrap();
        let mut found = Vec::new();
        while !reader.caught_up() {
            found.push(P::decode(&reader.next().await.unwrap().body).unwrap());
        }
        found
    }

    /// The first message from `start` on.
    pub(crate) async fn first(&self, stream: &str, filter: &str, start: Start) -> Delivery {
        let mut reader = self.bus.ordered(stream, vec![filter.to_owned()], start);
        reader.next().await.unwrap()
    }

    /// Closes it.
    pub(crate) async fn finish(self) {
        self.context.finish(Duration::from_secs(2)).await.unwrap();
    }
}

/// Calls `see` with every file below `folder`.
pub(crate) fn walk(folder: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, see) } else { see(&path) }
    }
}

impl Network {
    /// The leaf server of node `n1`, with the key that its operator holds for the ingress.
    pub(crate) async fn leaf_ingress(&self) -> Connection {
        let status = self.status();
        let url = status["endpoints"]["nats"]["leaf"].as_str().unwrap().to_owned();
        let mut connection = Connection::open(BusConfig {
            nkey_seed_file: Some(self.data().join("keys/nodes/n1/ingress-sv2.nk")),
            inbox_prefix: Some("_INBOX_n1.ingress-sv2".to_owned()),
            ..BusConfig::new(url)
        })
        .await;
        connection.bus = connection.bus.route("shares.submitted.*.*", streams::OUT_SHARES);
        connection
    }

    /// A credential that is meant for a leaf link opens no client connection to the hub.
    pub(crate) async fn refuses_as_client(&self, role: &str) {
        let status = self.status();
        let nats = &status["endpoints"]["nats"];
        let ca_file = Some(nats["ca_file"].as_str().unwrap().into());
        let config = BusConfig {
            creds_file: Some(status["credentials"][role].as_str().unwrap().into()),
            tls: Some(TlsConfig { ca_file, ..TlsConfig::default() }),
            ..BusConfig::new(nats["hub"].as_str().unwrap().to_owned())
        };
        let context = Context::detached("system-tests", ());
        let connecting = tokio::time::timeout(Duration::from_secs(3), context.connect(&config));
        let connected = matches!(connecting.await, Ok(Ok(_)));
        assert!(!connected, "{role} may connect as a client");
    }
}
