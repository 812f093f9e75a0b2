//! Ingresses that come and go, and lanes that others take over.

use super::{Field, flow, post::Post};
use anyhow::ensure;
use std::time::Duration;
use subjects::Lane;
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// Longest time that the network works between two moves.
const BETWEEN_MOVES: Duration = Duration::from_secs(2);

/// Long enough for a successor to have started and to wait for the lane.
const UNTIL_IT_WAITS: Duration = Duration::from_secs(3);

/// From one ingress to several and back. Each hands its lane over to a successor that stands by,
/// once as an operator does it and once by `kill -9`.
pub(super) async fn come_and_go(field: &mut Field<'_>) -> anyhow::Result<()> {
    // The hub takes a while to hear of the shares of a leaf that has just started.
    field.until_recorded_more(20).await?;
    let begin = flow::mark(field.network).await?;
    let mut posts = Vec::new();
    for lane in (1..=field.times(2, 4)).filter_map(|lane| u16::try_from(lane).ok()).map(Lane) {
        posts.push(Post::open(field, lane).await?);
        field.work_for_a_while(BETWEEN_MOVES).await;
    }
    let subjects: Vec<_> = posts.iter().map(Post::subject).collect();
    let grown = flow::since(field.network, begin, &subjects).await?;
    field.note(format!("{} more ingresses: {grown}", posts.len()));
    grown.within(flow::PLANNED, "more ingresses")?;
    for post in &mut posts {
        hand_over(field, post).await?;
        crash(field, post).await?;
    }
    let begin = flow::mark(field.network).await?;
    for post in posts {
        field.work_for_a_while(BETWEEN_MOVES).await;
        post.close().await?;
    }
    field.until_acknowledged(20).await?;
    let shrunk = flow::since(field.network, begin, &[]).await?;
    field.note(format!("back to one ingress: {shrunk}"));
    shrunk.within(flow::PLANNED, "fewer ingresses")
}

/// The miner's own way back counts too: it must have shares accepted again in time.
async fn hand_over(field: &mut Field<'_>, post: &mut Post) -> anyhow::Result<()> {
    let successor = post.successor(field)?;
    // Before the pause that is looked for, so that the lane has a share on either side of it.
    let begin = flow::mark(field.network).await?;
    sleep(UNTIL_IT_WAITS).await; // time itself: a successor that waits says nothing
    field.work_for_a_while(BETWEEN_MOVES).await;
    post.relieve(successor).end().await?;
    let moved = flow::since(field.network, begin, &[post.subject()]).await?;
    let pause = moved.of_lane(&post.subject())?;
    field.note(format!("lane {} handed over, {pause:?} without a share of it: {moved}", post.lane));
    ensure!(pause <= flow::PLANNED, "lane {} stood still for {pause:?}", post.lane);
    moved.within(flow::PLANNED, "a lane handed over")
}

/// Miners connect again when they like, with growing pauses: so the time counts until they can.
async fn crash(field: &mut Field<'_>, post: &mut Post) -> anyhow::Result<()> {
    let successor = post.successor(field)?;
    // Before the pause that is looked for, so that the lane has a share on either side of it.
    let begin = flow::mark(field.network).await?;
    sleep(UNTIL_IT_WAITS).await; // time itself: a successor that waits says nothing
    field.work_for_a_while(BETWEEN_MOVES).await;
    let killed = field.network.clock().monotonic();
    post.relieve(successor).kill().await?;
    post.until_open(field).await?;
    let closed = field.network.clock().monotonic().saturating_sub(killed);
    let moved = flow::since(field.network, begin, &[post.subject()]).await?;
    field.note(format!("lane {} crashed, {closed:?} closed: {moved}", post.lane));
    ensure!(closed <= flow::CRASH, "lane {} was closed for {closed:?}", post.lane);
    moved.within(flow::CRASH, "a lane crashed")
}
