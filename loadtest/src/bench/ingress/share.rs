//! What a share costs the ingress.

use super::{
    beside,
    rig::{Ingress, PATIENCE, Rig, plan},
};
use crate::{
    bench::{
        Setting,
        figure::{Figure, Goal},
        meter::{Meter, float, thread_time},
        own_chain,
    },
    fleet::{BarePool, Fleet, Pace, Pool},
};
use std::time::Duration;
use subjects::Timestamp;
use tokio::time::sleep;

/// Connections of the first figure.
const SATURATING: u32 = 100;
/// Shares of each that wait for an answer.
const WINDOW: usize = 16;
/// Height and time of the bare pool's only block.
const HEIGHT: u32 = 840_000;
const NTIME: u32 = 1_700_000_000;
/// Connections of the second figure.
const STEADY: u32 = 4_000;
/// What no pool can do for less.
const BARE: &str = "limit: a pool that judges, answers and stores nothing";

/// Processor time of the ingress for each acknowledged share.
pub(in crate::bench) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let mut rig = Rig::start(setting, &[]).await?;
    let (runs, time) = (setting.times(2, 5), Duration::from_secs(setting.times(3, 6).into()));
    let saturated = loaded(&mut rig, SATURATING, Pace::Window(WINDOW), runs, time).await?;
    let each_second = Pace::Every(Duration::from_secs(1));
    let connections = setting.times(400, STEADY);
    let time = Duration::from_secs(setting.times(5, 15).into());
    let steady = loaded(&mut rig, connections, each_second, runs, time).await?;
    rig.end().await?;
    let bare_steady = limit(connections, each_second, runs, time).await?;
    let time = Duration::from_secs(setting.times(3, 6).into());
    let bare_saturated = limit(SATURATING, Pace::Window(WINDOW), runs, time).await?;
    let name = "ingress-sv2: CPU per acknowledged share, ";
    Ok(vec![
        saturated.figure(format!("{name}{SATURATING} connections saturated"), Goal::AtMost(13.0)),
        saturated.figure_of_the_fleet(),
        Figure::median(BARE, "us", Goal::None, &bare_saturated),
        steady
            .figure(format!("{name}{STEADY} connections × 1 share/s"), Goal::AtMost(25.0))
            .with(format!("{connections} connections")),
        Figure::median(
            format!("{BARE}, {STEADY} connections × 1 share/s"),
            "us",
            Goal::None,
            &bare_steady,
        )
        .with(format!("{connections} connections")),
    ])
}

/// The same load on a pool that stores nothing: its thread's processor time for each share.
async fn limit(
    connections: u32,
    pace: Pace,
    runs: u32,
    time: Duration,
) -> anyhow::Result<Vec<f64>> {
    let template = own_chain::template(1, Timestamp(1), HEIGHT, Some(own_chain::TIP))?;
    let pool =
        BarePool::start(&template, &own_chain::tip(&template, own_chain::TIP, NTIME)).await?;
    let plan = plan(Pool::V2(pool.endpoint.clone()), connections, 1);
    let mut fleet = Fleet::open(&plan).await?;
    let mut micros = Vec::new();
    for _ in 0..runs {
        fleet.pace(pace);
        sleep(Duration::from_secs(1)).await; // time itself: the load becomes even
        let (before, began) = (fleet.tally().acknowledged(), thread_time(pool.thread)?);
        sleep(time).await; // time itself: the load
        let used = thread_time(pool.thread)? - began;
        let shares = fleet.tally().acknowledged() - before;
        micros.push(used.as_secs_f64() * 1e6 / float(shares));
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
    }
    fleet.close().await?;
    pool.end().await?;
    Ok(micros)
}

/// Processor time of the ingress of Stratum V1 for each submitted share, all of which it stores
/// before it says so; and of another pool's process, if one is to be measured beside it.
pub(in crate::bench) async fn measure_sv1(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let mut rig = Rig::of(Ingress::V1, setting, &[]).await?;
    let (runs, time) = (setting.times(2, 5), Duration::from_secs(setting.times(3, 6).into()));
    let saturated = loaded(&mut rig, SATURATING, Pace::Window(WINDOW), runs, time).await?;
    let each_second = Pace::Every(Duration::from_secs(1));
    let connections = setting.times(400, STEADY);
    let long = Duration::from_secs(setting.times(5, 15).into());
    let steady = loaded(&mut rig, connections, each_second, runs, long).await?;
    rig.end().await?;
    let name = "ingress-sv1: CPU per submit, ";
    let mut figures = vec![
        saturated.figure(format!("{name}{SATURATING} connections saturated"), Goal::AtMost(14.0)),
        saturated.figure_of_the_fleet(),
        steady
            .figure(format!("{name}{STEADY} connections × 1 share/s"), Goal::None)
            .with(format!("{connections} connections")),
    ];
    if let Some(other) = &setting.beside {
        let plan = plan(other.pool.clone(), SATURATING, 1);
        figures.push(beside::share(other, &plan, Pace::Window(WINDOW), runs, time).await?);
    }
    Ok(figures)
}

#[derive(Default)]
struct Runs {
    micros: Vec<f64>,
    own_micros: Vec<f64>,
    per_second: Vec<f64>,
    refused: u64,
}

impl Runs {
    fn figure(&self, name: String, goal: Goal) -> Figure {
        let rate = Figure::median("", "", Goal::None, &self.per_second).value;
        Figure::median(name, "us", goal, &self.micros)
            .with(format!("at {rate:.0} shares/s; {} refused", self.refused))
    }

    fn figure_of_the_fleet(&self) -> Figure {
        let name = "loadtest: CPU of the fleet per share, both ends on one machine";
        Figure::median(name, "us", Goal::None, &self.own_micros)
    }
}

async fn loaded(
    rig: &mut Rig,
    connections: u32,
    pace: Pace,
    runs: u32,
    time: Duration,
) -> anyhow::Result<Runs> {
    let mut fleet = Fleet::open(&rig.plan(connections, 1)).await?;
    let mut taken = Runs::default();
    for _ in 0..runs {
        rig.next_tip(&mut fleet).await?;
        fleet.pace(pace);
        sleep(Duration::from_secs(1)).await; // time itself: the load becomes even
        let (meter, own) = (rig.meter()?, Meter::of(&[std::process::id().into()])?);
        let before = fleet.tally().acknowledged();
        sleep(time).await; // time itself: the load
        let shares = fleet.tally().acknowledged() - before;
        taken.micros.push(meter.micros_per(shares)?);
        taken.own_micros.push(own.micros_per(shares)?);
        taken.per_second.push(float(shares) / time.as_secs_f64());
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
    }
    taken.refused = fleet.tally().refused();
    fleet.close().await?;
    Ok(taken)
}
