//! Each stage behind the ingress alone, with nothing beside it but its servers: what the whole line
//! could reach at best.

use super::{
    Lab, Setting, feed,
    figure::{Figure, Goal},
    pipeline::{LANES, MINERS, routed},
    premined::{self, Ground, Miners},
    replay,
};
use crate::network::Connection;
use anyhow::ensure;
use sqlx::PgPool;
use std::{future::Future, sync::Arc, time::Duration};
use subjects::BootEpoch;
use tokio::{sync::Semaphore, time::sleep};
use worker_runtime::clock::Clock as _;

/// The workers that a share passes, in its order.
const STAGES: [&str; 3] = ["share-verifier", "share-recorder", "round-tracker"];
/// Pause between two looks at how far a stage is.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Longest that a stage may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Shares per second of each stage, and of the slowest.
///
/// # Errors
///
/// When a stage does not do all of its work.
pub(super) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let lab = Lab::of_servers(setting).await?;
    let bench = Alone {
        lab: &lab,
        ingress: routed(lab.network.bus_of("ingress-sv2").await?),
        publisher: routed(lab.network.bus_of("template-publisher").await?),
        operator: lab.network.bus_of("operator").await?,
        database: lab.network.database().await?,
        miners: Arc::new(Miners::new(MINERS)?),
    };
    let messages = setting.times(1_000, 6_000).into();
    let mut runs = Vec::new();
    for epoch in 1..=setting.times(1, 5) {
        runs.push(bench.run(BootEpoch(epoch.try_into()?), messages).await?);
    }
    bench.close().await?;
    lab.end().await?;
    let of = |stage: usize| runs.iter().filter_map(|run| run.get(stage).copied()).collect();
    let rates: Vec<Vec<f64>> = (0..STAGES.len()).map(of).collect();
    let figures = STAGES.iter().zip(&rates).map(|(stage, rates)| {
        Figure::median(format!("pipeline: {stage} alone"), "shares/s", Goal::None, rates)
    });
    Ok(figures.collect())
}

struct Alone<'a> {
    lab: &'a Lab,
    ingress: Connection,
    publisher: Connection,
    operator: Connection,
    database: PgPool,
    miners: Arc<Miners>,
}

impl Alone<'_> {
    async fn close(self) -> anyhow::Result<()> {
        self.database.close().await;
        self.publisher.finish().await?;
        self.operator.finish().await?;
        self.ingress.finish().await
    }

    /// The rates of all stages for so many messages, which wait for the first of them.
    async fn run(&self, epoch: BootEpoch, messages: u64) -> anyhow::Result<Vec<f64>> {
        let ground = Arc::new(Ground::new(self.lab.network.clock().now())?);
        ground.publish(&self.publisher.bus).await?;
        let per_lane = usize::try_from(messages)?.div_ceil(LANES);
        let lanes = premined::lanes(LANES);
        let batches = premined::batches(&ground, &self.miners, &lanes, epoch, per_lane).await?;
        let room = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let before = self.stored().await?;
        feed::publish(&self.ingress.bus, batches, &room).await?;
        let until = before + u64::try_from(per_lane * LANES)?;
        let page = self.lab.network.status().await?.text("/endpoints/metrics/round-tracker")?;
        let counted = || async { Ok(replay::handled(&page).await) };
        let [verifier, recorder, tracker] = STAGES;
        Ok(vec![
            self.through(verifier, before, until, || self.stored()).await?,
            self.through(recorder, before, until, || feed::recorded(&self.database)).await?,
            // It knows nothing of what was before, and counts all of it.
            self.through(tracker, 0, until, counted).await?,
        ])
    }

    /// Messages in the accounting record.
    async fn stored(&self) -> anyhow::Result<u64> {
        Ok(self.operator.bus.stream_info(streams::SHARES).await?.last_sequence)
    }

    /// Shares per second of a worker that has to come from one message to another; its start, and
    /// the leases that it takes first, do not count.
    async fn through<F: Future<Output = anyhow::Result<u64>>>(
        &self,
        stage: &str,
        from: u64,
        until: u64,
        reached: impl Fn() -> F,
    ) -> anyhow::Result<f64> {
        let clock = self.lab.network.clock();
        let worker = self.lab.start(stage, &[])?;
        let deadline = clock.monotonic() + PATIENCE;
        let begin = from + (until - from) / 20;
        let (mut began, mut last) = (None, from);
        while last < until {
            sleep(BETWEEN_LOOKS).await; // polls
            last = reached().await?;
            let now = clock.monotonic();
            ensure!(now < deadline, "{stage} has come to message {last} of {until} only");
            if last >= begin && began.is_none() {
                began = Some((last, now));
            }
        }
        let ended = clock.monotonic();
        worker.end().await?;
        let (first, at) = began.unwrap_or((from, ended));
        ensure!(last > first && ended > at, "{stage} was done before it was seen to begin");
        Ok(feed::shares_of(last - first) / (ended - at).as_secs_f64())
    }
}
