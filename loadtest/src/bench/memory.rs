//! How much memory each part takes over an hour's shares, as fast as they go, while one part after
//! another is away.

use super::{
    Part, Setting,
    figure::{Figure, Goal},
    ingress::rig::{PATIENCE, Rig},
    meter::{float, memory},
    plot::{Curve, plot},
};
use crate::{
    fleet::{Fleet, Pace},
    network::send,
};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::sleep;
use worker_runtime::{
    Bus,
    clock::{Clock as _, SystemClock},
};

/// An hour of 5 000 miners at 12 shares a minute.
const SHARES: u32 = 3_600_000;
/// Connections; together they send more at once than any part may hold, and each remembers few
/// enough proofs of one tip while a part is away.
const CONNECTIONS: u32 = 1_000;
const WINDOW: usize = 100;
/// The workers behind the ingress, each of which is away for a while.
const WORKERS: [&str; 4] = ["leaf-reader", "share-verifier", "share-recorder", "round-tracker"];
/// The servers that each stand still for a while.
const SERVERS: [&str; 2] = ["leaf", "hub"];
/// How long a worker is away.
const AWAY: Duration = Duration::from_secs(10);
/// How long a server stands still: not so long that anybody loses a lease.
const STANDSTILL: Duration = Duration::from_secs(2);
/// Pause between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// How long a part of the hour may take.
const PART_PATIENCE: Duration = Duration::from_secs(300);
/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;

/// Each part's memory, and a plot of all.
pub(super) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let mut line = Line::start(setting).await?;
    let mut fleet = Fleet::open(&line.rig.plan(CONNECTIONS, 1)).await?;
    let shares = setting.times(SHARES / 20, SHARES);
    line.hour(&mut fleet, shares.into()).await?;
    fleet.close().await?;
    let curves = line.end().await?;
    if let Some(folder) = &setting.results {
        std::fs::create_dir_all(folder)?;
        let title = "Resident memory over an hour's shares, each part away in turn";
        plot(&folder.join("memory.svg"), title, ("seconds", "MiB"), &curves)?;
    }
    let figures = curves.iter().map(|curve| {
        let all = curve.points.iter().map(|(_, mib)| *mib);
        let name = format!("memory: most of {} over an hour's shares", curve.name);
        Figure::median(name, "MiB", Goal::None, &[all.fold(0.0, f64::max)])
            .with(format!("{shares} shares, each part away in turn; memory.svg shows all"))
    });
    Ok(figures.collect())
}

/// A part whose memory is looked at while it is there.
struct Watched {
    curve: Curve,
    pid: Option<u64>,
    /// It, if it is one that is ended and started again.
    worker: Option<Part>,
}

impl Watched {
    fn new(name: &str, pid: u64) -> Self {
        let curve = Curve { name: name.to_owned(), points: Vec::new() };
        Self { curve, pid: Some(pid), worker: None }
    }

    fn worker(name: &str, part: Part) -> anyhow::Result<Self> {
        let watched = Self::new(name, part.pid()?);
        Ok(Self { worker: Some(part), ..watched })
    }
}

/// The whole line, and what it took.
struct Line {
    rig: Rig,
    clock: SystemClock,
    begun: Duration,
    /// First the workers that are away in turn.
    watched: Vec<Watched>,
}

impl Line {
    async fn start(setting: &Setting) -> anyhow::Result<Self> {
        let rig = Rig::start(setting, &[]).await?;
        let status = rig.lab.network.status().await?;
        let mut watched = Vec::new();
        for worker in WORKERS {
            watched.push(Watched::worker(worker, rig.lab.start(worker, &[])?)?);
        }
        watched.push(Watched::new("ingress-sv2", rig.pid()));
        for server in SERVERS {
            watched.push(Watched::new(server, status.pid("servers", server)?));
        }
        let clock = SystemClock::new();
        let begun = clock.monotonic();
        Ok(Self { rig, clock, begun, watched })
    }

