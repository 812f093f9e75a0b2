//! From bitcoind's new tip to the bus.

use super::{
    Lab, Setting,
    figure::{Figure, Goal},
    times::Times,
};
use crate::node::Node;
use anyhow::Context as _;
use serde_json::json;
use std::time::Duration;
use subjects::{
    Payload as _, Timestamp,
    templates::{Health, New, Tip},
};
use template_publisher::port::{Notice, Notices as _, Zmq};
use tokio::time::{sleep, timeout};
use worker_runtime::{
    Bus, Publication,
    bus::Ordered,
    clock::{Clock as _, SystemClock},
    transform::Start,
};

/// A tip is on the bus within this, at p99.
const TIP_GOAL_MS: f64 = 10.0;
/// bitcoind's own template on it follows within this, in the mean.
const TEMPLATE_GOAL_MS: f64 = 50.0;
/// Blocks found sooner after one another than the publisher takes for a chain in motion are not
/// what is measured here.
const BETWEEN_BLOCKS: Duration = Duration::from_millis(300);
/// How long a block's tip and template may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// More hashes than any block takes.
const TRIES: u32 = 1_000_000_000;

/// Blocks are made by bitcoind itself. A tip counts from the first of three signs of it: the call
/// that made the block returns, a call that waits for the tip returns, a ZMQ notice arrives here.
pub(super) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let lab = Lab::without(setting, &["ingress-sv2", "miners"]).await?;
    let node = Node::of(&lab.network, "dev").await?;
    let core = lab.network.bus_of("operator").await?;
    let publisher = lab.network.bus_of("template-publisher").await?;
    let mut bench = Bench {
        zmq: Zmq::subscribe(&node.zmq().await?)?,
        reader: reader(&core.bus).await?,
        node,
        clock: SystemClock::new(),
        taken: Taken::default(),
    };
    while bench.zmq.next().await != Notice::Connected {}
    for _ in 0..setting.times(10, 120) {
        sleep(BETWEEN_BLOCKS).await; // time itself: see there
        bench.block().await?;
        bench.synced_publish(&publisher.bus).await?;
    }
    let figures = bench.taken.figures()?;
    core.finish().await?;
    publisher.finish().await?;
    lab.end().await?;
    Ok(figures)
}

async fn reader(bus: &Bus) -> anyhow::Result<Ordered> {
    let filters = [New::FILTER, Tip::FILTER].map(str::to_owned).to_vec();
    let mut reader = bus.ordered(streams::TEMPLATES, filters, Start::New);
    reader.opened().await?;
    Ok(reader)
}

struct Bench {
    node: Node,
    zmq: Zmq,
    reader: Ordered,
    clock: SystemClock,
    taken: Taken,
}

#[derive(Default)]
struct Taken {
    tips: Times,
    templates: Times,
    notices: Times,
    publishes: Times,
    transactions: usize,
}

impl Bench {
    /// Has one block made, and follows it.
    async fn block(&mut self) -> anyhow::Result<()> {
        let Self { node, zmq, reader, clock, taken } = self;
        let clock = &*clock;
        let next = node.height().await? + 1;
        let making = async {
            let address = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
            let made = json!([1, address, TRIES]);
            let _hashes: Vec<String> = node.read("generatetoaddress", made).await?;
            anyhow::Ok(clock.monotonic())
        };
        let waiting = async { node.reaches(next).await.map(|_| clock.monotonic()) };
        let hearing = async {
            while zmq.next().await != Notice::Block {}
            anyhow::Ok(clock.monotonic())
        };
        let reading = on_the_bus(reader, next + 1, clock);
        let all = async { tokio::try_join!(making, waiting, hearing, reading) };
        let (made, told, heard, read) =
            timeout(PATIENCE, all).await.context("a block was not followed in time")??;
        let first = made.min(told).min(heard);
        taken.notices.add(first, heard);
        taken.tips.add(first, read.tip);
        taken.templates.add(first, read.template);
        taken.transactions += read.transactions;
        // What follows of the same block is no sign of the next one.
        while timeout(BETWEEN_BLOCKS, zmq.next()).await.is_ok() {}
        Ok(())
    }

    /// One message that the hub has synced when it answers, beside what a tip costs.
    async fn synced_publish(&mut self, bus: &Bus) -> anyhow::Result<()> {
        let health = Health {
            provider: "dev".parse()?,
            at: Timestamp(self.clock.now().0),
            usable: true,
            problem: None,
            tip_height: 0,
            tip_lag_blocks: 0,
            template_latency_ms: 0,
            mempool_transactions: 0,
            template_transactions: 0,
            rpc_errors_total: 0,
        };
        let begun = self.clock.monotonic();
        bus.publish(Publication::any(&health)).await?;
        self.taken.publishes.add(begun, self.clock.monotonic());
        Ok(())
    }
}

/// When a reader had the tip and bitcoind's template on it.
struct Read {
    tip: Duration,
    template: Duration,
    transactions: usize,
}

/// Reads up to bitcoind's own template for the block at `height`.
async fn on_the_bus(
    reader: &mut Ordered,
    height: u32,
    clock: &SystemClock,
) -> anyhow::Result<Read> {
    let mut tip: Option<(Duration, Tip)> = None;
    loop {
        let delivery = reader.next().await?;
        let now = clock.monotonic();
        if delivery.kind == Tip::TYPE {
            let said = Tip::decode(&delivery.body)?;
            if said.height == height && tip.is_none() {
                tip = Some((now, said));
            }
            continue;
        }
        let new = New::decode(&delivery.body)?;
        if let Some((heard, tip)) = &tip
            && new.prevhash == Some(tip.prevhash)
            && new.id() != tip.template
        {
            // A path of n hashes belongs to a tree of up to 2^n leaves.
            let transactions = new.merkle_path.len();
            return Ok(Read { tip: *heard, template: now, transactions });
        }
    }
}

impl Taken {
    fn figures(&self) -> anyhow::Result<Vec<Figure>> {
        let Self { tips, templates, notices, publishes, transactions } = self;
        let depth = transactions / templates.len().max(1);
        let limit = Goal::None;
        Ok(vec![
            tips.percentile(99, "new tip to the bus, p99", Goal::AtMost(TIP_GOAL_MS))?,
            tips.percentile(50, "new tip to the bus, p50", limit)?,
            templates
                .mean("new tip to its full template, mean", Goal::AtMost(TEMPLATE_GOAL_MS))?
                .with(format!("merkle paths of {depth} on average")),
            templates.percentile(99, "new tip to its full template, p99", limit)?,
            notices.percentile(50, "limit: new tip to its ZMQ notice, p50", limit)?,
            notices.percentile(99, "limit: new tip to its ZMQ notice, p99", limit)?,
            publishes.percentile(50, "limit: one synced publish, p50", limit)?,
            publishes.percentile(99, "limit: one synced publish, p99", limit)?,
        ])
    }
}
