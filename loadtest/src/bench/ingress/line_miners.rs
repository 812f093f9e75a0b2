//! What a Stratum V1 miner costs its ingress that sends nothing: to let it in, to keep it, to tell
//! it of work; and how soon all have a new tip's job.

use super::{
    beside,
    rig::{Ingress, PATIENCE, Rig, plan},
};
use crate::{
    bench::{
        Setting,
        figure::{Figure, Goal},
        meter::float,
    },
    fleet::Fleet,
};
use worker_runtime::clock::{Clock as _, SystemClock};

/// Templates that miners have heard before they are weighed.
const TEMPLATES: u32 = 8;
/// Miners whose wait for a new tip's job is measured, and how many tips a run has.
const WAITING: u32 = 2_000;
const TIPS: u32 = 10;
/// Half of the best p99 of ckpool 1.2 with as many miners, 70 to 230 ms on a loaded machine of two
/// processors. `--beside` measures a ckpool of one's own in the same run.
const TIP_GOAL_MS: f64 = 35.0;

#[derive(Default)]
struct Runs {
    open_micros: Vec<f64>,
    kibibytes: Vec<f64>,
    tip_micros: Vec<f64>,
    tip_wait: Vec<f64>,
    /// Of [`WAITING`] miners.
    p99: Vec<f64>,
    last: Vec<f64>,
}

/// Each run has an ingress of its own: memory that an earlier run left behind would hide some.
pub(in crate::bench) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let miners = setting.times(1_000, 10_000);
    let waiting = setting.times(500, WAITING);
    let mut rig = Rig::of(Ingress::V1, setting, &[]).await?;
    let mut runs = Runs::default();
    let count = setting.times(2, 5);
    for run in 0..count {
        idle(&mut rig, miners, &mut runs).await?;
        tips(&mut rig, waiting, &mut runs).await?;
        if run + 1 < count {
            rig = rig.renew().await?;
        }
    }
    rig.end().await?;
    let mut figures = runs.figures(miners, waiting);
    if let Some(other) = &setting.beside {
        let plan = plan(other.pool.clone(), waiting, 1);
        figures.extend(beside::tips(other, &plan, count, TIPS).await?);
    }
    Ok(figures)
}

/// Lets miners in, weighs them, and tells them of a tip.
async fn idle(rig: &mut Rig, miners: u32, runs: &mut Runs) -> anyhow::Result<()> {
    let empty = rig.memory()?.resident;
    let meter = rig.meter()?;
    let mut fleet = Fleet::open(&rig.plan(miners, 1)).await?;
    runs.open_micros.push(meter.micros_per(miners.into())?);
    for _ in 0..TEMPLATES {
        let jobs = fleet.tally().jobs() + fleet.channels();
        rig.chain.refresh().await?;
        fleet.until("told of a template", PATIENCE, |tally| tally.jobs() >= jobs).await?;
    }
    let meter = rig.meter()?;
    let tips = fleet.tally().prevhashes() + fleet.channels();
    rig.chain.advance().await?;
    let told = fleet.until("told of the tip", PATIENCE, |tally| tally.prevhashes() >= tips);
    runs.tip_wait.push(told.await?.as_secs_f64() * 1e3);
    runs.tip_micros.push(meter.micros_per(miners.into())?);
    rig.chain.prepare().await?;
    rig.settle().await?;
    let grown = rig.memory()?.resident.saturating_sub(empty);
    runs.kibibytes.push(float(grown) / 1_024.0 / f64::from(miners));
    fleet.check()?;
    fleet.close().await
}

/// From the publication of a tip on the bus to the last byte of a miner's job on it.
async fn tips(rig: &mut Rig, miners: u32, runs: &mut Runs) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let mut fleet = Fleet::open(&rig.plan(miners, 1)).await?;
    fleet.tally().tips.clear();
    for _ in 0..TIPS {
        rig.settle().await?;
        let tips = fleet.tally().prevhashes() + fleet.channels();
        fleet.tally().mark(clock.monotonic());
        rig.chain.advance().await?;
        fleet.until("told of the tip", PATIENCE, |tally| tally.prevhashes() >= tips).await?;
        rig.chain.prepare().await?;
    }
    let millis = |part| fleet.tally().tips.quantile(part).as_secs_f64() * 1e3;
    runs.p99.push(millis(0.99));
    runs.last.push(millis(1.0));
    fleet.close().await
}

impl Runs {
    fn figures(&self, miners: u32, waiting: u32) -> Vec<Figure> {
        let figure = |name: &str, unit, goal, runs: &[f64], miners: u32| {
            Figure::median(format!("ingress-sv1: {name}"), unit, goal, runs)
                .with(format!("{miners} miners"))
        };
        let most = Goal::AtMost;
        let wait = Figure::median("", "", Goal::None, &self.tip_wait).value;
        vec![
            figure("CPU per connection and greeting", "us", Goal::None, &self.open_micros, miners),
            figure("memory per idle miner", "KiB", most(6.0), &self.kibibytes, miners),
            figure("CPU of a new tip per miner", "us", Goal::None, &self.tip_micros, miners)
                .with(format!("the last has it after {wait:.0} ms")),
            figure(
                "new tip → a miner has the job, p99",
                "ms",
                most(TIP_GOAL_MS),
                &self.p99,
                waiting,
            )
            .with("goal: half of ckpool's best of 70 to 230 ms, measured elsewhere"),
            figure("new tip → the last miner has the job", "ms", Goal::None, &self.last, waiting)
                .with(format!("slowest of {TIPS} tips a run")),
        ]
    }
}
