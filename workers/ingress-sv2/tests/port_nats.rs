//! On a real nats-server: the worker as it runs in production.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    Deadlines, Limits, Vardiff,
    testing::work::{ADDRESS, HARD, TRIVIAL, hash, provider, template, tip},
};
use ingress_sv2::{Config, IngressSv2};
use serde_json::json;
use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};
use subjects::{
    Exponent, Lane, NodeId, Payload,
    blocks::Claimed,
    sessions::Changed,
    shares::{Rejected, Submitted},
    templates::{New, Tip},
};
use support::{
    client::submit,
    pool::{Miner, PATIENCE, SECRET},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use worker_runtime::{
    Bus, BusConfig, Context, Worker,
    outcome::Publication,
    testing::{self, nats::Server, until},
};

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
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("authority.key"), SECRET).unwrap();
        fs::set_permissions(folder.path().join("authority.key"), Permissions::from_mode(0o600))
            .unwrap();
        Self { server, bus, folder }
    }

    /// A full template on a block, and the block as the tip.
    async fn block(&self, byte: u8, height: u32, nbits: u32) -> New {
        let new = template(u64::from(byte), height, Some(hash(byte)));
        self.bus.publish(Publication::any(&new)).await.unwrap();
        let tip: Tip = tip(hash(byte), height, nbits, &new);
        self.bus.publish(Publication::any(&tip)).await.unwrap();
        new
    }

    fn config(&self, lanes: &[u16]) -> Config {
        let port = testing::free_port().unwrap();
        Config {
            bus: BusConfig { ack_timeout_ms: 500, ..BusConfig::new(self.server.url()) },
            node: NodeId::core(),
            lanes: lanes.iter().copied().map(Lane).collect(),
            network: mining::Network::Signet,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            authority_key_file: self.authority(),
            certificate_validity_secs: 3_600,
            providers: vec![provider("main")],
            trusted_proxies: Vec::new(),
            vardiff: Vardiff { floor_exponent: Exponent::MIN, ..Vardiff::default() },
            limits: Limits::default(),
            deadlines: Deadlines::default(),
        }
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.key")
    }

    async fn last<P: Payload>(&self, stream: &str, subject: &str) -> Option<P> {
        let last = self.bus.last(stream, subject).await.unwrap();
        last.map(|last| P::decode(&last.body).unwrap())
    }
}

/// A running ingress.
struct Ingress {
    ctx: Context<Config>,
    address: SocketAddr,
}

impl Ingress {
    fn start(config: Config) -> Self {
        let address = config.listen;
        let ctx = Context::detached(IngressSv2::NAME, config);
        ctx.spawn("run", IngressSv2::run(ctx.clone()));
        Self { ctx, address }
    }

    /// Connects as soon as the ingress listens.
    async fn miner(&self, k: i32) -> Miner {
        let listens = async || TcpStream::connect(self.address).await.is_ok();
        until("the ingress listens", PATIENCE, listens).await.unwrap();
        let mut miner = Miner::connect(TcpStream::connect(self.address).await.unwrap()).await;
        miner.open(ADDRESS, k).await;
        miner
    }

    async fn finish(self) {
        self.ctx.finish(PATIENCE).await.unwrap();
    }
}

/// Submits one share and waits for its acknowledgement.
async fn share(miner: &mut Miner, number: u32) {
    let share = miner.share(number);
    miner.send(submit(share)).await;
    acknowledged(miner, number).await;
}

