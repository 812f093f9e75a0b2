//! Verifiers on a real bus: partitions, take-over, fencing, restarts of the server.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected has failed"
)]

#[path = "../verifier/chain.rs"]
#[expect(dead_code, reason = "this test needs a part of the honest world only")]
mod chain;

use chain::{ALICE, Ingress, Work, work};
use serde_json::json;
use share_verifier::{Config, ShareVerifier};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use subjects::{
    BlockHash, Lane,
    blocks::Solved,
    shares::{Accepted, Reason, Refused, Submitted},
};
use tokio::task::JoinSet;
use worker_runtime::{
    Bus, BusConfig, Context, Publication, Worker,
    testing::{self, nats, until},
    transform::Start,
};

const DEADLINE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(10);
/// Lanes of three different partitions.
const LANES: [u16; 3] = [300, 301, 302];

async fn hub() -> nats::Server {
    let server = nats::Server::start().await.unwrap();
    let to = format!(
        "shares.submitted.p.{{{{partition({},2)}}}}.{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}",
        streams::PARTITIONS
    );
    let queue = json!({
        "retention": "workqueue",
        "subject_transform": { "src": "shares.submitted.*.*", "dest": to },
    });
    server.stream(streams::SHARES_SUBMITTED, &["shares.submitted.*.*"], queue).await.unwrap();
    for (stream, subjects) in [
        (streams::TEMPLATES, ["templates.new.*", "templates.tip.*"].as_slice()),
        (streams::SHARES, &["shares.accepted.*.*"]),
        (streams::SHARES_REFUSED, &["shares.refused.*.*"]),
        (streams::BLOCKS, &["blocks.solved.*", "blocks.submitted.*.*", "blocks.outcome.*"]),
        (streams::PARKED, &["parked.*"]),
    ] {
        server.stream(stream, subjects, json!({})).await.unwrap();
    }
    server.bucket(streams::LANE_OWNERS, None).await.unwrap();
    server.bucket(streams::LEASES, Some(streams::LEASE)).await.unwrap();
    server
}

/// What the test says and reads.
struct World {
    hub: nats::Server,
    bus: Bus,
    work: Work,
    ingresses: Vec<Ingress>,
    submitted: Vec<Submitted>,
}

impl World {
    async fn new() -> Self {
        let hub = hub().await;
        let bus = testing::bus(&hub, "test").await.unwrap().routes(streams::routes());
        let work = work(100);
        bus.publish(Publication::any(&work.new)).await.unwrap();
        bus.publish(Publication::any(&work.tip)).await.unwrap();
        for lane in LANES {
            bus.bucket(streams::LANE_OWNERS).create(&lane.to_string(), b"n1").await.unwrap();
        }
        let ingresses = LANES.map(|lane| Ingress::new("n1", lane)).to_vec();
        Self { hub, bus, work, ingresses, submitted: Vec::new() }
    }

    /// A batch of three honest shares on every lane, several times.
    async fn submit(&mut self, rounds: u32) {
        for _ in 0..rounds {
            for lane in 0..LANES.len() {
                let batch = self.ingresses[lane].honest(&self.work, ALICE, 3);
                self.send(batch).await;
            }
        }
    }

    async fn send(&mut self, batch: Submitted) {
        self.bus.publish(Publication::any(&batch)).await.unwrap();
        self.submitted.push(batch);
    }

    /// Waits until the queue is empty: everything was decided.
    async fn decided(&self) {
        until("everything is decided", DEADLINE, async || {
            let info = self.bus.stream_info(streams::SHARES_SUBMITTED).await;
            info.is_ok_and(|info| info.messages == 0)
        })
        .await
        .unwrap();
    }

    async fn read<P: subjects::Payload>(&self, stream: &str) -> Vec<P> {
        let mut reader = self.bus.ordered(stream, vec![P::FILTER.to_owned()], Start::First);
        reader.opened().await.unwrap();
        let mut read = Vec::new();
        while !reader.caught_up() {
            read.push(P::decode(&reader.next().await.unwrap().body).unwrap());
        }
        read
    }

