//! On a real nats-server: the worker as it runs in production.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    Deadlines, Limits, Vardiff,
    testing::{
        pool::PATIENCE,
        work::{ADDRESS, hash, provider, template, tip},
    },
};
use ingress_sv1::{Config, IngressSv1, Rented, Tls};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};
use serde_json::json;
use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
};
use subjects::{
    Exponent, Lane, NodeId, Payload as _,
    sessions::{Changed, Event, Protocol},
    shares::Submitted,
};
use support::client::{Client, host};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use worker_runtime::{
    Bus, BusConfig, Context, Worker,
    outcome::Publication,
    testing::{self, nats::Server, until},
};

/// A chain whose blocks are rarer than what rented hashrate is given.
const REAL: u32 = 0x1a00_ffff;

struct Stack {
    server: Server,
    bus: Bus,
    folder: TempDir,
}

impl Stack {
    async fn start() -> Self {
        let server = Server::start().await.unwrap();
        for (name, subjects) in [
            (streams::TEMPLATES, &["templates.new.*", "templates.tip.*"][..]),
            (streams::SHARES_SUBMITTED, &["shares.submitted.*.*"]),
            (streams::NODE_EVENTS, &["sessions.*.*"]),
            (streams::NODE_TELEMETRY, &["shares.rejected.*.*", "templates.health.*"]),
            (streams::BLOCK_CLAIMS, &["blocks.claimed.*"]),
        ] {
            server.stream(name, subjects, json!({})).await.unwrap();
        }
        server.bucket(streams::LANES, Some(streams::LEASE)).await.unwrap();
        server.bucket(streams::BOOT_EPOCHS, None).await.unwrap();
        let bus = testing::bus(&server, "test").await.unwrap();
        let new = template(1, 101, Some(hash(1)));
        bus.publish(Publication::any(&new)).await.unwrap();
        bus.publish(Publication::any(&tip(hash(1), 101, REAL, &new))).await.unwrap();
        Self { server, bus, folder: TempDir::new().unwrap() }
    }

    fn config(&self) -> Config {
        let free = || SocketAddr::from((Ipv4Addr::LOCALHOST, testing::free_port().unwrap()));
        Config {
            bus: BusConfig { ack_timeout_ms: 500, ..BusConfig::new(self.server.url()) },
            node: NodeId::core(),
            lanes: vec![Lane(11)],
            network: mining::Network::Signet,
            listen: free(),
            tls: Some(self.certificate()),
            rented: Some(Rented { listen: free(), least_exponent: Exponent::clamped(20) }),
            extranonce1_bytes: 6,
            extranonce2_bytes: 8,
            trusted_proxies: Vec::new(),
            providers: vec![provider("main")],
            vardiff: Vardiff {
                floor_exponent: Exponent::MIN,
                starting_hashrate_hs: 1,
                ..Vardiff::default()
            },
            limits: Limits::default(),
            deadlines: Deadlines::default(),
        }
    }

    fn certificate(&self) -> Tls {
        self.certify().1
    }

    /// Writes a new certificate, which is returned.
    fn certify(&self) -> (CertificateDer<'static>, Tls) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["pool.example".to_owned()]).unwrap();
        let file = |name: &str| -> PathBuf { self.folder.path().join(name) };
        fs::write(file("miners.pem"), cert.pem()).unwrap();
        fs::write(file("miners.key"), signing_key.serialize_pem()).unwrap();
        fs::set_permissions(file("miners.key"), Permissions::from_mode(0o600)).unwrap();
        let tls = Tls { cert_file: file("miners.pem"), key_file: file("miners.key") };
        (cert.der().clone(), tls)
    }
}

fn start(config: Config) -> Context<Config> {
    let ctx = Context::detached(IngressSv1::NAME, config);
    ctx.spawn("run", IngressSv1::run(ctx.clone()));
    ctx
}

