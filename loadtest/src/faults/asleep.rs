//! Processes that are put to sleep, and what is waited for meanwhile.

use super::Field;
use crate::network::{Network, send};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

/// Processes that sleep. They wake with the end of the value, so that a scenario that fails leaves
/// a network that can be ended.
#[derive(Debug)]
pub(super) struct Frozen(Vec<u64>);

impl Frozen {
    /// The network's supervisor: nothing that ends is started again meanwhile.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn supervisor(network: &Network) -> anyhow::Result<Self> {
        let path = network.data().join("supervisor.json");
        let record: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let pid = record.pointer("/pid").and_then(Value::as_u64);
        let pid = pid.with_context(|| format!("no process id in {}", path.display()))?;
        send(pid, Signal::STOP)?;
        Ok(Self(vec![pid]))
    }

    /// A worker, of all providers if each has its own.
    ///
    /// # Errors
    ///
    /// When the network has none.
    pub(super) async fn workers(network: &Network, worker: &str) -> anyhow::Result<Self> {
        let status = network.ready().await?;
        let names = status.names("/workers")?;
        let mut frozen = Self(Vec::new());
        for name in names.iter().filter(|name| name.starts_with(worker)) {
            let pid = status.pid("workers", name)?;
            send(pid, Signal::STOP)?;
            frozen.0.push(pid);
        }
        ensure!(!frozen.0.is_empty(), "the network has no {worker}");
        Ok(frozen)
    }

    /// Wakes them.
    ///
    /// # Errors
    ///
    /// When one is gone.
    pub(super) fn wake(mut self) -> anyhow::Result<()> {
        self.0.drain(..).try_for_each(|pid| send(pid, Signal::CONT))
    }

    /// Kills them in their sleep.
    ///
    /// # Errors
    ///
    /// When one is gone.
    pub(super) fn kill(mut self) -> anyhow::Result<()> {
        self.0.drain(..).try_for_each(|pid| send(pid, Signal::KILL))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            // One that ended meanwhile needs no waking.
            drop(send(*pid, Signal::CONT));
        }
    }
}

/// Waits until a killed process has let go of everything.
///
/// # Errors
///
/// When it does not end.
pub(super) async fn ended(pid: u64) -> anyhow::Result<()> {
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

/// Waits until a process of the network has another process id than it had.
///
/// # Errors
///
/// When it is not started again.
pub(super) async fn started_again(
    field: &Field<'_>,
    group: &str,
    name: &str,
    old: u64,
) -> anyhow::Result<()> {
    let back =
        |status: &crate::network::Status| status.pid(group, name).is_ok_and(|now| now != old);
    field.network.until(&format!("{name} started again"), back).await?;
    Ok(())
}
