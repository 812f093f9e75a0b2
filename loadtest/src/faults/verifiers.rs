//! Verifiers that come and go, and partitions that move between them.

use super::{Field, flow, instance::Instance, post::Post};
use crate::{
    network::{Network, PATIENCE},
    partitions::{VERIFIER, holders},
};
use anyhow::ensure;
use rustix::process::Signal;
use std::{collections::BTreeMap, time::Duration};
use subjects::Lane;
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// Longest time that the network works between two moves.
const BETWEEN_MOVES: Duration = Duration::from_secs(2);

/// How often to look who holds what.
const EVERY: Duration = Duration::from_millis(100);

/// From one verifier to several and back, first as an operator does it, then by `kill -9`.
pub(super) async fn come_and_go(field: &mut Field<'_>) -> anyhow::Result<()> {
    // The hub takes a while to hear of the shares of a leaf that has just started.
    field.until_recorded_more(20).await?;
    let most = field.times(2, 4);
    let lanes = spread_lanes(field.times(2, 4));
    let mut posts = Vec::new();
    for lane in lanes {
        posts.push(Post::open(field, lane).await?);
    }
    let subjects: Vec<_> = posts.iter().map(Post::subject).collect();
    for ending in [Ending::Planned, Ending::Crash] {
        let mut more = Vec::new();
        let begin = flow::mark(field.network).await?;
        let mut moved = 0;
        for _ in 1..most {
            let before = held(field.network).await?;
            more.push(join(field).await?);
            moved += changes(&before, &held(field.network).await?);
            field.work_for_a_while(BETWEEN_MOVES).await;
        }
        let grown = flow::since(field.network, begin, &subjects).await?;
        field.note(format!("1 to {most} verifiers, {moved} partitions moved: {grown}"));
        grown.within(flow::PLANNED, "more verifiers")?;
        let begin = flow::mark(field.network).await?;
        let before = held(field.network).await?;
        leave(field, more, ending).await?;
        let shrunk = flow::since(field.network, begin, &subjects).await?;
        moved = changes(&before, &held(field.network).await?);
        field
            .note(format!("{most} to 1 verifiers, {ending:?}, {moved} partitions moved: {shrunk}"));
        shrunk.within(ending.most(), "fewer verifiers")?;
        ensure!(moved > 0, "no partition moved");
    }
    for post in posts {
        post.close().await?;
    }
    Ok(())
}

/// How instances end.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Planned,
    Crash,
}

impl Ending {
    const fn most(self) -> Duration {
        match self {
            Self::Planned => flow::PLANNED,
            Self::Crash => flow::CRASH,
        }
    }

    /// One crash at a time: whoever dies with what it has just got from the dead costs two leases.
    async fn until_over(self) {
        match self {
            Self::Planned => {}
            Self::Crash => sleep(flow::CRASH).await, // time itself: the lease must run out
        }
    }
}

/// Starts another verifier and waits until it has partitions.
async fn join(field: &Field<'_>) -> anyhow::Result<Instance> {
    let instance = Instance::start(field, VERIFIER)?;
    let own = format!("{VERIFIER}-{}-", instance.pid()?);
    let deadline = field.network.clock().monotonic() + PATIENCE;
    while !held(field.network).await?.values().any(|holder| holder.starts_with(&own)) {
        ensure!(field.network.clock().monotonic() < deadline, "a verifier gets no partition");
        sleep(EVERY).await; // polls
    }
    Ok(instance)
}

/// Ends these one after another, and the network's own among them, which is started again.
async fn leave(
    field: &mut Field<'_>,
    instances: Vec<Instance>,
    ending: Ending,
) -> anyhow::Result<()> {
    let signal = match ending {
        Ending::Planned => Signal::TERM,
        Ending::Crash => Signal::KILL,
    };
    field.network.replace("workers", VERIFIER, signal).await?;
    field.network.ready().await?;
    ending.until_over().await;
    for instance in instances {
        field.work_for_a_while(BETWEEN_MOVES).await;
        match ending {
            Ending::Planned => instance.end().await?,
            Ending::Crash => instance.kill().await?,
        }
        ending.until_over().await;
    }
    Ok(())
}

async fn held(network: &Network) -> anyhow::Result<BTreeMap<u16, String>> {
    let bus = network.bus_of(VERIFIER).await?;
    let holders = holders(&bus).await?;
    bus.finish().await?;
    Ok(holders)
}

/// How many partitions have another holder.
fn changes(before: &BTreeMap<u16, String>, after: &BTreeMap<u16, String>) -> usize {
    after.iter().filter(|(partition, holder)| before.get(partition) != Some(holder)).count()
}

/// Lanes of Core whose partitions lie evenly among all: few verifiers have some each.
fn spread_lanes(count: u32) -> Vec<Lane> {
    let of = |part: u32| {
        let wanted = (u32::from(streams::PARTITIONS) * (part + 1)).checked_div(count);
        let wanted = wanted.unwrap_or_default().saturating_sub(1);
        let fits = |lane: &u16| u32::from(streams::partition_of(Lane(*lane))) == wanted;
        (1..=streams::LAST_LANE_OF_CORE.0).find(fits).map(Lane)
    };
    (0..count).filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_lie_in_partitions_that_are_far_apart() {
        let partitions = |count| -> Vec<_> {
            spread_lanes(count).into_iter().map(streams::partition_of).collect()
        };
        assert_eq!(partitions(2), [7, 15]);
        assert_eq!(partitions(4), [3, 7, 11, 15]);
    }
}
