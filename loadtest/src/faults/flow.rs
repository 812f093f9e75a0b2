//! How evenly shares flow into the accounting record while something changes.

use crate::network::{Network, PATIENCE};
use anyhow::{Context as _, ensure};
use std::{collections::BTreeMap, fmt, time::Duration};
use subjects::{
    Payload as _, Timestamp,
    shares::{Accepted, AcceptedShare},
};
use tokio::time::sleep;
use worker_runtime::{Bus, clock::Clock as _, transform::Start};

/// How often to look.
const EVERY: Duration = Duration::from_millis(50);

/// Longest pause that may come of a move that was planned.
pub(super) const PLANNED: Duration = Duration::from_secs(2);

/// Longest pause that may come of a crash: what the dead one held is free when its lease has run
/// out, and a second is for noticing that and for starting.
pub(super) const CRASH: Duration = streams::LEASE.saturating_add(Duration::from_secs(1));

/// A moment in the accounting record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

/// What flowed since a mark. Times are those of the host, on which all servers of the network run.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// Shares that were accepted.
    pub(super) shares: usize,
    /// Longest time from one accepted message to the next.
    pub(super) gap: Duration,
    /// The same of each lane for itself.
    pub(super) lanes: BTreeMap<String, Duration>,
    /// Longest time from a share's arrival at its ingress until it was accepted.
    pub(super) wait: Duration,
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shares, gap, wait, .. } = self;
        write!(f, "{shares} shares, longest pause {gap:?}, longest wait of a share {wait:?}")
    }
}

impl Flow {
    /// Refuses what stood still for longer than `most`.
    pub(super) fn within(&self, most: Duration, what: &str) -> anyhow::Result<()> {
        ensure!(self.shares > 0, "{what}: no share was accepted");
        ensure!(self.gap <= most && self.wait <= most, "{what}: more than {most:?}: {self}");
        Ok(())
    }

    /// Longest pause of one lane.
    pub(super) fn of_lane(&self, subject: &str) -> anyhow::Result<Duration> {
        self.lanes.get(subject).copied().with_context(|| format!("nothing came on {subject}"))
    }
}

/// Where the accounting record ends now.
pub(super) async fn mark(network: &Network) -> anyhow::Result<Mark> {
    let operator = network.bus("operator").await?;
    let info = operator.bus.stream_info(streams::SHARES).await?;
    operator.finish().await?;
    Ok(Mark(info.last_sequence))
}

/// What flowed since `mark`, once every one of `lanes` has got through what arrived until now.
pub(super) async fn since(network: &Network, mark: Mark, lanes: &[String]) -> anyhow::Result<Flow> {
    let operator = network.bus("operator").await?;
    let now = network.clock().now();
    for lane in lanes {
        until_through(network, &operator.bus, lane, now).await?;
    }
    let start = Start::Sequence(mark.0);
    let mut reader = operator.bus.ordered(streams::SHARES, Vec::new(), start);
    reader.opened().await?;
    let (mut flow, mut last, mut last_of) = (Flow::default(), None, BTreeMap::new());
    while !reader.caught_up() {
        let delivery = reader.next().await?;
        let at = delivery.stored_at;
        flow.gap = flow.gap.max(between(last.replace(at).unwrap_or(at), at));
        let before = last_of.insert(delivery.subject.clone(), at).unwrap_or(at);
        let of_lane = flow.lanes.entry(delivery.subject).or_default();
        *of_lane = (*of_lane).max(between(before, at));
        // The message at the mark was there before.
        if delivery.position.sequence > mark.0 {
            let batch = Accepted::decode(&delivery.body)?;
            flow.shares += batch.shares.len();
            let longest =
                batch.shares.iter().map(|share| between(arrived(&batch, share), at)).max();
            flow.wait = flow.wait.max(longest.unwrap_or_default());
        }
    }
    reader.close().await;
    operator.finish().await?;
    Ok(flow)
}

/// Waits until a batch of the lane is accepted that opened after `moment`. A lane's batches are
/// accepted in the order in which they opened.
async fn until_through(
    network: &Network,
    bus: &Bus,
    lane: &str,
    moment: Timestamp,
) -> anyhow::Result<()> {
    let deadline = network.clock().monotonic() + PATIENCE;
    loop {
        if let Ok(Some(last)) = bus.last(streams::SHARES, lane).await
            && Accepted::decode(&last.body)?.opened_at > moment
        {
            return Ok(());
        }
        ensure!(network.clock().monotonic() < deadline, "no share of {lane} gets through");
        sleep(EVERY).await; // polls
    }
}

fn arrived(batch: &Accepted, share: &AcceptedShare) -> Timestamp {
    Timestamp(batch.opened_at.0.saturating_add(share.share.after_ms.into()))
}

fn between(early: Timestamp, late: Timestamp) -> Duration {
    Duration::from_millis(late.0.saturating_sub(early.0))
}
