//! Servers whose disks lose their power or are full.

use super::{
    Field,
    asleep::{Frozen, ended, started_again},
};
use crate::network::send;
use anyhow::ensure;
use rustix::process::Signal;
use std::time::Duration;
use tokio::time::sleep;

pub(super) async fn hub_lost(field: &mut Field<'_>) -> anyhow::Result<()> {
    lost(field, "hub").await
}

pub(super) async fn leaf_lost(field: &mut Field<'_>) -> anyhow::Result<()> {
    lost(field, "leaf").await
}

/// The server is stopped in the middle of its work: its disk is what it is at that moment. Then it
/// ends, and starts again on that disk. The supervisor sleeps meanwhile, lest it start the server
/// on the disk as it would have become.
async fn lost(field: &mut Field<'_>, server: &str) -> anyhow::Result<()> {
    for _ in 0..field.times(1, 5) {
        field.work_for_a_while(Duration::from_secs(3)).await;
        let disk = field.disks.of(server)?;
        let pid = field.network.signal("servers", server, Signal::STOP).await?;
        disk.freeze().await?;
        let asleep = Frozen::supervisor(field.network)?;
        send(pid, Signal::KILL)?;
        ended(pid).await?;
        disk.lose_power().await?;
        asleep.wake()?;
        started_again(field, "servers", server, pid).await?;
        field.network.ready().await?;
        field.until_recorded_more(20).await?;
    }
    Ok(())
}

/// Miners are served while the hub has no room, because their leaf has. A nats-server that met a
/// full disk turns its JetStream off until it is started again, so the operator who made room
/// starts it again.
pub(super) async fn hub_full(field: &mut Field<'_>) -> anyhow::Result<()> {
    let pause = field.secs(10, 60);
    let disk = field.disks.of("hub")?;
    disk.fill().await?;
    let before = field.network.acknowledged_count()?;
    sleep(pause).await; // time itself: the hub must meet the full disk
    let during = field.network.acknowledged_count()?.saturating_sub(before);
    disk.empty()?;
    field.network.kill("servers", "hub").await?;
    field.note(format!("{during} shares acknowledged while the hub's disk was full"));
    ensure!(during > 0, "no share was acknowledged while the hub's disk was full");
    Ok(())
}

/// No share is acknowledged that the leaf cannot store; miners wait, and go on when there is room.
pub(super) async fn leaf_full(field: &mut Field<'_>) -> anyhow::Result<()> {
    let pause = field.secs(10, 60);
    let disk = field.disks.of("leaf")?;
    disk.fill().await?;
    sleep(pause).await; // time itself: the leaf must meet the full disk
    disk.empty()?;
    field.network.kill("servers", "leaf").await?;
    Ok(())
}
