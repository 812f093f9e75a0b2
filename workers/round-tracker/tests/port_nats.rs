//! On a real nats-server: the worker as it runs in production.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{EASY, batch};
use round_tracker::{Config, RoundTracker};
use serde_json::json;
use std::time::Duration;
use subjects::{
    BlockHash, Payload,
    rounds::{Closed, Progress, SliceClosed},
};
use worker_runtime::{
    Bus, BusConfig, Context, Worker,
    outcome::Publication,
    testing::{self, nats::Server, until},
};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn server() -> Server {
    let server = Server::start().await.unwrap();
    server.stream("SHARES", &["shares.accepted.>"], json!({})).await.unwrap();
    let rounds = ["rounds.slice.>", "rounds.closed.*"];
    server.stream("ROUNDS", &rounds, json!({})).await.unwrap();
    server.stream("PARKED", &["parked.>"], json!({})).await.unwrap();
    server.bucket(streams::LEASES, Some(streams::LEASE)).await.unwrap();
    server
}

fn start(server: &Server) -> Context<Config> {
    let config = Config { bus: BusConfig::new(server.url()), progress_interval_ms: 1 };
    let ctx = Context::detached(RoundTracker::NAME, config);
    ctx.spawn("run", RoundTracker::run(ctx.clone()));
    ctx
}

/// Publishes messages of which every third solves a block.
async fn publish(bus: &Bus, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let solves = (number % 3 == 2).then_some(BlockHash([number; 32]));
        let message = batch(number.into(), &[(1, 20), (2, 21)], EASY, solves);
        bus.publish(Publication::any(&message)).await.unwrap();
    }
}

async fn closed_rounds(bus: &Bus) -> u64 {
    let last = bus.last("ROUNDS", Closed::FILTER).await.unwrap();
    last.map_or(0, |last| Closed::decode(&last.body).unwrap().round)
}

async fn wait_for_round(bus: &Bus, round: u64) {
    let what = format!("round {round} is closed");
    until(&what, PATIENCE, async || closed_rounds(bus).await >= round).await.unwrap();
}

#[tokio::test]
async fn a_tracker_goes_on_where_another_one_stopped() {
    let server = server().await;
    let bus = testing::bus(&server, "test").await.unwrap();
    let mut progress = bus.serve(Progress::FILTER).await.unwrap();
    publish(&bus, 0..7).await;
    let first = start(&server);
    wait_for_round(&bus, 2).await;
    let told = progress.next().await.unwrap();
    assert!(Progress::decode(&told.payload).unwrap().round >= 1);
    first.finish(PATIENCE).await.unwrap();

    publish(&bus, 7..12).await;
    let second = start(&server);
    wait_for_round(&bus, 4).await;
    second.finish(PATIENCE).await.unwrap();

    let round = bus.last("ROUNDS", "rounds.closed.3").await.unwrap().unwrap();
    let round = Closed::decode(&round.body).unwrap();
    assert_eq!((round.first_sequence, round.last_sequence, round.shares), (7, 9, 6));
    let slice = bus.last("ROUNDS", "rounds.slice.closed.4").await.unwrap().unwrap();
    let slice = SliceClosed::decode(&slice.body).unwrap();
    let created = bus.stream_info("SHARES").await.unwrap().created;
    assert_eq!((slice.last_sequence, slice.incarnation), (12, created));
}

#[tokio::test]
async fn a_standby_takes_over() {
    let server = server().await;
    let bus = testing::bus(&server, "test").await.unwrap();
    let (one, other) = (start(&server), start(&server));
    publish(&bus, 0..3).await;
    wait_for_round(&bus, 1).await;
    // Whichever is active, the other one goes on.
    one.finish(PATIENCE).await.unwrap();
    publish(&bus, 3..6).await;
    wait_for_round(&bus, 2).await;
    other.finish(PATIENCE).await.unwrap();
}

/// SHARES is lost and made anew: nothing is credited twice, and what is new counts.
#[tokio::test]
async fn a_stream_made_anew_is_read_from_its_first_message() {
    let server = server().await;
    let bus = testing::bus(&server, "test").await.unwrap();
    publish(&bus, 0..5).await;
    let first = start(&server);
    wait_for_round(&bus, 1).await;
    first.finish(PATIENCE).await.unwrap();
    server.call("STREAM.DELETE.SHARES", &json!({})).await.unwrap();
    server.stream("SHARES", &["shares.accepted.>"], json!({})).await.unwrap();
    publish(&bus, 6..9).await;
    let second = start(&server);
    wait_for_round(&bus, 2).await;
    second.finish(PATIENCE).await.unwrap();
    let slice = bus.last("ROUNDS", "rounds.slice.closed.2").await.unwrap().unwrap();
    let slice = SliceClosed::decode(&slice.body).unwrap();
    assert_eq!((slice.first_sequence, slice.last_sequence, slice.shares), (1, 3, 6));
}

/// Messages that are gone from SHARES before they were counted end the process with a clear word.
#[tokio::test]
async fn a_gap_in_shares_ends_the_process() {
    let server = server().await;
    let bus = testing::bus(&server, "test").await.unwrap();
    publish(&bus, 0..3).await;
    let first = start(&server);
    wait_for_round(&bus, 1).await;
    first.finish(PATIENCE).await.unwrap();
    publish(&bus, 3..6).await;
    server.call("STREAM.PURGE.SHARES", &json!({ "seq": 6 })).await.unwrap();
    let second = start(&server);
    tokio::time::timeout(PATIENCE, second.stop.cancelled()).await.unwrap();
    let error = second.finish(PATIENCE).await.unwrap_err();
    assert!(format!("{error:#}").contains("restore the stream"), "{error:#}");
    assert_eq!(closed_rounds(&bus).await, 1);
}
