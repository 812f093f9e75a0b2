//! How long a miner waits for the answer to a share, while every write is synced to disk.

use super::rig::{PATIENCE, Rig};
use crate::{
    bench::{
        Setting,
        figure::{Figure, Goal},
        meter::float,
    },
    fleet::{Fleet, Latencies, Pace},
};
use std::time::Duration;
use subjects::{
    BootEpoch, Exponent, Lane, TemplateId,
    shares::{Extranonce, Job, JobKind, Share, Submitted, WorkSource},
};
use tokio::time::sleep;
use worker_runtime::{
    Publication,
    clock::{Clock as _, SystemClock},
};

/// Connections, and how often each sends a share: 10 000 shares a second together.
const CONNECTIONS: u32 = 1_000;
const INTERVAL: Duration = Duration::from_millis(100);
/// Writes whose median is the time of one.
const WRITES: u64 = 200;
/// The node's second lane, which the ingress does not hold.
const FREE_LANE: Lane = Lane(257);

/// From the writing of a share by its miner to the reading of its acknowledgement.
pub(in crate::bench) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let mut rig = Rig::start(setting, &[]).await?;
    let mut fleet = Fleet::open(&rig.plan(CONNECTIONS, 1)).await?;
    let (mut p50, mut p99, mut writes, mut rates) = (vec![], vec![], vec![], vec![]);
    let time = Duration::from_secs(setting.times(3, 10).into());
    for run in 0..setting.times(2, 5) {
        writes.push(one_write(&rig, run.into()).await?);
        rig.next_tip(&mut fleet).await?;
        fleet.pace(Pace::Every(INTERVAL));
        sleep(Duration::from_secs(1)).await; // time itself: the load becomes even
        fleet.tally().latencies.clear();
        sleep(time).await; // time itself: the load
        let latencies = &fleet.tally().latencies;
        p50.push(latencies.quantile(0.5).as_secs_f64() * 1e3);
        p99.push(latencies.quantile(0.99).as_secs_f64() * 1e3);
        rates.push(float(latencies.count()) / time.as_secs_f64());
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
    }
    fleet.close().await?;
    rig.end().await?;
    let rate = Figure::median("", "", Goal::None, &rates).value;
    let name = "share submitted → acknowledged, every write synced";
    let at = format!("at {rate:.0} shares/s");
    Ok(vec![
        Figure::median(format!("{name}, p50"), "ms", Goal::AtMost(10.0), &p50).with(&at),
        Figure::median(format!("{name}, p99"), "ms", Goal::AtMost(30.0), &p99).with(&at),
        Figure::median("one synced write alone, p50", "ms", Goal::None, &writes),
    ])
}

/// The limit: batches of a single share, one after another, on the leaf that the ingress uses.
async fn one_write(rig: &Rig, run: u64) -> anyhow::Result<f64> {
    let leaf = rig.lab.network.leaf_ingress().await?;
    let (clock, taken) = (SystemClock::new(), Latencies::default());
    for number in 0..WRITES {
        let batch = batch(run * WRITES + number)?;
        let began = clock.monotonic();
        leaf.bus.publish(Publication::any(&batch)).await?;
        taken.note(clock.monotonic() - began, 1);
    }
    leaf.finish().await?;
    Ok(taken.quantile(0.5).as_secs_f64() * 1e3)
}

fn batch(number: u64) -> anyhow::Result<Submitted> {
    let clock = SystemClock::new();
    let template = TemplateId::of_payload(b"bench");
    let source = WorkSource::Template { template, prevhash: subjects::BlockHash([0; 32]) };
    let job = Job {
        source,
        kind: JobKind::Extended,
        exponent: Exponent::MIN,
        extranonce_prefix: Extranonce::new(&[0; 7]).unwrap_or_default(),
        extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
        identity: "nobody".to_owned(),
        version_mask: mining::VERSION_MASK,
    };
    let share = Share {
        job: 0,
        channel: 0,
        sequence: 0,
        extranonce: Extranonce::new(&[0; 13]).unwrap_or_default(),
        ntime: 0,
        nonce: 0,
        version: 0,
        worker: 0,
        after_ms: 0,
    };
    Ok(Submitted {
        node: "n1".parse()?,
        lane: FREE_LANE,
        boot_epoch: BootEpoch(u16::MAX),
        batch: number,
        opened_at: clock.now(),
        workers: vec![String::new()],
        jobs: vec![job],
        shares: vec![share],
    })
}
