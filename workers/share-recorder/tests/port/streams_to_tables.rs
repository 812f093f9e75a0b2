//! The whole worker, from real streams into real tables.

use crate::{
    database::{Fresh, database},
    facts::{accepted, outcome, refused, rejected, solved},
};
use serde_json::json;
use share_recorder::{Config, ShareRecorder};
use std::{num::NonZeroU32, time::Duration};
use subjects::shares::Reason;
use tokio::task::JoinSet;
use worker_runtime::{
    Bus, BusConfig, Context, Publication, Worker,
    testing::{self, nats, until},
};

const DEADLINE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);

async fn hub() -> nats::Server {
    let server = nats::Server::start().await.unwrap();
    for (stream, subjects) in [
        (streams::SHARES, ["shares.accepted.>"].as_slice()),
        (streams::SHARES_REFUSED, &["shares.refused.>"]),
        (streams::NODE_TELEMETRY, &["shares.rejected.>", "templates.health.>"]),
        (streams::BLOCKS, &["blocks.solved.*", "blocks.submitted.>", "blocks.outcome.*"]),
        (streams::ROUNDS, &["rounds.slice.>", "rounds.closed.*"]),
        (streams::PARKED, &["parked.*"]),
    ] {
        server.stream(stream, subjects, json!({})).await.unwrap();
    }
    server.bucket(streams::LEASES, Some(streams::LEASE)).await.unwrap();
    server
}

async fn publisher(server: &nats::Server) -> Bus {
    testing::bus(server, "test").await.unwrap().routes(streams::routes())
}

/// A running recorder; a second one stands by.
struct Running {
    ctx: Context<Config>,
    task: JoinSet<anyhow::Result<()>>,
}

fn start(hub: &nats::Server, fresh: &Fresh) -> Running {
    let config = Config {
        bus: BusConfig::new(hub.url()),
        money_bus: None,
        database: database(&fresh.url()),
        max_batch_rows: NonZeroU32::new(1_000).unwrap(),
        max_wait_ms: 20,
    };
    let ctx = Context::detached(ShareRecorder::NAME, config);
    let mut task = JoinSet::new();
    task.spawn(ShareRecorder::run(ctx.clone()));
    Running { ctx, task }
}

impl Running {
    async fn stop(mut self) {
        self.ctx.stop.cancel();
        let ended = tokio::time::timeout(GRACE, self.task.join_next()).await;
        ended.unwrap().unwrap().unwrap().unwrap();
        self.ctx.finish(GRACE).await.unwrap();
    }
}

async fn say(bus: &Bus, from: u64, through: u64) {
    for batch in from..=through {
        bus.publish(Publication::any(&accepted(batch, 1, "rig", 2))).await.unwrap();
    }
}

async fn recorded(fresh: &Fresh, table: &str, rows: i64) {
    let what = format!("{rows} rows in {table}");
    until(&what, DEADLINE, async || fresh.count(table).await >= rows).await.unwrap();
    assert_eq!(fresh.count(table).await, rows, "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_recorded_once_whatever_stops_and_starts() {
    let (mut hub, mut fresh) = (hub().await, Fresh::alone().await);
    let bus = publisher(&hub).await;
    say(&bus, 1, 50).await;
    bus.publish(Publication::any(&refused(1, &[Reason::TooLate]))).await.unwrap();
    bus.publish(Publication::any(&rejected(1))).await.unwrap();
    bus.publish(Publication::once(&solved())).await.unwrap();
    bus.publish(Publication::once(&outcome())).await.unwrap();
    let (first, second) = (start(&hub, &fresh), start(&hub, &fresh));
    recorded(&fresh, "shares", 100).await;
    for table in ["refusals", "rejections", "blocks"] {
        recorded(&fresh, table, 1).await;
    }
    // The active one goes, the other takes over.
    first.stop().await;
    say(&bus, 51, 60).await;
    recorded(&fresh, "shares", 120).await;
    // The database goes and comes back.
    fresh.server().stop();
    say(&bus, 61, 70).await;
    fresh.server().restart().await.unwrap();
    recorded(&fresh, "shares", 140).await;
    // The bus goes and comes back.
    hub.kill9();
    hub.restart().await.unwrap();
    say(&bus, 71, 80).await;
    recorded(&fresh, "shares", 160).await;
    second.stop().await;
    let distinct = "SELECT count(DISTINCT (sequence, share_index)) FROM shares";
    assert_eq!(fresh.number(distinct).await, 160);
    let sums = "SELECT sum(shares)::bigint FROM share_minutes_by_lane";
    assert_eq!(fresh.number(sums).await, 160);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_made_anew_is_recorded_from_its_beginning() {
    let (hub, fresh) = (hub().await, Fresh::start().await);
    let bus = publisher(&hub).await;
    let recorder = start(&hub, &fresh);
    say(&bus, 1, 5).await;
    recorded(&fresh, "shares", 10).await;
    hub.call("STREAM.DELETE.SHARES", &json!({})).await.unwrap();
    hub.stream(streams::SHARES, &["shares.accepted.>"], json!({})).await.unwrap();
    say(&bus, 6, 8).await;
    recorded(&fresh, "shares", 16).await;
    let streams = "SELECT count(DISTINCT incarnation) FROM shares";
    assert_eq!(fresh.number(streams).await, 2);
    recorder.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_message_is_set_aside_and_the_stream_goes_on() {
    let (hub, fresh) = (hub().await, Fresh::start().await);
    let bus = publisher(&hub).await;
    say(&bus, 1, 1).await;
    let mut garbage = Publication::any(&accepted(2, 1, "rig", 1));
    garbage.message.body = b"garbage".to_vec();
    bus.publish(garbage).await.unwrap();
    say(&bus, 3, 3).await;
    let recorder = start(&hub, &fresh);
    recorded(&fresh, "shares", 4).await;
    let parked = bus.last(streams::PARKED, "parked.share-recorder").await.unwrap().unwrap();
    let parked: subjects::parked::Parked = subjects::Payload::decode(&parked.body).unwrap();
    assert_eq!((parked.stream.as_str(), parked.stream_sequence), (streams::SHARES, 2));
    recorder.stop().await;
}
