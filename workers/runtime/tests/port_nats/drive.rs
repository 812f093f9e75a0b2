//! The loop on a real bus: recall, hear, say, settle; and again after every kind of end.

use crate::support::{DEADLINE, STREAM, context_and_bus, link, messages, server};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use subjects::{DecodeError, Payload, Timestamp, parked::Parked, shares::Rejected};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Context, DriveError, Publication, PublishError, Source,
    bus::QueueConfig,
    drive, drive_to,
    outcome::Outcome,
    testing::{nats::Server, until},
    transform::{Position, Replay, Start, Transform},
};

/// Says every word of lane 1 that the dictionary has, in order, once.
#[derive(Default)]
struct Toy {
    past_recalled: bool,
    last: u64,
    dictionary: Vec<String>,
    dictionary_as_of: Option<Timestamp>,
    first_heard: Option<Timestamp>,
    gate: Option<Gate>,
}

/// Holds a toy up between recalling its past and deciding.
#[derive(Clone, Default)]
struct Gate {
    reached: Arc<AtomicBool>,
    open: Arc<AtomicBool>,
}

#[derive(Clone)]
enum Heard {
    Entry(String),
    Word(String),
    Past(Rejected),
}

impl Transform for Toy {
    type Input = Heard;

    fn decode(subject: &str, kind: &str, body: &[u8]) -> Result<Heard, DecodeError> {
        if kind == Rejected::TYPE {
            return Rejected::decode(body).map(Heard::Past);
        }
        let text = std::str::from_utf8(body).map_err(|error| DecodeError::field("body", error))?;
        let text = text.to_owned();
        Ok(if subject.starts_with("dictionary.") { Heard::Entry(text) } else { Heard::Word(text) })
    }

    fn before(&self, input: &Heard) -> Option<Replay> {
        (matches!(input, Heard::Word(_)) && !self.past_recalled).then(|| Replay {
            stream: STREAM.to_owned(),
            filters: vec!["shares.rejected.core.1".to_owned()],
            from: Start::LastPerSubject,
        })
    }

    fn recall(&mut self, past: Heard, _: &Position) {
        if let Heard::Past(link) = past {
            self.last = link.sequence;
        }
    }

    fn recalled(&mut self, _: &Heard) {
        self.past_recalled = true;
    }

    fn caught_up(&mut self, stream: &str, as_of: Timestamp) {
        if stream == "DICTIONARY" {
            self.dictionary_as_of = Some(as_of);
        }
    }

    fn handle(&mut self, now: Timestamp, input: Heard, at: &Position) -> Outcome {
        if let Some(gate) = self.gate.as_ref().filter(|gate| !gate.open.load(Ordering::SeqCst)) {
            gate.reached.store(true, Ordering::SeqCst);
            return Outcome::retry(Duration::from_millis(10));
        }
        match input {
            Heard::Word(word) if word == "impossible" => Outcome::stop("it cannot be"),
            Heard::Entry(word) => {
                self.dictionary.push(word);
                Outcome::settle()
            }
            Heard::Past(_) => Outcome::park("not asked for"),
            Heard::Word(word) if self.dictionary.contains(&word) => {
                // The queue's own order numbers the links; what was said already is not repeated.
                if at.sequence <= self.last {
                    return Outcome::settle();
                }
                self.last = at.sequence;
                Outcome::facts(vec![Publication::chained(&link(1, at.sequence))])
            }
            Heard::Word(word) => {
                let heard = *self.first_heard.get_or_insert(now);
                if self.dictionary_as_of.is_some_and(|as_of| as_of >= heard) {
                    self.first_heard = None;
                    return Outcome::park(format!("`{word}` is in no dictionary"));
                }
                Outcome::retry(Duration::from_millis(20))
            }
        }
    }
}

async fn toy_server() -> Server {
    let server = server().await;
    server.stream("DICTIONARY", &["dictionary.>"], json!({})).await.unwrap();
    server.stream("WORDS", &["words.>"], json!({ "retention": "workqueue" })).await.unwrap();
    server
}

fn sources() -> Vec<Source> {
    vec![
        Source::Ordered { stream: "DICTIONARY".to_owned(), filters: vec![] },
        Source::Queue(QueueConfig {
            stream: "WORDS".to_owned(),
            consumer: "toy".to_owned(),
            filter: "words.>".to_owned(),
            ack_wait: Duration::from_secs(2),
        }),
    ]
}

async fn tell(bus: &Bus, subject: &str, text: &'static str) {
    bus.emit(subject, text.into()).await.unwrap();
}

