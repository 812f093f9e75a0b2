//! A hub and leaves as they run in production: operator mode, TLS, mutual TLS on the links,
//! configurations and keys as this crate makes them.

use async_nats::{Client, ConnectOptions};
use leaf_reader::LeafReader;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    future::Future,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use streams::{
    Access, Account, Connection, Credentials, Network, Node, apply, apply_all,
    config::{self, Tls},
    keys::{self, Minted},
    leaf, register, reserved_bytes,
};
use subjects::{Lane, NodeId, Timestamp};
use tokio_util::task::AbortOnDropHandle;
use worker_runtime::Worker as _;

/// How long anything may take before a test fails. Generous: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) keys: Minted,
    pub(crate) hub: Server,
    pub(crate) leaves: BTreeMap<String, Server>,
    /// What carries messages from the leaves to Core.
    reader: Option<AbortOnDropHandle<()>>,
    hub_conf: config::Hub,
    /// Goes last, after the servers.
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) struct Server {
    config: PathBuf,
    child: Child,
}

impl Server {
    fn start(config: &Path) -> Self {
        let log = config.with_extension("log");
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(streams::testing::nats_server().unwrap())
            .arg("-c")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { config: config.to_owned(), child }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        *self = Self::start(&self.config);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.config.with_extension("log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.config.display(), self.log());
        }
    }
}

/// Lanes of the nodes of a test network: n1 has 256 and 257, n2 has 258 and 259.
pub(crate) fn network(nodes: &[&str]) -> Network {
    let lanes = |index: usize| {
        let first = 256 + 2 * u16::try_from(index).unwrap();
        vec![Lane(first), Lane(first + 1)]
    };
    let node = |(index, id): (usize, &&str)| Node { id: id.parse().unwrap(), lanes: lanes(index) };
    Network::new(nodes.iter().enumerate().map(node).collect()).unwrap()
}

pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl World {
    /// A hub that holds what is declared and reads its leaves, without leaves yet.
    pub(crate) async fn hub(nodes: &[&str]) -> Self {
        let mut world = Self::bare_hub(nodes).await;
        world.apply_hub().await;
        if !nodes.is_empty() {
            world.start_reader();
        }
        world
    }

    /// Begins to read the leaves; another reader that does so ends as by `kill -9`.
    pub(crate) fn start_reader(&mut self) {
        let bus = |file: &str| {
            let creds = self.path(&format!("keys/creds/{file}.creds"));
            let tls = json!({ "ca_file": self.path("ca.pem") });
            serde_json::from_value(
                json!({ "url": self.hub_url(), "creds_file": creds, "tls": tls }),
            )
        };
        let config = leaf_reader::Config {
            bus: bus("leaf-reader").unwrap(),
            nodes_bus: bus("leaf-reader-nodes").unwrap(),
        };
        let context = worker_runtime::Context::detached("leaf-reader", config);
        let reading = async { LeafReader::run(context).await.unwrap() };
        self.reader = Some(AbortOnDropHandle::new(tokio::spawn(reading)));
    }

    /// Declares everything on the hub, and enters the nodes.
    pub(crate) async fn apply_hub(&self) {
        let accounts = [Account::Nodes, Account::Core, Account::Money, Account::Data];
        let mut hub = BTreeMap::new();
        for account in accounts {
            hub.insert(account, self.operator(account).await);
        }
        apply_all(&hub, &self.network).await.unwrap();
        register(&hub[&Account::Core], &self.network).await.unwrap();
    }

    /// A hub that holds nothing yet.
    pub(crate) async fn bare_hub(nodes: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let network = network(nodes);
        let now = Timestamp(1_800_000_000_000);
        let keys = keys::mint(&dir.path().join("keys"), &network, now).unwrap();
        certificates(dir.path(), nodes);
        let hub_conf = config::Hub {
            server_name: "hub".to_owned(),
            clients: free_port(),
            leaves: free_port(),
            monitor: free_port(),
            store: dir.path().join("hub-store"),
            store_bytes: reserved_bytes(&network) + (1 << 30),
            resolver: dir.path().join("hub-resolver"),
            tls: tls(dir.path(), "hub"),
            cluster: None,
        };
        let config = dir.path().join("hub.conf");
        fs::write(&config, config::hub(&hub_conf, &keys).unwrap()).unwrap();
        let hub = Server::start(&config);
        let leaves = BTreeMap::new();
        let world = Self { network, keys, hub, leaves, reader: None, hub_conf, dir };
        eventually("the hub listens", async || world.open("sys").await).await;
        world
    }

    /// Starts the leaf of `node` and declares its streams.
    pub(crate) async fn leaf(&mut self, node: &str) {
        let id: NodeId = node.parse().unwrap();
        let conf = config::Leaf {
            node: id.clone(),
            clients: free_port(),
            monitor: free_port(),
            store: self.path(&format!("{node}-store")),
            store_bytes: leaf(&id).reserved_bytes() + (1 << 30),
            hub: vec![format!("tls://{}", self.hub_conf.leaves)],
            tls: tls(self.dir.path(), node),
        };
        let path = self.path(&format!("{node}.conf"));
        fs::write(&path, config::leaf(&conf, &self.keys).unwrap()).unwrap();
        fs::write(self.path(&format!("{node}.url")), format!("nats://{}", conf.clients)).unwrap();
        self.leaves.insert(node.to_owned(), Server::start(&path));
        let access = self.leaf_access(node, "operator");
        let operator =
            eventually("the leaf listens", async || Connection::open(&access).await).await;
        apply(&operator, &leaf(&id)).await.unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn hub_url(&self) -> String {
        format!("tls://{}", self.hub_conf.clients)
    }

    pub(crate) fn leaf_listener(&self) -> SocketAddr {
        self.hub_conf.leaves
    }

    /// How a user of the hub connects; `file` is the name of its credentials.
    pub(crate) fn access(&self, file: &str, user: &str) -> Access {
        Access {
            url: self.hub_url(),
            credentials: Credentials::CredsFile(self.path(&format!("keys/creds/{file}.creds"))),
            ca_file: Some(self.path("ca.pem")),
            inbox_prefix: format!("_INBOX_{user}"),
        }
    }

    pub(crate) fn leaf_access(&self, node: &str, user: &str) -> Access {
        Access {
            url: fs::read_to_string(self.path(&format!("{node}.url"))).unwrap(),
            credentials: Credentials::NkeySeedFile(
                self.path(&format!("keys/nodes/{node}/{user}.nk")),
            ),
            ca_file: None,
            inbox_prefix: format!("_INBOX_{node}.{user}"),
        }
    }

    pub(crate) fn leaf_server(&mut self, node: &str) -> &mut Server {
        self.leaves.get_mut(node).unwrap()
    }

    pub(crate) async fn open(&self, user: &str) -> Result<Connection, streams::RequestError> {
        Connection::open(&self.access(user, user)).await
    }

    pub(crate) async fn operator(&self, account: Account) -> Connection {
        let file = match account {
            Account::Core => "operator".to_owned(),
            Account::Sys => "sys".to_owned(),
            Account::Nodes | Account::Money | Account::Data => {
                format!("operator-{}", account.name().to_lowercase())
            }
        };
        Connection::open(&self.access(&file, "operator")).await.unwrap()
    }

    /// A user's connection to the hub that tells what the server complains of.
    pub(crate) async fn watched(&self, file: &str, user: &str) -> Watched {
        Watched::open(&self.access(file, user)).await
    }

    /// The same on a leaf.
    pub(crate) async fn watched_leaf(&self, node: &str, user: &str) -> Watched {
        Watched::open(&self.leaf_access(node, user)).await
    }

    /// A worker's own connection to the hub; `name` is that of its credentials.
    pub(crate) async fn worker(&self, name: &str) -> Client {
        let user = name.trim_end_matches("-money");
        Connection::open(&self.access(name, user)).await.unwrap().client().clone()
    }

    /// A worker's own connection to a leaf.
    pub(crate) async fn leaf_worker(&self, node: &str, name: &str) -> Client {
        Connection::open(&self.leaf_access(node, name)).await.unwrap().client().clone()
    }
}

/// A connection that tells what the server complains of.
pub(crate) struct Watched {
    pub(crate) client: Client,
    pub(crate) complaints: tokio::sync::mpsc::Receiver<String>,
}

impl Watched {
    async fn open(access: &Access) -> Self {
        let (sender, complaints) = tokio::sync::mpsc::channel(64);
        let options = match &access.credentials {
            Credentials::CredsFile(path) => {
                ConnectOptions::with_credentials_file(path).await.unwrap()
            }
            Credentials::NkeySeedFile(path) => {
                ConnectOptions::with_nkey(fs::read_to_string(path).unwrap().trim().to_owned())
            }
            Credentials::Anonymous => ConnectOptions::new(),
        };
        let options = match &access.ca_file {
            Some(path) => options.add_root_certificates(path.clone()),
            None => options,
        };
        let note = move |event| {
            let sender = sender.clone();
            async move {
                if let async_nats::Event::ServerError(error) = event {
                    sender.send(error.to_string()).await.unwrap();
                }
            }
        };
        let options = options.custom_inbox_prefix(&access.inbox_prefix).event_callback(note);
        Self { client: options.connect(&access.url).await.unwrap(), complaints }
    }

    /// Publishes, and expects the server to refuse it by name.
    pub(crate) async fn publish_refused(&mut self, subject: &str) {
        self.client.publish(subject.to_owned(), "x".into()).await.unwrap();
        self.complaint("publish", subject).await;
    }

    /// Subscribes, and expects the server to refuse it by name.
    pub(crate) async fn subscribe_refused(&mut self, subject: &str) {
        let _heard = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.complaint("subscription", subject).await;
    }

    async fn complaint(&mut self, what: &str, subject: &str) {
        let next = tokio::time::timeout(PATIENCE, self.complaints.recv());
        let complaint = next.await.expect(subject).unwrap().to_lowercase();
        let expected =
            format!("permissions violation for {what} to \"{}\"", subject.to_lowercase());
        assert!(complaint.contains(&expected), "{complaint} is not about {subject}");
    }
}

/// A stream's state and configuration, as somebody who may look at it sees them.
pub(crate) async fn info(client: &Client, stream: &str) -> serde_json::Value {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let answer = client.request(subject, "".into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Waits until a stream has stored so many messages since it was made.
pub(crate) async fn stored(client: &Client, stream: &str, count: u64) {
    eventually(&format!("{stream} has stored {count}"), async || {
        let found = info(client, stream).await["state"]["last_seq"].as_u64().unwrap();
        if found >= count { Ok(()) } else { Err(found) }
    })
    .await;
}

/// A message as a stream keeps it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
}

/// One message of a stream.
pub(crate) async fn message(client: &Client, stream: &str, sequence: u64) -> Kept {
    let stream = async_nats::jetstream::new(client.clone()).get_stream(stream).await.unwrap();
    let raw = stream.direct_get(sequence).await.unwrap();
    let id = raw.headers.get("Nats-Msg-Id").map(ToString::to_string).unwrap_or_default();
    Kept { subject: raw.subject.to_string(), id, body: raw.payload.to_vec() }
}

/// Publishes with an id, and waits for the stream's acknowledgement.
pub(crate) async fn publish(client: &Client, subject: &str, id: &str, body: &str) {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", id);
    let jetstream = async_nats::jetstream::new(client.clone());
    let stored =
        jetstream.publish_with_headers(subject.to_owned(), headers, body.to_owned().into()).await;
    stored.unwrap().await.unwrap();
}

/// Tries until it succeeds.
pub(crate) async fn eventually<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let mut last = None;
    let tried = tokio::time::timeout(PATIENCE, async {
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // polls
        }
    });
    match tried.await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain until {what}: {last:?}"),
    }
}

fn tls(dir: &Path, name: &str) -> Tls {
    Tls {
        ca: dir.join("ca.pem"),
        cert: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}.key")),
    }
}

/// An authority, the hub's certificate and one for each node.
fn certificates(dir: &Path, nodes: &[&str]) {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
        IsCa, KeyPair, KeyUsagePurpose,
    };
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(DnType::CommonName, "test authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
    for name in nodes.iter().chain(["hub"].iter()) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, *name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
