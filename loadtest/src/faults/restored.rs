//! The accounting record is lost, and comes back from a backup.

use super::{
    Field,
    asleep::{Frozen, ended, started_again},
};
use crate::network;
use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{process::Command, time::sleep};
use worker_runtime::bus::BusError;

/// The folder of `SHARES` is gone when the hub starts. Nobody makes the stream anew: its messages
/// would get positions that other shares have. Verification waits and says so, while miners are
/// served; with the folder's backup everything goes on where it was.
pub(super) async fn record(field: &mut Field<'_>) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    for _ in 0..field.times(1, 3) {
        field.work_for_a_while(Duration::from_secs(3)).await;
        let folder = folder(field)?;
        let backup = field.network.data().join("SHARES.backup");
        let known = core.bus.stream_info(streams::SHARES).await?;
        with_hub_down(field, async || moved(&folder, &backup).await).await?;
        let before = field.network.acknowledged_count()?;
        let unready = |status: &network::Status| {
            let health = status.text("/workers/share-verifier/health");
            health.is_ok_and(|health| health != "ready")
        };
        field.network.until("missing SHARES", unready).await?;
        sleep(field.secs(5, 60)).await; // time itself: a backup takes a while to be found
        let info = core.bus.stream_info(streams::SHARES).await;
        ensure!(matches!(info, Err(BusError::NoSuchStream(_))), "SHARES is there again: {info:?}");
        let during = field.network.acknowledged_count()?.saturating_sub(before);
        field.note(format!("{during} shares acknowledged while SHARES was gone"));
        ensure!(during > 0, "no share was acknowledged while SHARES was gone");

        with_hub_down(field, async || moved(&backup, &folder).await).await?;
        field.network.ready().await?;
        let now = core.bus.stream_info(streams::SHARES).await?;
        ensure!(now.created == known.created, "the restored SHARES is another one");
        ensure!(now.last_sequence >= known.last_sequence, "the restored SHARES is shorter");
        field.until_recorded_more(20).await?;
    }
    core.finish().await
}

/// Ends the hub, does something to its store, and lets it start again.
async fn with_hub_down(
    field: &Field<'_>,
    act: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let asleep = Frozen::supervisor(field.network)?;
    let pid = field.network.signal("servers", "hub", Signal::TERM).await?;
    ended(pid).await?;
    act().await?;
    asleep.wake()?;
    started_again(field, "servers", "hub", pid).await
}

/// Where the hub keeps CORE's `SHARES`. DATA has a mirror of the same name.
fn folder(field: &Field<'_>) -> anyhow::Result<PathBuf> {
    let accounts = field.network.data().join("nats/hub/store/jetstream");
    for account in fs::read_dir(&accounts)? {
        let folder = account?.path().join("streams").join(streams::SHARES);
        if folder.is_dir() && !is_mirror(&folder)? {
            return Ok(folder);
        }
    }
    bail!("no stream {} below {}", streams::SHARES, accounts.display())
}

fn is_mirror(folder: &Path) -> anyhow::Result<bool> {
    let meta = fs::read(folder.join("meta.inf")).context("a stream without its configuration")?;
    let meta: Value = serde_json::from_slice(&meta)?;
    Ok(meta.get("mirror").is_some_and(|origin| !origin.is_null()))
}

/// Copies a folder and removes what was copied: the copy may be on another disk.
async fn moved(from: &Path, to: &Path) -> anyhow::Result<()> {
    let output = Command::new("cp").arg("-a").args([from, to]).output().await?;
    ensure!(output.status.success(), "{}", network::said(&output));
    Ok(fs::remove_dir_all(from)?)
}
