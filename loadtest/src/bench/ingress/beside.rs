//! Another pool under the same load, in the same run: only its port is known, and its process.

use super::rig::PATIENCE;
use crate::{
    bench::{
        Beside,
        figure::{Figure, Goal},
        meter::{Meter, float},
    },
    fleet::{Fleet, Pace, Plan},
};
use anyhow::{Context as _, ensure};
use std::time::Duration;
use tokio::{process::Command, time::sleep};
use worker_runtime::clock::{Clock as _, SystemClock};

/// What its figures begin with.
const NAME: &str = "reference: another pool";

/// Processor time for each share, or how many it answers a second when its process is unknown.
pub(super) async fn share(
    other: &Beside,
    plan: &Plan,
    pace: Pace,
    runs: u32,
    time: Duration,
) -> anyhow::Result<Figure> {
    let mut fleet = Fleet::open(plan).await.context("the other pool does not serve")?;
    let (mut micros, mut rates) = (vec![], vec![]);
    for _ in 0..runs {
        fleet.pace(pace);
        sleep(Duration::from_secs(1)).await; // time itself: the load becomes even
        let meter = other.pid.map(|pid| Meter::of(&[pid])).transpose()?;
        let before = fleet.tally().acknowledged();
        sleep(time).await; // time itself: the load
        let shares = fleet.tally().acknowledged() - before;
        if let Some(meter) = meter {
            micros.push(meter.micros_per(shares)?);
        }
        rates.push(float(shares) / time.as_secs_f64());
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
    }
    let refused = fleet.tally().refused();
    fleet.close().await?;
    let rate = Figure::median("", "", Goal::None, &rates).value;
    let at = format!("at {rate:.0} shares/s; {refused} refused");
    if other.pid.is_none() {
        let name = format!("{NAME}: answered submits");
        return Ok(Figure::median(name, "/s", Goal::None, &rates).with(at));
    }
    Ok(Figure::median(format!("{NAME}: CPU per submit"), "us", Goal::None, &micros).with(at))
}

/// From the command that makes a tip to the miners' job on it, p99 in milliseconds of each run.
/// What the command takes itself is in it: the spread from the first miner to the last is not.
pub(super) async fn tips(
    other: &Beside,
    plan: &Plan,
    runs: u32,
    tips: u32,
) -> anyhow::Result<Vec<Figure>> {
    let Some(command) = &other.new_tip else { return Ok(Vec::new()) };
    let clock = SystemClock::new();
    let mut fleet = Fleet::open(plan).await.context("the other pool does not serve")?;
    let (mut waits, mut spreads) = (vec![], vec![]);
    for _ in 0..runs {
        let tally = fleet.tally();
        tally.tips.clear();
        tally.spread.clear();
        for _ in 0..tips {
            let wanted = fleet.tally().prevhashes() + fleet.channels();
            fleet.tally().mark(clock.monotonic());
            let done = Command::new("sh").args(["-c", command]).status().await?;
            ensure!(done.success(), "`{command}` ended with {done}");
            fleet.until("told", PATIENCE, |tally| tally.prevhashes() >= wanted).await?;
        }
        waits.push(fleet.tally().tips.quantile(0.99).as_secs_f64() * 1e3);
        spreads.push(fleet.tally().spread.quantile(0.99).as_secs_f64() * 1e3);
    }
    let miners = fleet.channels();
    fleet.close().await?;
    let figure = |what: &str, runs: &[f64]| {
        Figure::median(format!("{NAME}: {what}, p99"), "ms", Goal::None, runs)
            .with(format!("{miners} miners"))
    };
    Ok(vec![
        figure("its tip's command → a miner has the job", &waits),
        figure("first miner with a new tip's job → each", &spreads),
    ])
}