async fn acknowledged(miner: &mut Miner, number: u32) {
    let wanted = format!("to sequence {number}:");
    loop {
        let line = miner.line().await;
        assert!(!line.contains("Error"), "{line}");
        if line.contains(&wanted) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_share_is_in_the_stream_once_also_when_the_server_is_killed() {
    let mut stack = Stack::start().await;
    stack.block(1, 101, HARD).await;
    let ingress = Ingress::start(stack.config(&[1]));
    let mut miner = ingress.miner(-20).await;
    assert_eq!(miner.channel.prefix, [0, 1, 0, 1, 0, 0, 0], "lane 1, boot epoch 1, channel 0");
    share(&mut miner, 1).await;

    stack.server.kill9();
    let waiting = miner.share(2);
    miner.send(submit(waiting.clone())).await;
    miner.send(submit(waiting)).await;
    assert!(miner.line().await.contains("duplicate-share"), "it was read, and not acknowledged");
    stack.server.restart().await.unwrap();
    acknowledged(&mut miner, 2).await;

    let mut reader = stack.bus.ordered(
        streams::SHARES_SUBMITTED,
        Vec::new(),
        worker_runtime::transform::Start::First,
    );
    for batch in 0..2_u64 {
        let stored = reader.next().await.unwrap();
        let stored = Submitted::decode(&stored.body).unwrap();
        assert_eq!((stored.batch, stored.shares.len()), (batch, 1));
    }
    assert!(reader.caught_up());
    ingress.finish().await;
    let told: Rejected =
        stack.last(streams::NODE_TELEMETRY, "shares.rejected.core.1").await.unwrap();
    assert_eq!(told.counts.first().unwrap().shares, 1);
    let closed: Changed = stack.last(streams::NODE_EVENTS, "sessions.core.1").await.unwrap();
    assert_eq!(closed.reason.as_deref(), Some("the ingress drains"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_ingresses_never_share_a_lane_and_a_lane_never_an_epoch() {
    let stack = Stack::start().await;
    stack.block(1, 101, HARD).await;
    let first = Ingress::start(stack.config(&[1, 2]));
    let mut of_first = first.miner(-20).await;
    let second = Ingress::start(stack.config(&[1, 2]));
    let mut of_second = second.miner(-20).await;
    assert_eq!(of_first.channel.prefix, [0, 1, 0, 1, 0, 0, 0]);
    assert_eq!(of_second.channel.prefix, [0, 2, 0, 1, 0, 0, 0]);
    share(&mut of_first, 1).await;
    share(&mut of_second, 1).await;
    first.finish().await;
    let third = Ingress::start(stack.config(&[1, 2]));
    let mut of_third = third.miner(-20).await;
    assert_eq!(of_third.channel.prefix, [0, 1, 0, 2, 0, 0, 0], "the next boot epoch");
    share(&mut of_third, 1).await;
    second.finish().await;
    third.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_that_loses_its_lane_lets_its_miners_go_and_begins_anew() {
    let stack = Stack::start().await;
    stack.block(1, 101, HARD).await;
    let ingress = Ingress::start(stack.config(&[1]));
    let mut miner = ingress.miner(-20).await;
    share(&mut miner, 1).await;
    let lanes = stack.bus.bucket(streams::LANES);
    let lease = lanes.get("1").await.unwrap().unwrap();
    lanes.update("1", b"somebody else", lease.revision).await.unwrap();
    miner.until_closed().await;
    let mut again = ingress.miner(-20).await;
    assert_eq!(again.channel.prefix, [0, 1, 0, 2, 0, 0, 0], "the next boot epoch");
    share(&mut again, 1).await;
    ingress.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tips_arrive_and_blocks_leave_on_both_roads() {
    let stack = Stack::start().await;
    stack.block(1, 101, HARD).await;
    let mut submitter = stack.bus.serve("block.submit.main").await.unwrap();
    let ingress = Ingress::start(stack.config(&[7]));
    let mut miner = ingress.miner(-20).await;
    let easy = stack.block(2, 102, TRIVIAL).await;
    while miner.channel.prevhash != [2; 32] {
        miner.hear().await.unwrap();
    }
    for number in 1..=24 {
        let share = miner.share(number);
        miner.send(submit(share)).await;
    }
    let asked = tokio::time::timeout(PATIENCE, submitter.next()).await.unwrap().unwrap();
    let road_1 = Claimed::decode(&asked.payload).unwrap();
    asked.reply("taken".into()).await.unwrap();
    assert_eq!(road_1.template, easy.id());
    let claimed = async || {
        stack.last::<Claimed>(streams::BLOCK_CLAIMS, "blocks.claimed.core").await.is_some()
    };
    until("a block is claimed on the bus", PATIENCE, claimed).await.unwrap();
    ingress.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_and_a_wrong_key_are_told_in_words() {
    let stack = Stack::start().await;
    stack.block(1, 101, HARD).await;
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let ctx = Context::detached(
        IngressSv2::NAME,
        Config { listen: taken.local_addr().unwrap(), ..stack.config(&[1]) },
    );
    let error = IngressSv2::run(ctx.clone()).await.unwrap_err();
    assert!(format!("{error:#}").contains("change `listen`"), "{error:#}");

    fs::write(stack.authority(), "no key").unwrap();
    let ctx = Context::detached(IngressSv2::NAME, stack.config(&[2]));
    let error = format!("{:#}", IngressSv2::run(ctx).await.unwrap_err());
    assert!(error.contains("authority_key_file") && !error.contains("no key"), "{error}");
}

#[test]
fn a_configuration_that_cannot_be_is_refused_in_words() {
    let good = r#"
        node = "n1"
        lanes = [300]
        network = "signet"
        authority_key_file = "key"
        providers = ["main"]
        [bus]
        url = "nats://127.0.0.1:4222"
    "#;
    let parse = |text: &str| worker_runtime::config::parse::<Config>(text);
    assert!(parse(good).is_ok());
    let cases = [
        ("[300]", "[3]", "lanes 1 to 255 are Core's"),
        ("[300]", "[]", "`lanes` names no lane"),
        ("[\"main\"]", "[]", "`providers` names no"),
        ("signet", "moon", "moon"),
        ("network", "unknown_key = 1\nnetwork", "unknown_key"),
        ("[bus]", "[limits]\nmax_connections = 0\n[bus]", "`limits`"),
    ];
    for (old, new, words) in cases {
        let error = anyhow::Error::new(parse(&good.replacen(old, new, 1)).unwrap_err());
        assert!(format!("{error:#}").contains(words), "{words}: {error:#}");
    }
}
