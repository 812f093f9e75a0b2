//! Every message once and in order, from a position on, whatever the server goes through.

use crate::support::{DEADLINE, STREAM, bus, link, server, server_with};
use serde_json::json;
use tokio::time::timeout;
use worker_runtime::{
    Bus, Publication,
    bus::{Ordered, ReadError},
    testing::{nats::Server, until},
    transform::Start,
};

async fn say(bus: &Bus, lane: u16, numbers: std::ops::Range<u64>) {
    for number in numbers {
        bus.publish(Publication::any(&link(lane, number))).await.unwrap();
    }
}

async fn hear(reader: &mut Ordered) -> u64 {
    timeout(DEADLINE, reader.next()).await.unwrap().unwrap().position.sequence
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_after_a_crash() {
    let mut server = server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..40).await;
    let mut reader = bus.ordered(STREAM, vec![], Start::Sequence(11));
    for expected in 11..=30 {
        assert_eq!(hear(&mut reader).await, expected);
    }
    server.kill9();
    server.restart().await.unwrap();
    say(&bus, 1, 40..50).await;
    for expected in 31..=50 {
        assert_eq!(hear(&mut reader).await, expected);
    }
}

#[tokio::test]
async fn a_reader_knows_when_it_has_caught_up() {
    let server = server().await;
    let bus = bus(&server).await;
    let mut empty = bus.ordered(STREAM, vec![], Start::First);
    assert!(!empty.caught_up());
    empty.opened().await.unwrap();
    assert!(empty.caught_up());

    say(&bus, 1, 0..3).await;
    say(&bus, 2, 0..3).await;
    let mut reader = bus.ordered(STREAM, vec!["shares.rejected.core.1".to_owned()], Start::First);
    for (expected, caught_up) in [(1, false), (2, false), (3, true)] {
        assert_eq!(hear(&mut reader).await, expected);
        assert_eq!(reader.caught_up(), caught_up);
    }
    say(&bus, 1, 3..4).await;
    assert_eq!(hear(&mut reader).await, 7);
    assert!(reader.caught_up());
    let delivery = bus.last(STREAM, "shares.rejected.core.1").await.unwrap().unwrap();
    assert_eq!(
        (delivery.position.sequence, delivery.kind.as_str()),
        (7, "hyperhash.shares.v1.rejected")
    );
    assert_eq!(delivery.message_id, "rejected/core/1/1/3");
    assert!(delivery.traceparent.is_some() && delivery.stored_at.0 > 1_700_000_000_000);
    assert_eq!(bus.last(STREAM, "shares.rejected.core.77").await.unwrap(), None);
}

#[tokio::test]
async fn starts_mean_what_they_say() {
    let server = server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..3).await;
    say(&bus, 2, 0..2).await;
    let filters = || vec!["shares.rejected.core.1".to_owned(), "shares.rejected.core.2".to_owned()];
    let mut last = bus.ordered(STREAM, filters(), Start::LastPerSubject);
    assert_eq!((hear(&mut last).await, hear(&mut last).await), (3, 5));
    let middle = bus.get(STREAM, 3).await.unwrap().unwrap().stored_at;
    let mut since = bus.ordered(STREAM, vec![], Start::Time(middle));
    assert!(hear(&mut since).await <= 3);
    let mut new = bus.ordered(STREAM, vec![], Start::New);
    new.opened().await.unwrap();
    say(&bus, 1, 3..4).await;
    assert_eq!(hear(&mut new).await, 6);
}

#[tokio::test]
async fn what_is_new_is_new_since_the_opening_also_after_a_crash() {
    let mut server = server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..3).await;
    let mut new = bus.ordered(STREAM, vec![], Start::New);
    new.opened().await.unwrap();
    say(&bus, 1, 3..4).await;
    server.kill9();
    server.restart().await.unwrap();
    assert_eq!(hear(&mut new).await, 4);
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again_without_a_gap() {
    let server = server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..3).await;
    let mut reader = bus.ordered(STREAM, vec![], Start::First);
    assert_eq!(hear(&mut reader).await, 1);
    for consumer in consumers(&server).await {
        let call = format!("CONSUMER.DELETE.{STREAM}.{consumer}");
        server.call(&call, &json!({})).await.unwrap();
    }
    say(&bus, 1, 3..6).await;
    for expected in 2..=6 {
        assert_eq!(hear(&mut reader).await, expected);
    }
    reader.close().await;
    until("its consumer is gone", DEADLINE, async || consumers(&server).await.is_empty())
        .await
        .unwrap();
}

async fn consumers(server: &Server) -> Vec<String> {
    let list = server.call(&format!("CONSUMER.NAMES.{STREAM}"), &json!({})).await.unwrap();
    serde_json::from_value(list["consumers"].clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_stream_made_anew_ends_its_readers() {
    let server = server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..3).await;
    let mut reader = bus.ordered(STREAM, vec![], Start::First);
    assert_eq!(hear(&mut reader).await, 1);
    let was = reader.incarnation().unwrap();
    server.call(&format!("STREAM.DELETE.{STREAM}"), &json!({})).await.unwrap();
    server.stream(STREAM, &["shares.rejected.>"], json!({})).await.unwrap();
    let ended = async {
        loop {
            if let Err(error) = reader.next().await {
                break error;
            }
        }
    };
    let error = timeout(DEADLINE, ended).await.unwrap();
    assert!(
        matches!(error, ReadError::StreamRemade { was: before, .. } if before == was),
        "{error}"
    );
    // So does a position that was stored with the old incarnation.
    let mut stored = bus.ordered(STREAM, vec![], Start::Sequence(1)).of_incarnation(was);
    assert!(matches!(stored.opened().await, Err(ReadError::StreamRemade { .. })));
}

#[tokio::test]
async fn a_stream_that_ends_before_the_position_is_refused() {
    let server = server_with(json!({})).await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..3).await;
    let mut next = bus.ordered(STREAM, vec![], Start::Sequence(4));
    next.opened().await.unwrap();
    let mut beyond = bus.ordered(STREAM, vec![], Start::Sequence(5));
    let error = beyond.opened().await.unwrap_err();
    assert!(matches!(error, ReadError::Behind { position: 5, last: 3, .. }), "{error}");
}
