//! Messages that come again, out of order and where they do not belong.

use super::Field;
use crate::{ShareKey, network};
use anyhow::{Context as _, ensure};
use std::collections::{BTreeMap, BTreeSet};
use streams::LAST_LANE_OF_CORE;
use subjects::{
    BootEpoch, Lane, Message, Payload as _,
    shares::{Accepted, Reason, Refused, Submitted},
};
use tokio::time::{Instant, timeout_at};
use worker_runtime::{Bus, Publication, bus::Ordered, outcome::Expect, transform::Start};

/// A lane of Core's ingress.
const LANE_OF_CORE: Lane = Lane(5);
/// The lanes of the node.
const LANES: [Lane; 2] = [Lane(256), Lane(257)];
/// A start of the ingress before its first one.
const NO_EPOCH: BootEpoch = BootEpoch(0);
/// The number of the first message of the accounting record, as of other starts and lanes. What is
/// refused under one number is told once: each message has a number of its own, beyond those under
/// which others sent something there. Sent in another order, they have gaps.
const FIRST_NUMBER: u64 = 1 << 32;
/// A start that it never gets to.
const LAST_EPOCH: BootEpoch = BootEpoch(u16::MAX);

/// The node sends batches that were credited once more: under their ids and under new ones, in
/// another order, as of another start of its ingress, and on lanes that are not those of the
/// shares. Nothing of it is credited.
pub(super) async fn replayed(field: &mut Field<'_>) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    let leaf = field.network.leaf_ingress().await?;
    let all: Vec<Accepted> = core.all(streams::SHARES, Accepted::FILTER).await?;
    let count = usize::try_from(field.times(20, 400))?;
    let numbered: Vec<_> = (FIRST_NUMBER..).zip(&all).collect();
    let of_node = numbered.into_iter().rev().filter(|(_, batch)| LANES.contains(&batch.lane));
    let batches: Vec<_> = field.shuffled(of_node.take(count).collect());
    ensure!(!batches.is_empty(), "nothing was credited yet");
    let filter = Refused::FILTER.to_owned();
    let mut refusals = core.bus.ordered(streams::SHARES_REFUSED, vec![filter], Start::New);
    refusals.opened().await?;

    let ways: [fn(u64, &Accepted) -> Option<Submitted>; 4] =
        [again, before_the_first_start, on_the_other_lane, on_a_lane_of_core];
    let mut refusable = BTreeSet::new();
    for (number, batch) in &batches {
        for sent in ways.iter().filter_map(|way| way(*number, batch)) {
            send(&leaf.bus, &sent, *number).await?;
            if (sent.lane, sent.boot_epoch) != (batch.lane, batch.boot_epoch) {
                refusable.extend(ShareKey::of_submitted(&sent));
            }
        }
    }
    leaf.finish().await?;
    let reasons = refused(&mut refusals, refusable).await?;
    field.note(format!("{} batches sent again in eight ways; refused {reasons:?}", batches.len()));
    field.until_acknowledged(30).await?;
    field.until_recorded_more(10).await?;
    let again: Vec<Accepted> = core.all(streams::SHARES, Accepted::FILTER).await?;
    credited_once(&again)?;
    core.finish().await
}

/// The batch as the node sent it, as far as it was credited.
fn submitted(accepted: &Accepted) -> Submitted {
    Submitted {
        node: accepted.node.clone(),
        lane: accepted.lane,
        boot_epoch: accepted.boot_epoch,
        batch: accepted.batch,
        opened_at: accepted.opened_at,
        workers: accepted.workers.clone(),
        jobs: accepted.jobs.iter().map(|job| job.job.clone()).collect(),
        shares: accepted.shares.iter().map(|share| share.share).collect(),
    }
}

/// Sends a batch under its own id, which absorbs it while it is known, and under a new one.
async fn send(leaf: &Bus, batch: &Submitted, number: u64) -> anyhow::Result<()> {
    let own = batch.to_message();
    let new = Message { id: format!("{}/again/{number}", own.id), ..own.clone() };
    for message in [own, new] {
        leaf.publish(Publication { message, expect: Expect::Any }).await?;
    }
    Ok(())
}

fn again(_: u64, credited: &Accepted) -> Option<Submitted> {
    Some(submitted(credited))
}

fn before_the_first_start(number: u64, credited: &Accepted) -> Option<Submitted> {
    Some(Submitted { boot_epoch: NO_EPOCH, batch: number, ..submitted(credited) })
}

fn on_the_other_lane(number: u64, credited: &Accepted) -> Option<Submitted> {
    let lane = LANES.into_iter().find(|lane| *lane != credited.lane)?;
    Some(Submitted { lane, boot_epoch: LAST_EPOCH, batch: number, ..submitted(credited) })
}

fn on_a_lane_of_core(number: u64, credited: &Accepted) -> Option<Submitted> {
    Some(Submitted { lane: LANE_OF_CORE, batch: number, ..submitted(credited) })
}

/// Waits until all of these shares are refused; by which names they were.
async fn refused(
    refusals: &mut Ordered,
    mut shares: BTreeSet<ShareKey>,
) -> anyhow::Result<BTreeMap<Reason, u64>> {
    let mut reasons = BTreeMap::new();
    let deadline = Instant::now() + network::PATIENCE;
    while let Some(missing) = shares.first() {
        let heard = timeout_at(deadline, refusals.next()).await;
        let heard = heard.with_context(|| {
            format!("Core does not refuse {} of the shares, such as {missing}", shares.len())
        })?;
        let message = Refused::decode(&heard?.body)?;
        for (key, refusal) in ShareKey::of_refused(&message).zip(&message.refusals) {
            if shares.remove(&key) {
                *reasons.entry(refusal.reason).or_default() += 1;
            }
        }
    }
    Ok(reasons)
}

/// No share is there twice, and none where it was not mined.
fn credited_once(batches: &[Accepted]) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for key in batches.iter().flat_map(ShareKey::of_accepted) {
        ensure!(key.lane > LAST_LANE_OF_CORE, "share {key} is credited on a lane of Core");
        ensure!(key.boot_epoch != LAST_EPOCH, "share {key} is credited on another lane");
        ensure!(seen.insert(key), "share {key} is credited twice");
    }
    Ok(())
}
