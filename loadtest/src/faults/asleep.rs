//! A network whose supervisor sleeps, so that it starts nothing again.

use super::Field;
use crate::network::send;
use anyhow::Context as _;
use rustix::process::Signal;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

/// The supervisor sleeps as long as this exists.
#[derive(Debug)]
pub(super) struct Asleep(u64);

impl Asleep {
    /// Puts the supervisor to sleep.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn begin(field: &Field<'_>) -> anyhow::Result<Self> {
        let path = field.network.data().join("supervisor.json");
        let record: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        let pid = record.pointer("/pid").and_then(Value::as_u64);
        let pid = pid.with_context(|| format!("no process id in {}", path.display()))?;
        send(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        // If it is gone, whoever waits for the network hears of it.
        drop(send(self.0, Signal::CONT));
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