/// Connects as soon as the ingress listens.
async fn miner(address: SocketAddr) -> Client<TcpStream> {
    let listens = async || TcpStream::connect(address).await.is_ok();
    until("the ingress listens", PATIENCE, listens).await.unwrap();
    Client::new(TcpStream::connect(address).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_was_answered_is_in_the_stream_once_also_when_the_server_is_killed() {
    let mut stack = Stack::start().await;
    let config = stack.config();
    let address = config.listen;
    let ctx = start(config);
    let mut miner = miner(address).await;
    miner.open(ADDRESS).await;
    assert_eq!(miner.miner.extranonce1, [0, 11, 1, 0, 0, 0], "lane 11, boot epoch 1, channel 0");
    miner.submit(1, ADDRESS).await;
    assert_eq!(miner.answer().await, json!({"id": 1, "result": true, "error": null}));

    stack.server.kill9();
    miner.submit(2, ADDRESS).await;
    miner.submit(2, ADDRESS).await;
    assert_eq!(miner.answer().await["error"][0], json!(22), "it was read, and not acknowledged");
    stack.server.restart().await.unwrap();
    assert_eq!(miner.answer().await, json!({"id": 2, "result": true, "error": null}));

    let start = worker_runtime::transform::Start::First;
    let mut reader = stack.bus.ordered(streams::SHARES_SUBMITTED, Vec::new(), start);
    for batch in 0..2_u64 {
        let stored = Submitted::decode(&reader.next().await.unwrap().body).unwrap();
        assert_eq!((stored.batch, stored.shares.len()), (batch, 1));
    }
    assert!(reader.caught_up());
    ctx.finish(PATIENCE).await.unwrap();
    let last = miner.until_closed().await.pop().unwrap();
    assert!(last.contains("client.reconnect"), "{last}");
    let closed = stack.bus.last(streams::NODE_EVENTS, "sessions.core.11").await.unwrap().unwrap();
    let closed = Changed::decode(&closed.body).unwrap();
    assert_eq!((closed.event, closed.protocol), (Event::Closed, Protocol::Sv1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_go_to_a_successor_one_after_the_other_and_work_until_then() {
    let stack = Stack::start().await;
    let deadlines = Deadlines { handover_secs: 2, ..Deadlines::default() };
    let old = Config { deadlines, ..stack.config() };
    let new = Config { lanes: vec![Lane(12)], ..old.clone() };
    let address = old.listen;
    let (old, new) = (start(old), Context::detached(IngressSv1::NAME, new));
    let mut miners = Vec::new();
    for _ in 0..4 {
        let mut miner = miner(address).await;
        miner.open(ADDRESS).await;
        miners.push(miner);
    }
    new.spawn("run", IngressSv1::run(new.clone()));
    until("the successor serves", PATIENCE, async || new.is_ready()).await.unwrap();
    old.handed_over().cancel();
    miners[0].until("client.reconnect").await;
    for (number, late) in miners.iter_mut().skip(1).enumerate() {
        late.submit(u32::try_from(number).unwrap(), ADDRESS).await;
        assert_eq!(late.answer().await["result"], json!(true), "its turn has not come");
    }
    for before in &mut miners {
        assert_eq!(before.miner.extranonce1[1], 11);
        before.until_closed().await;
        let mut again = miner(address).await;
        again.open(ADDRESS).await;
        assert_eq!(again.miner.extranonce1[1], 12);
        again.submit(7, ADDRESS).await;
        assert_eq!(again.answer().await["result"], json!(true));
    }
    for ctx in [old, new] {
        ctx.finish(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rented_hashrate_has_a_port_without_anything_easy() {
    let stack = Stack::start().await;
    let config = stack.config();
    let (open, rented) = (config.listen, config.rented.clone().unwrap().listen);
    let ctx = start(config);
    let mut easy = miner(open).await;
    easy.open(ADDRESS).await;
    assert!(easy.miner.difficulty < 1.0);
    let mut hard = miner(rented).await;
    hard.open(ADDRESS).await;
    assert!((hard.miner.difficulty - 1_048_576.0).abs() < f64::EPSILON);
    ctx.finish(PATIENCE).await.unwrap();
}

/// Whether a miner that trusts this certificate alone comes to a handshake.
async fn is_trusted(address: SocketAddr, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(host(), stream).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_after_a_reload_and_a_bad_one_never() {
    let stack = Stack::start().await;
    let config = stack.config();
    let (first, _) = stack.certify();
    let address = config.listen;
    let ctx = start(config);
    let plain = miner(address).await;
    assert!(is_trusted(address, &first).await);
    let (second, tls) = stack.certify();
    assert!(is_trusted(address, &first).await, "nobody said that there is another one");
    testing::reload(&ctx);
    until("the new one is shown", PATIENCE, async || is_trusted(address, &second).await)
        .await
        .unwrap();
    assert!(!is_trusted(address, &first).await);
    fs::write(&tls.cert_file, "no certificate").unwrap();
    testing::reload(&ctx);
    assert!(is_trusted(address, &second).await);
    drop(plain);
    ctx.finish(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_none_is_told_in_words() {
    let stack = Stack::start().await;
    for (spoil, words) in [("miners.pem", "`tls.cert_file`"), ("miners.key", "`tls.key_file`")] {
        let config = stack.config();
        fs::write(stack.folder.path().join(spoil), "no certificate").unwrap();
        let ctx = Context::detached(IngressSv1::NAME, config);
        let error = format!("{:#}", IngressSv1::run(ctx).await.unwrap_err());
        assert!(error.contains(words) && !error.contains("no certificate"), "{error}");
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused_in_words() {
    let good = r#"
        node = "n1"
        lanes = [300]
        network = "signet"
        providers = ["main"]
        [bus]
        url = "nats://127.0.0.1:4222"
    "#;
    let parse = |text: &str| worker_runtime::config::parse::<Config>(text);
    assert!(parse(good).is_ok());
    let cases = [
        ("network", "extranonce1_bytes = 5\nnetwork", "`extranonce1_bytes` is 6, or 4"),
        ("network", "extranonce2_bytes = 9\nnetwork", "`extranonce2_bytes` is 4 to 8"),
        ("[bus]", "[rented]\nlisten = \"127.0.0.1:34255\"\n[bus]", "`rented.listen`"),
        ("[bus]", "[tls]\ncert_file = \"x\"\n[bus]", "key_file"),
        ("[300]", "[3]", "lanes 1 to 255 are Core's"),
    ];
    for (old, new, words) in cases {
        let error = anyhow::Error::new(parse(&good.replacen(old, new, 1)).unwrap_err());
        assert!(format!("{error:#}").contains(words), "{words}: {error:#}");
    }
}