/// Runs the toy until `done`, then drains it.
async fn run_until(
    (context, bus): &(Context<()>, Bus),
    toy: Toy,
    done: impl AsyncFn() -> bool,
) -> Result<(), DriveError> {
    let stop = CancellationToken::new();
    let watching = async {
        until("the run is done", DEADLINE, async || done().await).await.unwrap();
        stop.cancel();
    };
    let (result, ()) = tokio::join!(drive(context, bus, toy, sources(), &stop), watching);
    result
}

#[tokio::test]
async fn words_are_said_once_and_in_order_across_runs() {
    let server = toy_server().await;
    let instance = context_and_bus(&server, "toy").await;
    for word in ["words.a", "words.a"] {
        tell(&instance.1, word, "a").await;
    }
    tell(&instance.1, "dictionary.a", "a").await;
    run_until(&instance, Toy::default(), async || messages(&server, "WORDS").await == 0)
        .await
        .unwrap();
    assert_eq!(messages(&server, STREAM).await, 2);

    // Another instance recalls where the first one was, and goes on with the chain.
    let heir = context_and_bus(&server, "toy").await;
    tell(&heir.1, "words.a", "a").await;
    run_until(&heir, Toy::default(), async || messages(&server, "WORDS").await == 0).await.unwrap();
    let last = heir.1.last(STREAM, "shares.rejected.core.1").await.unwrap().unwrap();
    assert_eq!(Rejected::decode(&last.body).unwrap().sequence, 3);
    let figures = heir.0.metrics().encode().unwrap();
    assert!(
        figures.contains("stream_handled_total{stream=\"WORDS\",result=\"handled\"} 1"),
        "{figures}"
    );
    assert!(figures.contains("stream_handle_latency_ms_count{stream=\"WORDS\"} 1"), "{figures}");
    assert!(figures.contains("stream_lag_messages{stream=\"WORDS\"} 0"), "{figures}");
}

#[tokio::test]
async fn an_unknown_word_waits_for_the_dictionary_and_no_longer() {
    let server = toy_server().await;
    let instance = context_and_bus(&server, "toy").await;
    // Unknown when it is heard, and for ever: it is set aside once the dictionary was read.
    tell(&instance.1, "words.x", "x").await;
    let parked = async || instance.1.last(STREAM, "parked.toy").await.unwrap();
    run_until(&instance, Toy::default(), async || parked().await.is_some()).await.unwrap();
    let parked = Parked::decode(&parked().await.unwrap().body).unwrap();
    assert_eq!((parked.stream.as_str(), parked.stream_sequence), ("WORDS", 1));
    assert_eq!(parked.reason, "`x` is in no dictionary");
    assert_eq!(messages(&server, "WORDS").await, 0);
}

