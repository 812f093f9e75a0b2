//! What the bus alone stores: full batches onto the real hub, every write synced.

use super::{
    Bench, Lab, Setting,
    feed::shares_of,
    figure::{Figure, Goal},
    meter::{float, processor_time},
    pipeline::routed,
    premined::{self, Ground, Miners},
};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use std::{sync::Arc, time::Duration};
use subjects::BootEpoch;
use worker_runtime::{Bus, Publication, clock::Clock};

/// Shares per second, and the time of one write.
pub(super) const BENCH: Bench = Bench {
    name: "bus",
    what: "Batches that the hub alone stores, pipelined and one by one, every write synced.",
    measure: |setting| measure(setting).boxed(),
};

/// Miners: all shares of a batch have jobs of their own.
const MINERS: u32 = 1_000;
/// Batches that wait for their acknowledgement at once.
const IN_FLIGHT: usize = 256;
/// Batches that are written one by one.
const ALONE: usize = 200;

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let lab = Lab::of_servers(setting).await?;
    let (clock, status) = (lab.network.clock(), lab.network.status().await?);
    let hub = status.pid("servers", "hub")?;
    let ingress = routed(lab.network.bus_of("ingress-sv2").await?);
    let ground = Arc::new(Ground::new(clock.now())?);
    let miners = Arc::new(Miners::new(MINERS)?);
    let lanes = premined::lanes(4);
    let per_lane = usize::try_from(setting.times(250, 1_000))?;
    let (mut rates, mut micros, mut alone, mut bytes) = (vec![], vec![], vec![], 0.0);
    for run in 1..=setting.times(1, 5) {
        let epoch = BootEpoch(run.try_into()?);
        let made = premined::batches(&ground, &miners, &lanes, epoch, per_lane).await?;
        let mut batches: Vec<Publication> = made.into_iter().flatten().collect();
        let rest = batches.split_off(ALONE);
        alone.extend(one_by_one(&ingress.bus, batches, clock).await?);
        let count = u64::try_from(rest.len())?;
        let size: usize = rest.iter().map(|batch| batch.message.body.len()).sum();
        bytes = float(u64::try_from(size)?) / shares_of(count);
        let (began, spent) = (clock.monotonic(), processor_time(hub)?);
        pipelined(&ingress.bus, rest).await?;
        rates.push(shares_of(count) / (clock.monotonic() - began).as_secs_f64());
        micros.push((processor_time(hub)? - spent).as_secs_f64() * 1e6 / shares_of(count));
    }
    ingress.finish().await?;
    lab.end().await?;
    Ok(vec![
        Figure::median("bus: shares stored, pipelined", "shares/s", Goal::None, &rates)
            .with(format!("{bytes:.0} bytes a share, {IN_FLIGHT} batches in flight")),
        Figure::median("bus: processor time of the hub", "us/share", Goal::None, &micros),
        Figure::median("bus: one batch stored alone", "ms", Goal::None, &alone),
    ])
}

async fn pipelined(bus: &Bus, batches: Vec<Publication>) -> anyhow::Result<()> {
    let publishing = stream::iter(batches).map(|batch| bus.publish(batch));
    Ok(publishing.buffer_unordered(IN_FLIGHT).try_for_each(|_| async { Ok(()) }).await?)
}

/// Milliseconds from sending a batch to its acknowledgement.
async fn one_by_one(
    bus: &Bus,
    batches: Vec<Publication>,
    clock: &impl Clock,
) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::with_capacity(batches.len());
    for batch in batches {
        let began = clock.monotonic();
        bus.publish(batch).await?;
        let time: Duration = clock.monotonic() - began;
        took.push(time.as_secs_f64() * 1e3);
    }
    Ok(took)
}