    /// Every share that was submitted is in the record, once, and nothing else is.
    async fn check_record(&self) {
        let mut credited: BTreeMap<(Lane, u32), u32> = BTreeMap::new();
        for message in self.read::<Accepted>(streams::SHARES).await {
            for share in &message.shares {
                *credited.entry((message.lane, share.share.nonce)).or_default() += 1;
            }
        }
        assert!(credited.values().all(|times| *times == 1), "credited more than once");
        let submitted: BTreeSet<_> = self
            .submitted
            .iter()
            .flat_map(|batch| batch.shares.iter().map(|share| (batch.lane, share.nonce)))
            .collect();
        assert_eq!(credited.into_keys().collect::<BTreeSet<_>>(), submitted);
    }
}

struct Running {
    ctx: Context<Config>,
    task: JoinSet<anyhow::Result<()>>,
}

fn start(hub: &nats::Server) -> Running {
    let text = format!("network = \"signet\"\n[bus]\nurl = \"{}\"\n", hub.url());
    let mut config: Config = worker_runtime::config::parse(&text).unwrap();
    config.bus = BusConfig { ack_timeout_ms: 500, ..config.bus };
    let ctx = Context::detached(ShareVerifier::NAME, config);
    let mut task = JoinSet::new();
    task.spawn(ShareVerifier::run(ctx.clone()));
    Running { ctx, task }
}

impl Running {
    async fn stop(mut self) {
        self.ctx.stop.cancel();
        let ended = tokio::time::timeout(GRACE, self.task.join_next()).await;
        ended.unwrap().unwrap().unwrap().unwrap();
        self.ctx.finish(GRACE).await.unwrap();
    }

    /// Ends it as a crash does: nothing is handed over, its leases run out.
    fn crash(mut self) {
        self.task.abort_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_share_is_credited_once_whatever_stops_and_starts() {
    let mut world = World::new().await;
    let first = start(&world.hub);
    world.submit(5).await;
    world.decided().await;
    // A second one takes its part; then the first one crashes in the middle of work.
    let second = start(&world.hub);
    world.submit(10).await;
    first.crash();
    world.submit(5).await;
    world.decided().await;
    // The server dies and comes back.
    world.hub.kill9();
    world.hub.restart().await.unwrap();
    world.submit(5).await;
    world.decided().await;
    // A polite end, and a fresh start.
    second.stop().await;
    let third = start(&world.hub);
    world.submit(3).await;
    world.decided().await;
    third.stop().await;
    world.check_record().await;
    assert!(world.read::<Refused>(streams::SHARES_REFUSED).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gaps_repeats_forgeries_and_blocks() {
    let mut world = World::new().await;
    let verifier = start(&world.hub);
    world.submit(1).await;
    // Batches that never come hold nothing up.
    world.ingresses[0].next_batch += 3;
    world.submit(1).await;
    world.decided().await;
    world.check_record().await;
    let figures = verifier.ctx.metrics().encode().unwrap();
    assert!(figures.contains("share_batches_missing_total 3"), "{figures}");
    // A replay under a new number, a share on another node's lane, a share of no template.
    let mut replay = world.submitted[0].clone();
    replay.batch = 50;
    world.bus.publish(Publication::any(&replay)).await.unwrap();
    let foreign = Ingress::new("n2", 300).honest(&world.work, ALICE, 1);
    world.bus.publish(Publication::any(&foreign)).await.unwrap();
    let made_up = Ingress::new("n1", 301).honest(&work(777), ALICE, 1);
    world.bus.publish(Publication::any(&Submitted { batch: 60, ..made_up })).await.unwrap();
    world.decided().await;
    let refused = world.read::<Refused>(streams::SHARES_REFUSED).await;
    let reasons: BTreeSet<_> =
        refused.iter().flat_map(|it| &it.refusals).map(|refusal| refusal.reason).collect();
    let expected = [Reason::DuplicateShare, Reason::LaneNotOwned, Reason::UnknownTemplate];
    assert_eq!(reasons, expected.into());
    // A block is told as a fact of its own.
    let job = world.ingresses[2].job(&world.work, ALICE, 1);
    let share = world.ingresses[2].mine_block(&world.work, &job);
    let batch = world.ingresses[2].batch(&[(job, share)]);
    world.send(batch).await;
    world.decided().await;
    let solved: Vec<BlockHash> =
        world.read::<Solved>(streams::BLOCKS).await.iter().map(|solved| solved.hash).collect();
    let record = world.read::<Accepted>(streams::SHARES).await;
    let blocks = record.iter().flat_map(|it| &it.shares).filter_map(|share| share.block);
    assert_eq!(blocks.collect::<Vec<_>>(), solved);
    assert_eq!(solved.len(), 1);
    world.check_record().await;
    verifier.stop().await;
}
