//! The loop over a real stream into a book that fails at will.

use super::Recorder;
use crate::{Config, Database, domain::Feed, port::MemoryBook};
use serde_json::json;
use std::{num::NonZeroU32, time::Duration};
use subjects::{
    BootEpoch, Lane, NodeId, Timestamp,
    shares::{Reason, Refusal, Refused},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, BusConfig, Context, Publication,
    testing::{self, nats, until},
};

const DEADLINE: Duration = Duration::from_secs(30);

fn refused(batch: u64) -> Refused {
    let refusal = Refusal {
        index: 0,
        channel: 1,
        sequence: 1,
        identity: "somebody".to_owned(),
        worker: String::new(),
        reason: Reason::TooLate,
    };
    Refused {
        node: NodeId::core(),
        lane: Lane(1),
        boot_epoch: BootEpoch(1),
        batch,
        opened_at: Timestamp(0),
        refusals: vec![refusal],
    }
}

struct World {
    server: nats::Server,
    bus: Bus,
    book: MemoryBook,
    said: u64,
}

impl World {
    async fn new() -> Self {
        let server = nats::Server::start().await.unwrap();
        let stream = streams::SHARES_REFUSED;
        server.stream(stream, &["shares.refused.>"], json!({})).await.unwrap();
        let bus = testing::bus(&server, "test").await.unwrap().route("shares.refused.>", stream);
        Self { server, bus, book: MemoryBook::new(), said: 0 }
    }

    async fn say(&mut self, messages: u64) {
        for _ in 0..messages {
            self.bus.publish(Publication::any(&refused(self.said))).await.unwrap();
            self.said += 1;
        }
    }

    fn recorder(&self, stop: &CancellationToken) -> Recorder {
        let database = Database {
            url: "postgres://nobody@127.0.0.1/nowhere".to_owned(),
            password_file: None,
            max_connections: NonZeroU32::MIN,
            connect_timeout_ms: 1,
            transaction_timeout_ms: 1,
        };
        let config = Config {
            bus: BusConfig::new(self.server.url()),
            money_bus: None,
            database,
            max_batch_rows: NonZeroU32::new(7).unwrap(),
            max_wait_ms: 5,
        };
        Recorder {
            ctx: Context::detached("share-recorder", config),
            source: self.bus.clone(),
            bus: self.bus.clone(),
            feed: Feed::Refusals,
            stop: stop.clone(),
        }
    }

    fn position(&self) -> u64 {
        self.book.recorded().last().map_or(0, |batch| batch.through())
    }

    /// Waits until all is recorded, and checks that it was recorded in order, without a gap and
    /// without a repetition.
    async fn recorded_once(&self) {
        let all = async || self.position() == self.said;
        until("all is recorded", DEADLINE, all).await.unwrap();
        let mut sequences = Vec::new();
        let mut after = 0;
        for batch in self.book.recorded() {
            assert_eq!(batch.after(), after);
            after = batch.through();
            assert!(batch.rows().len() <= 7, "batches are bounded");
            sequences.extend(batch.rows().refusals.iter().map(|row| row.sequence));
        }
        assert_eq!(sequences, (1..=self.said).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_book_that_fails_loses_and_doubles_nothing() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for _ in 0..3 {
        world.book.fail_next();
        world.book.lose_next_answer();
    }
    world.say(20).await;
    running.spawn(world.recorder(&stop).run(world.book.clone()));
    world.recorded_once().await;
    world.book.lose_next_answer();
    world.say(20).await;
    world.recorded_once().await;
    stop.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn two_recorders_on_one_book_do_not_disturb_each_other() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for _ in 0..2 {
        running.spawn(world.recorder(&stop).run(world.book.clone()));
    }
    world.say(60).await;
    world.recorded_once().await;
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_was_read_is_written_before_the_recorder_ends() {
    let mut world = World::new().await;
    let stop = CancellationToken::new();
    world.say(5).await;
    let recorder = world.recorder(&stop);
    recorder.ctx.config.store({
        let mut patient = Config::clone(&recorder.ctx.config.load());
        patient.max_wait_ms = 3_600_000;
        patient.into()
    });
    let metrics = recorder.ctx.metrics().clone();
    let mut running = JoinSet::new();
    running.spawn(recorder.run(world.book.clone()));
    let figure = "stream_handled_total{stream=\"SHARES_REFUSED\",result=\"read\"} 5";
    let read = async || metrics.encode().unwrap().contains(figure);
    until("all is read", DEADLINE, read).await.unwrap();
    assert_eq!(world.position(), 0, "it waits for company");
    stop.cancel();
    running.join_next().await.unwrap().unwrap().unwrap();
    world.recorded_once().await;
}