    async fn end(self) -> anyhow::Result<Vec<Curve>> {
        let mut curves = Vec::new();
        for Watched { curve, worker, .. } in self.watched {
            if let Some(worker) = worker {
                worker.end().await?;
            }
            curves.push(curve);
        }
        self.rig.end().await?;
        Ok(curves)
    }

    /// Each part of the hour begins with a tip, as ten minutes do, and ends with an outage.
    async fn hour(&mut self, fleet: &mut Fleet, shares: u64) -> anyhow::Result<()> {
        let parts = u64::try_from(WORKERS.len() + SERVERS.len())?;
        for server in SERVERS {
            self.load(fleet, shares / parts).await?;
            let pid = self.rig.lab.network.status().await?.pid("servers", server)?;
            send(pid, Signal::STOP)?;
            let stood = self.look_for(fleet, STANDSTILL).await;
            send(pid, Signal::CONT)?;
            stood?;
        }
        for place in 0..WORKERS.len() {
            self.load(fleet, shares / parts).await?;
            self.replace(fleet, place).await?;
        }
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
        self.until_worked_off(fleet).await
    }

    /// Has so many more shares acknowledged.
    async fn load(&mut self, fleet: &mut Fleet, shares: u64) -> anyhow::Result<()> {
        // Proofs are remembered until the tip changes: none of the old tip is to come later.
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
        self.rig.next_tip(fleet).await?;
        fleet.pace(Pace::Window(WINDOW));
        let wanted = fleet.tally().acknowledged() + shares;
        let deadline = self.clock.monotonic() + PART_PATIENCE;
        while fleet.tally().acknowledged() < wanted {
            ensure!(self.clock.monotonic() < deadline, "not stored: {:?}", fleet.tally());
            self.look_for(fleet, BETWEEN_LOOKS).await?;
        }
        Ok(())
    }

    /// Ends a worker and, a while later, starts another.
    async fn replace(&mut self, fleet: &mut Fleet, place: usize) -> anyhow::Result<()> {
        let watched = self.watched.get_mut(place).context("no such worker")?;
        watched.pid = None;
        watched.worker.take().context("the worker is away")?.end().await?;
        self.look_for(fleet, AWAY).await?;
        let watched = self.watched.get_mut(place).context("no such worker")?;
        let part = self.rig.lab.start(&watched.curve.name, &[])?;
        watched.pid = Some(part.pid()?);
        watched.worker = Some(part);
        Ok(())
    }

    /// Looks at every part for a while.
    async fn look_for(&mut self, fleet: &mut Fleet, time: Duration) -> anyhow::Result<()> {
        let end = self.clock.monotonic() + time;
        loop {
            sleep(BETWEEN_LOOKS).await; // polls
            fleet.check()?;
            let now = self.clock.monotonic();
            let at = (now - self.begun).as_secs_f64();
            for Watched { curve, pid, .. } in &mut self.watched {
                if let Some(pid) = pid {
                    curve.points.push((at, float(memory(*pid)?.resident) / MIB));
                }
            }
            if now >= end {
                return Ok(());
            }
        }
    }

    /// Waits until nothing is on its way any more.
    async fn until_worked_off(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let operator = self.rig.lab.network.bus_of("operator").await?;
        let database = self.rig.lab.network.database().await?;
        let deadline = self.clock.monotonic() + PART_PATIENCE;
        let wanted = fleet.tally().acknowledged();
        while super::feed::shares(&database).await? < wanted || waits(&operator.bus).await? {
            ensure!(self.clock.monotonic() < deadline, "the backlog is not worked off");
            self.look_for(fleet, BETWEEN_LOOKS).await?;
        }
        database.close().await;
        operator.finish().await
    }
}

/// Whether anything waits for a verifier.
async fn waits(bus: &Bus) -> anyhow::Result<bool> {
    Ok(bus.stream_info(streams::SHARES_SUBMITTED).await?.messages > 0)
}
