//! Servers whose disks lose their power or are full.

use super::Field;
use crate::network::send;
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
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
        let supervisor = supervisor(field)?;
        send(supervisor, Signal::STOP)?;
        let restored = async {
            send(pid, Signal::KILL)?;
            ended(pid).await?;
            disk.lose_power().await
        };
        let restored = restored.await;
        send(supervisor, Signal::CONT)?;
        restored?;
        let back = |status: &crate::network::Status| {
            status.pid("servers", server).is_ok_and(|now| now != pid)
        };
        field.network.until(&format!("{server} started again"), back).await?;
        field.network.ready().await?;
        field.until_recorded_more(20).await?;
    }
    Ok(())
}

fn supervisor(field: &Field<'_>) -> anyhow::Result<u64> {
    let path = field.network.data().join("supervisor.json");
    let record: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    let pid = record.pointer("/pid").and_then(Value::as_u64);
    pid.with_context(|| format!("no process id in {}", path.display()))
}

/// Waits until a killed process has let go of everything.
async fn ended(pid: u64) -> anyhow::Result<()> {
    for _ in 0..1_000 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Its parent sleeps, so that a dead process stays as a zombie.
        if stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")) {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await; // polls
    }
    anyhow::bail!("process {pid} does not end")
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
