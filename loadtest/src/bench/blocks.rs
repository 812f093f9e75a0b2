//! From a found block to the bitcoind of another provider.

use super::{
    Lab, Setting,
    figure::{Figure, Goal},
    times::Times,
};
use crate::{
    miner::{self, Event, MinerConfig},
    network::Network,
    node::Node,
};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use stratum_v2::client::Device;
use subjects::{
    BlockHash, Payload as _,
    shares::{Accepted, JobKind},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    bus::Ordered,
    clock::{Clock, SystemClock},
    transform::Start,
};

/// A found block is another provider's best within this, at p99.
const GOAL_MS: f64 = 100.0;
/// Hashes per second of the bench's miner: a block in a few seconds, and processors with time.
const HASHRATE: u64 = 1_500_000;
/// Shares whose time is remembered: blocks are looked up within seconds.
const MAX_SHARES: usize = 4_096;
/// Events of the miner that may wait.
const EVENTS: usize = 1_024;
/// How long the record of a block's share may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A miner here finds blocks on the first provider's templates. Each counts from the moment at
/// which its share was written to the ingress, until the second provider's bitcoind has it for its
/// best block. The bitcoinds are no peers meanwhile: only our two roads lead there.
pub(super) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let lab = Lab::with(setting, &["--providers", "2", "--without", "miners"]).await?;
    let second = Node::of(&lab.network, "second").await?;
    let core = lab.network.bus_of("operator").await?;
    let mut shares =
        core.bus.ordered(streams::SHARES, vec![Accepted::FILTER.to_owned()], Start::New);
    shares.opened().await?;
    let miner = Miner::start(&lab.network).await?;
    let mut bench = Bench { second, shares, miner, solved: BTreeMap::new() };
    bench.second.set_peers(false).await?;
    let by_roads = bench.blocks(setting.times(5, 60)).await?;
    let by_peers = bench.by_peers_alone(&lab.network, setting.times(3, 20)).await?;
    bench.miner.stop().await?;
    core.finish().await?;
    lab.end().await?;
    let (goal, none) = (Goal::AtMost(GOAL_MS), Goal::None);
    Ok(vec![
        by_roads.percentile(99, "block found to another provider's bitcoind, p99", goal)?,
        by_roads.percentile(50, "block found to another provider's bitcoind, p50", none)?,
        by_peers.percentile(50, "the same by bitcoinds as peers alone, p50", none)?,
        by_peers.percentile(99, "the same by bitcoinds as peers alone, p99", none)?,
    ])
}

struct Bench {
    second: Node,
    shares: Ordered,
    miner: Miner,
    /// The share that solved each block.
    solved: BTreeMap<BlockHash, u32>,
}

impl Bench {
    async fn blocks(&mut self, count: u32) -> anyhow::Result<Times> {
        let mut times = Times::default();
        let mut height = self.second.height().await?;
        while times.len() < usize::try_from(count)? {
            height += 1;
            let best = self.second.reaches(height).await?;
            let reached = self.miner.clock.monotonic();
            // A later one: this bitcoind was asked too late to tell when the first came.
            if best.height > height {
                height = best.height;
                continue;
            }
            let sequence = timeout(PATIENCE, self.solving_share(best.hash)).await;
            let sequence = sequence.context("no share is recorded for a block")??;
            times.add(self.miner.sent(sequence)?, reached);
        }
        Ok(times)
    }

    /// Without our roads to the second bitcoind, which is a peer of the first again.
    async fn by_peers_alone(&mut self, network: &Network, count: u32) -> anyhow::Result<Times> {
        let submitter = network.signal("workers", "block-submitter-second", Signal::STOP).await?;
        self.second.set_peers(true).await?;
        // They find one another within a block or two.
        self.blocks(2).await?;
        let times = self.blocks(count).await;
        crate::network::send(submitter, Signal::CONT)?;
        times
    }

    async fn solving_share(&mut self, hash: BlockHash) -> anyhow::Result<u32> {
        loop {
            if let Some(sequence) = self.solved.remove(&hash) {
                return Ok(sequence);
            }
            let message = Accepted::decode(&self.shares.next().await?.body)?;
            for share in message.shares {
                if let Some(block) = share.block {
                    self.solved.insert(block, share.share.sequence);
                }
            }
        }
    }
}

/// When each share was sent.
type Sent = Arc<Mutex<BTreeMap<u32, Duration>>>;

/// The only miner of the network.
struct Miner {
    clock: Arc<SystemClock>,
    sent: Sent,
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Miner {
    async fn start(network: &Network) -> anyhow::Result<Self> {
        let status = network.status().await?;
        let config = MinerConfig {
            endpoint: status.text("/endpoints/miners/sv2")?.parse()?,
            user_identity: "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx.bench".to_owned(),
            kind: JobKind::Extended,
            hashes_per_second: HASHRATE,
            threads: NonZeroU32::MIN,
            acknowledged: None,
            device: Device::default(),
        };
        let (clock, sent) = (Arc::new(SystemClock::new()), Sent::default());
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (events, heard) = mpsc::channel(EVENTS);
        tasks.spawn(miner::run(config, stop.clone(), events));
        let (first, mut begun) = watch::channel(false);
        tasks.spawn(note(heard, Arc::clone(&clock), Arc::clone(&sent), first));
        begun.wait_for(|begun| *begun).await.context("the miner sends no share")?;
        Ok(Self { clock, sent, stop, tasks })
    }

    fn sent(&self, sequence: u32) -> anyhow::Result<Duration> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = sent.get(&sequence).copied();
        at.with_context(|| format!("the miner knows nothing of share {sequence}"))
    }

    async fn stop(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn note(
    mut events: mpsc::Receiver<Event>,
    clock: Arc<SystemClock>,
    sent: Sent,
    first: watch::Sender<bool>,
) -> anyhow::Result<()> {
    while let Some(event) = events.recv().await {
        if let Event::Disconnected { why, .. } = &event {
            // Numbers would begin anew.
            ensure!(!*first.borrow(), "the miner lost its pool: {why}");
        }
        if let Event::Submitted { sequence } = event {
            let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.insert(sequence, clock.monotonic());
            if sent.len() > MAX_SHARES {
                sent.pop_first();
            }
            first.send_replace(true);
        }
    }
    Ok(())
}
