//! What a miner costs the ingress that sends nothing: to let it in, to keep it, to tell it of work.

use super::rig::{PATIENCE, Rig};
use crate::{
    bench::{
        Setting,
        figure::{Figure, Goal},
        meter::float,
    },
    fleet::{Fleet, Tally},
};

/// Templates that miners have heard before they are weighed.
const TEMPLATES: u32 = 8;
/// Channels of each connection of a proxy.
const CHANNELS: u32 = 100;

#[derive(Default)]
struct Runs {
    open_micros: Vec<f64>,
    kibibytes: Vec<f64>,
    alone: FanOut,
    proxied: FanOut,
}

/// What all channels are told of.
#[derive(Default)]
struct FanOut {
    tip_millis: Vec<f64>,
    tip_wait: Vec<f64>,
    job_millis: Vec<f64>,
    job_wait: Vec<f64>,
}

/// Each run has an ingress of its own: memory that an earlier run left behind would hide some.
pub(in crate::bench) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let miners = setting.times(1_000, 10_000);
    let mut rig = Rig::start(setting, &[]).await?;
    let mut runs = Runs::default();
    let count = setting.times(2, 5);
    for run in 0..count {
        idle(&mut rig, miners, &mut runs).await?;
        let mut proxies = Fleet::open(&rig.plan(miners / CHANNELS, CHANNELS)).await?;
        told(&mut rig, &mut proxies, &mut runs.proxied).await?;
        proxies.close().await?;
        if run + 1 < count {
            rig = rig.renew().await?;
        }
    }
    rig.end().await?;
    Ok(runs.figures(miners))
}

/// Lets single miners in, weighs them, and tells them of a tip.
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
    told(rig, &mut fleet, &mut runs.alone).await?;
    rig.settle().await?;
    let grown = rig.memory()?.resident.saturating_sub(empty);
    runs.kibibytes.push(float(grown) / 1_024.0 / f64::from(miners));
    fleet.check()?;
    fleet.close().await?;
    Ok(())
}

/// A tip that starts the job which each channel has, then a full job on it, then one for the next.
async fn told(rig: &mut Rig, fleet: &mut Fleet, fan_out: &mut FanOut) -> anyhow::Result<()> {
    let (tips, jobs) = (fleet.tally().prevhashes(), fleet.tally().jobs());
    let channels = fleet.channels();
    let meter = rig.meter()?;
    rig.chain.advance().await?;
    let all = |tally: &Tally| tally.prevhashes() >= tips + channels;
    let waited = fleet.until("told of the tip", PATIENCE, all).await?;
    fan_out.tip_millis.push(meter.used()?.as_secs_f64() * 1e3);
    fan_out.tip_wait.push(waited.as_secs_f64() * 1e3);
    let meter = rig.meter()?;
    rig.chain.refresh().await?;
    let all = |tally: &Tally| tally.jobs() >= jobs + channels;
    let waited = fleet.until("given a job", PATIENCE, all).await?;
    fan_out.job_millis.push(meter.used()?.as_secs_f64() * 1e3);
    fan_out.job_wait.push(waited.as_secs_f64() * 1e3);
    rig.chain.prepare().await?;
    let all = |tally: &Tally| tally.jobs() >= jobs + 2 * channels;
    fleet.until("given the next job", PATIENCE, all).await?;
    Ok(())
}

impl Runs {
    fn figures(&self, miners: u32) -> Vec<Figure> {
        let figure = |name: &str, unit, goal, runs: &[f64]| {
            Figure::median(format!("ingress-sv2: {name}"), unit, Goal::AtMost(goal), runs)
                .with(format!("{miners} miners"))
        };
        let mut figures = vec![
            figure("CPU per handshake and open", "us", 450.0, &self.open_micros),
            figure("memory per idle miner", "KiB", 12.0, &self.kibibytes),
        ];
        figures.extend(self.alone.figures(&format!("{miners} connections")));
        let proxies = miners / CHANNELS;
        figures.extend(self.proxied.figures(&format!("{proxies} connections × {CHANNELS}")));
        figures
    }
}

impl FanOut {
    fn figures(&self, who: &str) -> [Figure; 2] {
        let figure = |what: &str, runs: &[f64], waits: &[f64]| {
            let wait = Figure::median("", "", Goal::None, waits).value;
            let name = format!("ingress-sv2: CPU of {what} to all channels, {who}");
            Figure::median(name, "ms", Goal::AtMost(300.0), runs)
                .with(format!("the last has it after {wait:.0} ms"))
        };
        [
            figure("a new tip", &self.tip_millis, &self.tip_wait),
            figure("a full job", &self.job_millis, &self.job_wait),
        ]
    }
}
