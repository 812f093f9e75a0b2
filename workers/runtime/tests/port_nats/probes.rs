//! A source that begins anew while another one's delivery is tried again and again.

use crate::support::{DEADLINE, server};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use subjects::{DecodeError, Timestamp};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    BusConfig, Source, drive,
    outcome::Outcome,
    testing::{nats::Server, until},
    transform::{Position, Transform},
};

/// Tries a question again, without any pause, until it hears an answer.
#[derive(Clone, Default)]
struct Impatient {
    tries: Arc<AtomicU32>,
    answered: Arc<AtomicBool>,
}

impl Transform for Impatient {
    type Input = String;

    fn decode(subject: &str, _: &str, _: &[u8]) -> Result<String, DecodeError> {
        Ok(subject.to_owned())
    }

    fn recall(&mut self, _: String, _: &Position) {}

    fn handle(&mut self, _: Timestamp, subject: String, _: &Position) -> Outcome {
        if subject.starts_with("answers.") {
            self.answered.store(true, Ordering::SeqCst);
        } else if !self.answered.load(Ordering::SeqCst) {
            self.tries.fetch_add(1, Ordering::SeqCst);
            return Outcome::retry(Duration::ZERO);
        }
        Outcome::settle()
    }
}

async fn consumers(server: &Server) -> Vec<String> {
    let answer = server.call("CONSUMER.NAMES.ANSWERS", &json!({})).await.unwrap();
    let names = answer["consumers"].as_array().cloned().unwrap_or_default();
    names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// A way to the server on which every word takes longer than the pause between two probes.
async fn slow_way(server: &Server) -> (BusConfig, JoinSet<()>) {
    let there = server.url().trim_start_matches("nats://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = BusConfig::new(format!("nats://{}", listener.local_addr().unwrap()));
    let mut carrying = JoinSet::new();
    carrying.spawn(async move {
        let mut ways = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&there).await.unwrap();
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            ways.spawn(carry(from_client, to_server));
            ways.spawn(carry(from_server, to_client));
        }
    });
    (here, carrying)
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut bytes = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(Duration::from_millis(5)).await; // time itself
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_made_anew_although_it_is_probed_all_the_time() {
    let server = server().await;
    for (stream, subject) in [("QUESTIONS", "questions.>"), ("ANSWERS", "answers.>")] {
        server.stream(stream, &[subject], json!({})).await.unwrap();
    }
    let (way, _carrying) = slow_way(&server).await;
    let context = worker_runtime::testing::context("impatient");
    let bus = context.connect(&way).await.unwrap();
    let (toy, stop) = (Impatient::default(), CancellationToken::new());
    let sources = ["QUESTIONS", "ANSWERS"]
        .map(|stream| Source::Ordered { stream: stream.to_owned(), filters: Vec::new() });
    let story = async {
        bus.emit("questions.a", "?".into()).await.unwrap();
        let tried = async || toy.tries.load(Ordering::SeqCst) > 10;
        until("the question waits", DEADLINE, tried).await.unwrap();
        for consumer in consumers(&server).await {
            let delete = format!("CONSUMER.DELETE.ANSWERS.{consumer}");
            server.call(&delete, &json!({})).await.unwrap();
        }
        bus.emit("answers.a", "!".into()).await.unwrap();
        let answered = async || toy.answered.load(Ordering::SeqCst);
        until("the answer is heard", DEADLINE, answered).await.unwrap();
        let made = consumers(&server).await;
        assert!(made.len() <= 2, "{} consumers were made", made.len());
        stop.cancel();
    };
    let driving = drive(&context, &bus, toy.clone(), sources.to_vec(), &stop);
    let (result, ()) = tokio::join!(driving, story);
    result.unwrap();
}
