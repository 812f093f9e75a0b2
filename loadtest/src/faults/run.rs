//! Running scenarios, one after another, on one network.

use super::{Disks, Field, Scale, Scenario};
use crate::{
    audit::{Refusals, Replayed, Report, acknowledged, replay, until_clean},
    network::Network,
};
use anyhow::Context as _;
use serde::Serialize;
use std::time::Duration;
use worker_runtime::{Bus, clock::Clock as _};

/// How long shares may be on their way before the audit calls them lost.
const PATIENCE: Duration = Duration::from_secs(120);

/// Shares that must be acknowledged after a fault: the network works again.
const AFTERWARDS: usize = 50;

/// What a scenario ended in.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The scenario.
    pub scenario: &'static str,
    /// From which it can be run again.
    pub seed: u64,
    /// Milliseconds from the first fault to a clean audit.
    pub took_ms: u64,
    /// What happened on the way.
    pub notes: Vec<String>,
    /// The audit over everything since the network began.
    pub audit: Report,
    /// The undisturbed replay of everything since the network began.
    pub replay: Replayed,
}

/// Runs one scenario, waits until the network works again, and takes the audit.
///
/// # Errors
///
/// When the network does not recover, or the audit finds a violation.
pub async fn run(
    scenario: &Scenario,
    network: &Network,
    disks: &Disks,
    scale: Scale,
    seed: u64,
) -> anyhow::Result<Finding> {
    let say = || format!("scenario {} with seed {seed}", scenario.name);
    network.ready().await.with_context(say)?;
    let begin = network.clock().monotonic();
    let mut field = Field::new(network, disks, scale, seed);
    (scenario.act)(&mut field).await.with_context(say)?;
    network.ready().await.with_context(say)?;
    field.until_acknowledged(AFTERWARDS).await.with_context(say)?;
    field.until_recorded().await.with_context(say)?;
    let audit = audit(network).await.with_context(say)?;
    let public = network.bus("data-reader").await.with_context(say)?;
    let replay = replayed(network, &public.bus).await.with_context(say)?;
    public.finish().await.with_context(say)?;
    let took = network.clock().monotonic().saturating_sub(begin);
    let finding = Finding {
        scenario: scenario.name,
        seed,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        notes: field.notes,
        audit,
        replay,
    };
    anyhow::ensure!(finding.audit.is_clean(), "{}: {:#?}", say(), finding.audit);
    Ok(finding)
}

/// Acknowledged = stored once = recorded once = in slices once.
async fn audit(network: &Network) -> anyhow::Result<Report> {
    let keys = acknowledged(&network.acknowledged()?).await?;
    let core = network.bus("operator").await?;
    let database = network.database().await?;
    let clock = network.clock();
    let report = until_clean(&keys, &core.bus, &database, Refusals::Read, clock, PATIENCE).await?;
    core.finish().await?;
    Ok(report)
}

/// The public mirrors wake up after a break each in its own time, so that one may lack what follows
/// from another. What is said otherwise stays so, and is an error in the end.
async fn replayed(network: &Network, public: &Bus) -> anyhow::Result<Replayed> {
    let deadline = network.clock().monotonic() + PATIENCE;
    loop {
        match replay(public).await {
            Err(_) if network.clock().monotonic() < deadline => {
                tokio::time::sleep(Duration::from_millis(500)).await; // polls
            }
            result => return result,
        }
    }
}
