//! A hub of three servers that loses the one that leads.

use super::{Field, flow, pulse::Pulse};
use crate::network::{Network, PATIENCE};
use anyhow::ensure;
use rustix::process::Signal;
use std::{path::PathBuf, time::Duration};
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// What the node's miners find.
const OF_THE_NODE: &str = "shares.accepted.n1.*";

/// How often to look.
const EVERY: Duration = Duration::from_millis(50);

/// Longest pause of acceptance when the leader is killed: the others notice after 4 to 9 s that
/// they have none, readers and publishers ask again within 5 s, and a machine may be slow.
const ELECTION: Duration = Duration::from_secs(25);

/// Longest pause of acceptance when the leader is told to end. Streams have another leader within
/// 0.3 s, and whoever asked the old one asks again after 0.5 s: that is a planned move. Where the
/// node's link was to that server, its leaf dials again after a second, and Core's reader notices
/// after 5 s of silence.
const HANDED_OVER: Duration = flow::PLANNED.saturating_add(Duration::from_secs(6));

/// Longest pause of acknowledgements: the leaf gives them, whatever the hub does. Two small miners
/// find none for so long once in a year.
const ACKNOWLEDGED: Duration = Duration::from_secs(4);

/// The leader of the accounting record and that of the work queue are killed in turn; in the end
/// one ends as an operator ends it.
pub(super) async fn leader_killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    // The hub takes a while to hear of the shares of a leaf that has just started.
    field.until_recorded_more(20).await?;
    for _ in 0..field.times(1, 3) {
        for stream in [streams::SHARES, streams::SHARES_SUBMITTED] {
            lose(field, stream, Signal::KILL).await?;
        }
    }
    lose(field, streams::SHARES, Signal::TERM).await
}

async fn lose(field: &mut Field<'_>, stream: &str, signal: Signal) -> anyhow::Result<()> {
    let files = field.network.acknowledged()?;
    let pulse = Pulse::of(move || std::future::ready(noted(&files)));
    let begin = flow::mark(field.network).await?;
    field.work_for_a_while(Duration::from_secs(2)).await;
    let leader = leader(field.network, stream).await?;
    field.network.replace("servers", &leader, signal).await?;
    field.network.ready().await?;
    field.until_recorded_more(20).await?;
    let silence = pulse.longest().await?;
    let flow = flow::since(field.network, begin, &[OF_THE_NODE.to_owned()]).await?;
    let how = if signal == Signal::KILL { "killed" } else { "ended" };
    field.note(format!(
        "{leader}, which led {stream}, {how}: {flow}; longest time without an acknowledgement \
         {silence:?}"
    ));
    let most = if signal == Signal::KILL { ELECTION } else { HANDED_OVER };
    flow.within(most, "a leader is gone")?;
    ensure!(silence <= ACKNOWLEDGED, "no share was acknowledged for {silence:?}");
    Ok(())
}

/// The server that leads a stream, once there is one.
async fn leader(network: &Network, stream: &str) -> anyhow::Result<String> {
    let deadline = network.clock().monotonic() + PATIENCE;
    let operator = network.bus("operator").await?;
    loop {
        if let Ok(info) = operator.bus.stream_info(stream).await
            && let Some(leader) = info.leader
        {
            operator.finish().await?;
            return Ok(leader);
        }
        ensure!(network.clock().monotonic() < deadline, "nobody leads {stream}");
        sleep(EVERY).await; // polls
    }
}

/// How much miners have noted as acknowledged.
fn noted(files: &[PathBuf]) -> anyhow::Result<u64> {
    files.iter().map(|file| Ok(file.metadata()?.len())).sum()
}
