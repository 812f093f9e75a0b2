//! How much memory the ingress takes while more comes than the bus can store, and while it stores
//! nothing.

use super::rig::{PATIENCE, Rig};
use crate::{
    bench::{
        Setting,
        figure::{Figure, Goal},
        meter::float,
    },
    fleet::{Fleet, Pace},
    network::send,
};
use rustix::process::Signal;
use std::{fmt::Write as _, time::Duration};
use tokio::time::sleep;

/// An hour of 10 000 miners at 6 shares a minute.
const SHARES: u32 = 3_600_000;
/// Outages in that hour.
const OUTAGES: u32 = 6;
/// How long the leaf server stands still: shorter than the lease of the lane, and long enough for
/// every buffer to fill.
const OUTAGE: Duration = Duration::from_secs(2);
/// Connections; together they send half again as many shares as the ingress may hold.
const CONNECTIONS: u32 = 100;
const WINDOW: usize = 1_000;
/// How long a part of the hour may take.
const PART_PATIENCE: Duration = Duration::from_secs(300);
/// Bytes in a MiB.
const MIB: f64 = 1_048_576.0;

/// The ingress's memory over an hour's shares, as fast as they go.
pub(in crate::bench) async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let (mut peaks, mut ratios, mut series) = (vec![], vec![], String::new());
    let mut rig = Rig::start(setting, &[]).await?;
    let count = setting.times(1, 5);
    for run in 0..count {
        let hour = hour(&mut rig, setting.times(SHARES / 20, SHARES)).await?;
        let steady = hour.steady.first().copied().unwrap_or(f64::NAN);
        peaks.push(hour.peak);
        ratios.push(hour.peak / steady);
        write!(series, "{}{:.0?}", if run > 0 { " | " } else { "" }, hour.steady)?;
        if run + 1 < count {
            rig = rig.renew().await?;
        }
    }
    rig.end().await?;
    let name = "ingress-sv2: memory over an hour's shares with six outages of the bus";
    Ok(vec![
        Figure::median(format!("{name}, peak"), "MiB", Goal::None, &peaks)
            .with(format!("between outages {series}")),
        Figure::median(format!("{name}, peak / before the first"), "×", Goal::None, &ratios),
    ])
}

struct Hour {
    /// In MiB.
    peak: f64,
    /// Before each outage, and at the end.
    steady: Vec<f64>,
}

async fn hour(rig: &mut Rig, shares: u32) -> anyhow::Result<Hour> {
    let mut fleet = Fleet::open(&rig.plan(CONNECTIONS, 1)).await?;
    let leaf = rig.lab.network.status().await?.pid("servers", "leaf")?;
    let mut steady = Vec::new();
    for _ in 0..OUTAGES {
        rig.next_tip(&mut fleet).await?;
        fleet.pace(Pace::Window(WINDOW));
        let wanted = fleet.tally().acknowledged() + u64::from(shares / OUTAGES);
        let enough = |tally: &crate::fleet::Tally| tally.acknowledged() >= wanted;
        fleet.until("stored", PART_PATIENCE, enough).await?;
        steady.push(float(rig.memory()?.resident) / MIB);
        send(leaf, Signal::STOP)?;
        sleep(OUTAGE).await; // time itself: the outage
        send(leaf, Signal::CONT)?;
        fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
    }
    let memory = rig.memory()?;
    steady.push(float(memory.resident) / MIB);
    fleet.check()?;
    fleet.close().await?;
    Ok(Hour { peak: float(memory.peak) / MIB, steady })
}