#[tokio::test]
async fn an_unreadable_message_is_set_aside_and_the_next_is_handled() {
    let server = toy_server().await;
    let instance = context_and_bus(&server, "toy").await;
    tell(&instance.1, "dictionary.a", "a").await;
    instance.1.emit("words.broken", vec![0xff_u8, 0xfe].into()).await.unwrap();
    tell(&instance.1, "words.a", "a").await;
    let toy = Toy { dictionary: vec!["a".to_owned()], ..Toy::default() };
    run_until(&instance, toy, async || messages(&server, "WORDS").await == 0).await.unwrap();
    let parked = instance.1.last(STREAM, "parked.toy").await.unwrap().unwrap();
    let parked = Parked::decode(&parked.body).unwrap();
    assert!(parked.reason.starts_with("unreadable"), "{}", parked.reason);
    assert_eq!(parked.body.as_slice(), [0xff, 0xfe]);
    assert!(instance.1.last(STREAM, "shares.rejected.core.1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_zombie_that_recalled_before_its_heir_wrote_is_fenced() {
    let server = toy_server().await;
    let zombie = context_and_bus(&server, "zombie").await;
    let heir = context_and_bus(&server, "heir").await;
    tell(&zombie.1, "words.a", "a").await;
    let gate = Gate::default();
    let toy = Toy { gate: Some(gate.clone()), dictionary: vec!["a".to_owned()], ..Toy::default() };
    let stop = CancellationToken::new();
    let writing = async {
        until("the zombie has recalled", DEADLINE, async || gate.reached.load(Ordering::SeqCst))
            .await
            .unwrap();
        heir.1.publish(Publication::chained(&link(1, 41))).await.unwrap();
        gate.open.store(true, Ordering::SeqCst);
    };
    let (ended, ()) = tokio::join!(drive(&zombie.0, &zombie.1, toy, sources(), &stop), writing);
    let error = ended.unwrap_err();
    let fenced = matches!(
        error,
        DriveError::Publish {
            sequence: 1,
            source: PublishError::Fenced { sequence: 1, expected: 0, .. },
            ..
        }
    );
    assert!(fenced, "{error:?}");
    assert_eq!((messages(&server, "WORDS").await, messages(&server, STREAM).await), (1, 1));
}

#[tokio::test]
async fn a_worker_that_finds_what_cannot_be_ends_without_settling() {
    let server = toy_server().await;
    let instance = context_and_bus(&server, "toy").await;
    tell(&instance.1, "words.impossible", "impossible").await;
    let stop = CancellationToken::new();
    let ended = drive(&instance.0, &instance.1, Toy::default(), sources(), &stop).await;
    let error = ended.unwrap_err();
    assert_eq!(error.to_string(), "it cannot be (found in WORDS sequence 1)");
    assert_eq!(messages(&server, "WORDS").await, 1);
}

#[tokio::test]
async fn a_worker_of_two_accounts_hears_one_and_writes_to_the_other() {
    let reads = toy_server().await;
    let writes = server().await;
    let (context, reading) = context_and_bus(&reads, "toy").await;
    let (_, writing) = context_and_bus(&writes, "toy").await;
    writing.publish(Publication::chained(&link(1, 0))).await.unwrap();
    tell(&reading, "words.a", "a").await;
    let toy = Toy { dictionary: vec!["a".to_owned()], ..Toy::default() };
    let stop = CancellationToken::new();
    let watching = async {
        let handled = async || messages(&reads, "WORDS").await == 0;
        until("it is handled", DEADLINE, handled).await.unwrap();
        stop.cancel();
    };
    let driving = drive_to(&context, &reading, &writing, toy, sources(), &stop);
    let (ended, ()) = tokio::join!(driving, watching);
    ended.unwrap();
    // Its own past was read where it writes, so the chain goes on there.
    assert_eq!((messages(&reads, STREAM).await, messages(&writes, STREAM).await), (0, 2));
}

#[tokio::test]
async fn what_is_read_only_decides_nothing_until_it_may() {
    let server = toy_server().await;
    let instance = context_and_bus(&server, "toy").await;
    tell(&instance.1, "words.a", "a").await;
    let toy = Toy { dictionary: vec!["a".to_owned()], ..Toy::default() };
    instance.0.set_read_only(true);
    let stop = CancellationToken::new();
    let watching = async {
        let in_hand = async || {
            let info = server.call("CONSUMER.INFO.WORDS.toy", &json!({})).await;
            info.is_ok_and(|info| info["num_ack_pending"] == 1)
        };
        until("it is in hand", DEADLINE, in_hand).await.unwrap();
        assert_eq!(messages(&server, STREAM).await, 0);
        instance.0.set_read_only(false);
        until("it is handled", DEADLINE, async || messages(&server, "WORDS").await == 0)
            .await
            .unwrap();
        stop.cancel();
    };
    let driving = drive(&instance.0, &instance.1, toy, sources(), &stop);
    let (ended, ()) = tokio::join!(driving, watching);
    ended.unwrap();
    assert_eq!(messages(&server, STREAM).await, 1);
}

#[tokio::test]
async fn a_crash_of_the_server_changes_nothing_about_the_facts() {
    let mut server = toy_server().await;
    let instance = context_and_bus(&server, "toy").await;
    tell(&instance.1, "dictionary.a", "a").await;
    for _ in 0..50 {
        tell(&instance.1, "words.a", "a").await;
    }
    until("all are kept", DEADLINE, async || messages(&server, "WORDS").await == 50).await.unwrap();
    let toy = Toy { dictionary: vec!["a".to_owned()], ..Toy::default() };
    let stop = CancellationToken::new();
    let story = async {
        until("some are handled", DEADLINE, async || messages(&server, "WORDS").await < 40)
            .await
            .unwrap();
        server.kill9();
        server.restart().await.unwrap();
        until("all are handled", DEADLINE, async || messages(&server, "WORDS").await == 0)
            .await
            .unwrap();
        stop.cancel();
    };
    let (result, ()) = tokio::join!(drive(&instance.0, &instance.1, toy, sources(), &stop), story);
    result.unwrap();
    assert_eq!(messages(&server, STREAM).await, 50);
}
