//! Servers that die and hang.

use super::Field;
use crate::network::send;
use anyhow::ensure;
use rustix::process::Signal;
use tokio::time::sleep;

pub(super) async fn hub_killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    field.kill_again_and_again("servers", "hub").await
}

pub(super) async fn leaf_killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    field.kill_again_and_again("servers", "leaf").await
}

pub(super) async fn database_killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    field.kill_again_and_again("servers", "postgresql").await
}

/// For the node this is a cut link: its leaf takes shares on its own, and miners hear of it before
/// the hub is back.
pub(super) async fn hub_hangs(field: &mut Field<'_>) -> anyhow::Result<()> {
    let cut = field.secs(15, 120);
    let before = field.network.acknowledged_count()?;
    let hub = field.network.signal("servers", "hub", Signal::STOP).await?;
    sleep(cut).await; // time itself: longer than the leaf waits for an answer to its pings
    let during = field.network.acknowledged_count()?.saturating_sub(before);
    send(hub, Signal::CONT)?;
    field.note(format!("{during} shares acknowledged while the hub hung for {cut:?}"));
    ensure!(during > 0, "no share was acknowledged while the hub hung");
    Ok(())
}

/// Connections stay open and nothing answers: the recorder must give up by itself, and mining must
/// not notice.
pub(super) async fn database_hangs(field: &mut Field<'_>) -> anyhow::Result<()> {
    let pause = field.secs(15, 60);
    let status = field.network.status().await?;
    let postmaster = status.pid("servers", "postgresql")?;
    let all = family(postmaster)?;
    let before = field.network.acknowledged_count()?;
    for pid in &all {
        send(*pid, Signal::STOP)?;
    }
    sleep(pause).await; // time itself: longer than a connection's patience
    let during = field.network.acknowledged_count()?.saturating_sub(before);
    for pid in &all {
        // A backend may have been ended meanwhile.
        drop(send(*pid, Signal::CONT));
    }
    ensure!(during > 0, "no share was acknowledged while the database hung");
    field.until_recorded().await?;
    Ok(())
}

/// A process and its children.
fn family(parent: u64) -> anyhow::Result<Vec<u64>> {
    let tasks = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(tasks)?;
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    Ok(std::iter::once(parent).chain(children).collect())
}
