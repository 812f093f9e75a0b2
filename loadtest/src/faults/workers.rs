//! Workers that end, sleep and meet their successors.

use super::{Field, instance::Instance};
use crate::network::Status;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::sleep;

/// Longest pause between two kills: shorter than a worker needs to start, so that some meet
/// another one that is not back yet.
const BETWEEN_KILLS: Duration = Duration::from_millis(700);

/// Longer than the longest lease.
const BEYOND_THE_LEASE: Duration = streams::LEASE.saturating_mul(2);

async fn names(field: &Field<'_>) -> anyhow::Result<Vec<String>> {
    field.network.ready().await?.names("/workers")
}

/// Each kill waits until the worker has a new process, not until that is ready: the next kill
/// meets a network that is not whole.
pub(super) async fn killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    for _ in 0..field.times(1, 5) {
        let names = names(field).await?;
        for name in field.shuffled(names) {
            field.work_for_a_while(BETWEEN_KILLS).await;
            field.network.kill("workers", &name).await?;
        }
    }
    Ok(())
}

/// As an operator does it: the next one when the one before is back.
pub(super) async fn restarted(field: &mut Field<'_>) -> anyhow::Result<()> {
    for name in names(field).await? {
        let old = field.network.signal("workers", &name, Signal::TERM).await?;
        let back = |status: &Status| status.pid("workers", &name).is_ok_and(|pid| pid != old);
        field.network.until(&format!("{name} started again"), back).await?;
        field.network.ready().await?;
    }
    Ok(())
}

/// The first verifier is stopped in the middle of its work. Its partitions go to the second; what
/// it still says when it wakes must be refused.
pub(super) async fn zombie_verifier(field: &mut Field<'_>) -> anyhow::Result<()> {
    let second = Instance::start(field, "share-verifier")?;
    for _ in 0..field.times(1, 4) {
        field.work_for_a_while(Duration::from_secs(3)).await;
        let pid = field.network.signal("workers", "share-verifier", Signal::STOP).await?;
        sleep(BEYOND_THE_LEASE).await; // time itself: the lease must run out
        field.until_recorded_more(20).await?;
        crate::network::send(pid, Signal::CONT)?;
        field.until_acknowledged(20).await?;
        field.network.ready().await?;
    }
    second.end().await
}

/// The first recorder is killed while the second stands by, and the other way round.
pub(super) async fn two_recorders(field: &mut Field<'_>) -> anyhow::Result<()> {
    for _ in 0..field.times(1, 4) {
        let second = Instance::start(field, "share-recorder")?;
        field.work_for_a_while(Duration::from_secs(3)).await;
        field.network.kill("workers", "share-recorder").await?;
        field.until_recorded_more(50).await?;
        second.kill().await?;
        field.until_acknowledged(50).await?;
        field.until_recorded().await?;
    }
    Ok(())
}
