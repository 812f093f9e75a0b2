//! The whole way of a share behind the ingress: submitted, verified, accepted, recorded.

use super::{
    Bench, Lab, Scale, Setting, feed,
    figure::{Figure, Goal},
    meter::{family_time, processor_time},
    page,
    premined::{self, Ground, Miners},
    stages,
};
use crate::network::{Connection, Status};
use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use subjects::{BootEpoch, shares::MAX_SHARES};
use tokio::sync::Semaphore;
use worker_runtime::clock::Clock as _;

/// Durable shares per second, and what each part spends on one.
pub(super) const BENCH: Bench = Bench {
    name: "pipeline",
    what: "Durable shares per second from shares.submitted to the database, all on this machine.",
    measure: |setting| measure(setting).boxed(),
};

/// Lanes, one a partition.
pub(super) const LANES: usize = 16;
/// Miners: with this many, all shares of a batch have jobs of their own.
pub(super) const MINERS: u32 = 1_000;
/// Batches on their way from the bus into the database: two seconds of 100 000 shares.
const ON_THEIR_WAY: usize = 800;
/// Part of the messages, in hundredths, before the clock starts.
const WARM_UP: u64 = 10;

/// Parts whose processor time is shown, and where the status has them.
const PARTS: [(&str, &str); 5] = [
    ("workers", "share-verifier"),
    ("workers", "share-recorder"),
    ("workers", "round-tracker"),
    ("servers", "hub"),
    ("servers", "postgresql"),
];

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let lab =
        Lab::without(setting, &["template-publisher", "ingress-sv2", "block-submitter", "miners"])
            .await?;
    let mut line = Line::open(&lab).await?;
    // How fast it is decides how much makes a minute.
    let first = line.run(setting.times(1_000, 6_000).into()).await?;
    let mut runs = vec![];
    for _ in 0..setting.times(1, 5) {
        let a_minute = first.shares_per_second / feed::shares_of(1) * 66.0;
        let messages = match setting.scale {
            Scale::Short => 4_000,
            Scale::Full => whole(a_minute),
        };
        runs.push(line.run(messages).await?);
    }
    line.close().await?;
    lab.end().await?;
    let alone = stages::measure(setting).await?;
    let mut figures = figures(&runs);
    figures.push(over_slowest(&figures, &alone)?);
    figures.extend(alone);
    Ok(figures)
}

/// What the line reaches of its slowest stage. All stages share the processors that each of them
/// has alone.
fn over_slowest(line: &[Figure], alone: &[Figure]) -> anyhow::Result<Figure> {
    let whole = line.first().context("nothing was measured")?;
    let slowest = alone.iter().min_by(|one, other| one.value.total_cmp(&other.value));
    let slowest = slowest.context("no stage was measured")?;
    let name = "pipeline: over its slowest stage alone";
    let ratio = [whole.value / slowest.value];
    Ok(Figure::median(name, "", Goal::AtLeast(0.6), &ratio).with(&slowest.name))
}

fn figures(runs: &[Run]) -> Vec<Figure> {
    let rates: Vec<f64> = runs.iter().map(|run| run.shares_per_second).collect();
    let seconds = runs.iter().map(|run| run.seconds).sum::<f64>();
    let mut figures = vec![
        Figure::median("pipeline: durable shares", "shares/s", Goal::AtLeast(100_000.0), &rates)
            .with(format!("submitted to recorded; {seconds:.0} s in all")),
    ];
    for (place, (_, part)) in PARTS.iter().enumerate() {
        let of = |run: &Run| run.micros_per_share.get(place).copied().unwrap_or(f64::NAN);
        let micros: Vec<f64> = runs.iter().map(of).collect();
        let name = format!("pipeline: processor time of {part}");
        figures.push(Figure::median(name, "us/share", Goal::None, &micros));
    }
    let sums: Vec<f64> = runs.iter().map(|run| run.micros_per_share.iter().sum()).collect();
    figures.push(Figure::median(
        "pipeline: processor time of all parts",
        "us/share",
        Goal::None,
        &sums,
    ));
    let lags: Vec<f64> = runs.iter().map(|run| run.tracker_lag).collect();
    figures.push(
        Figure::median("pipeline: tracker behind at the end", "messages", Goal::None, &lags)
            .with(format!("of {MAX_SHARES} shares each")),
    );
    figures
}

/// Rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of messages of a minute"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

/// What one run gave.
#[derive(Debug)]
struct Run {
    shares_per_second: f64,
    seconds: f64,
    micros_per_share: Vec<f64>,
    tracker_lag: f64,
}

/// The network, and hands on both of its ends.
struct Line<'a> {
    lab: &'a Lab,
    ingress: Connection,
    publisher: Connection,
    database: PgPool,
    status: Status,
    miners: Arc<Miners>,
    boot_epoch: u16,
}

impl<'a> Line<'a> {
    async fn open(lab: &'a Lab) -> anyhow::Result<Self> {
        Ok(Self {
            lab,
            ingress: routed(lab.network.bus_of("ingress-sv2").await?),
            publisher: routed(lab.network.bus_of("template-publisher").await?),
            database: lab.network.database().await?,
            status: lab.network.status().await?,
            miners: Arc::new(Miners::new(MINERS)?),
            boot_epoch: 0,
        })
    }

    async fn close(self) -> anyhow::Result<()> {
        self.database.close().await;
        self.publisher.finish().await?;
        self.ingress.finish().await
    }

    /// Brings so many messages through, on a tip and in boot epochs that never were before.
    async fn run(&mut self, messages: u64) -> anyhow::Result<Run> {
        let clock = self.lab.network.clock();
        let ground = Arc::new(Ground::new(clock.now())?);
        self.boot_epoch += 1;
        let per_lane = usize::try_from(messages)?.div_ceil(LANES);
        let lanes = premined::lanes(LANES);
        let epoch = BootEpoch(self.boot_epoch);
        let batches = premined::batches(&ground, &self.miners, &lanes, epoch, per_lane).await?;
        let messages = u64::try_from(per_lane * LANES)?;
        ground.publish(&self.publisher.bus).await?;

        let before = feed::shares(&self.database).await?;
        let start = feed::recorded(&self.database).await?;
        let (begin, until) = (start + messages * WARM_UP / 100, start + messages);
        // Behind this the last messages only drain.
        let end = until - u64::try_from(ON_THEIR_WAY)?.min(messages / 4);
        let room = Arc::new(Semaphore::new(ON_THEIR_WAY));
        let (mut began, mut ended) = (None, None);
        let watching = feed::watch(&self.database, clock, &room, until, |position| {
            if position >= begin && began.is_none() {
                began = Some(self.look(position)?);
            }
            if position >= end && ended.is_none() {
                ended = Some(self.look(position)?);
            }
            Ok(())
        });
        let publishing = feed::publish(&self.ingress.bus, batches, &room);
        tokio::try_join!(watching, publishing)?;
        let (began, ended) = began.zip(ended).context("the run was too short")?;

        let credited = feed::shares(&self.database).await? - before;
        let sent = messages * u64::try_from(MAX_SHARES)?;
        ensure!(credited == sent, "{sent} shares were submitted, {credited} are in the database");
        self.between(&began, &ended).await
    }

    fn look(&self, position: u64) -> anyhow::Result<Look> {
        let spent = PARTS.map(|(group, part)| {
            let pid = self.status.pid(group, part)?;
            if part == "postgresql" { family_time(pid) } else { processor_time(pid) }
        });
        let spent = spent.into_iter().collect::<Result<_, _>>()?;
        Ok(Look { position, at: self.lab.network.clock().monotonic(), spent })
    }

    async fn between(&self, began: &Look, ended: &Look) -> anyhow::Result<Run> {
        let shares = feed::shares_of(ended.position - began.position);
        let seconds = (ended.at - began.at).as_secs_f64();
        let spent = ended.spent.iter().zip(&began.spent);
        let micros = spent.map(|(ended, began)| (*ended - *began).as_secs_f64() * 1e6 / shares);
        let page = page::read(&self.status.text("/endpoints/metrics/round-tracker")?).await?;
        Ok(Run {
            shares_per_second: shares / seconds,
            seconds,
            micros_per_share: micros.collect(),
            tracker_lag: page::number(&page, "stream_lag_messages{stream=\"SHARES\"}"),
        })
    }
}

/// How things stand at one moment.
struct Look {
    position: u64,
    at: Duration,
    spent: Vec<Duration>,
}

pub(super) fn routed(mut connection: Connection) -> Connection {
    connection.bus = connection.bus.routes(streams::routes());
    connection
}
