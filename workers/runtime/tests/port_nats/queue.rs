//! A partition of a work queue: oldest first, one at a time, and one reader.

use crate::support::{DEADLINE, STREAM, bus, link, messages};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;
use worker_runtime::{
    Bus, Publication,
    bus::{QueueConfig, ReadError, SettleError, WorkQueue},
    testing::nats::Server,
};

async fn queue_server() -> Server {
    let server = Server::start().await.unwrap();
    let settings = json!({ "retention": "workqueue" });
    server.stream(STREAM, &["shares.rejected.>"], settings).await.unwrap();
    server
}

fn partition(lane: u16) -> QueueConfig {
    QueueConfig {
        stream: STREAM.to_owned(),
        consumer: format!("toy-{lane}"),
        filter: format!("shares.rejected.core.{lane}"),
        ack_wait: Duration::from_secs(30),
    }
}

async fn say(bus: &Bus, lane: u16, numbers: std::ops::Range<u64>) {
    for number in numbers {
        bus.publish(Publication::any(&link(lane, number))).await.unwrap();
    }
}

async fn hear(queue: &mut WorkQueue) -> worker_runtime::Delivery {
    timeout(DEADLINE, queue.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_successor_begins_with_the_oldest_unsettled_message() {
    let server = queue_server().await;
    let (first, second) = (bus(&server).await, bus(&server).await);
    say(&first, 1, 0..5).await;
    say(&first, 2, 0..1).await;
    let mut before = first.partition(&partition(1)).await.unwrap();
    let settled = hear(&mut before).await;
    before.settle(&settled).await.unwrap();
    let in_hand = hear(&mut before).await;
    assert_eq!(in_hand.position.sequence, 2);

    let mut after = second.partition(&partition(1)).await.unwrap();
    for expected in 2..=5 {
        let delivery = hear(&mut after).await;
        assert_eq!(delivery.position.sequence, expected);
        after.settle(&delivery).await.unwrap();
    }
    assert_eq!(messages(&server, STREAM).await, 1, "only the other lane's");
    // The one before may neither settle nor read on.
    let error = timeout(DEADLINE, before.next()).await.unwrap().unwrap_err();
    assert!(matches!(error, ReadError::TakenOver { .. }), "{error}");
}

#[tokio::test]
async fn one_message_is_in_hand_at_a_time() {
    let server = queue_server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..3).await;
    let mut queue = bus.partition(&partition(1)).await.unwrap();
    let first = hear(&mut queue).await;
    assert!(timeout(Duration::from_millis(300), queue.next()).await.is_err());
    queue.settle(&first).await.unwrap();
    assert_eq!(hear(&mut queue).await.position.sequence, 2);
}

#[tokio::test]
async fn a_settlement_that_nobody_confirmed_is_an_error() {
    let server = queue_server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..1).await;
    let mut queue = bus.partition(&partition(1)).await.unwrap();
    let delivery = hear(&mut queue).await;
    server.call(&format!("CONSUMER.DELETE.{STREAM}.toy-1"), &json!({})).await.unwrap();
    let error = queue.settle(&delivery).await.unwrap_err();
    assert!(matches!(error, SettleError::TakenOver(_)), "{error}");
    assert_eq!(messages(&server, STREAM).await, 1);
}

#[tokio::test]
async fn a_crash_of_the_server_redelivers_what_was_in_hand_first() {
    let mut server = queue_server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..3).await;
    let mut queue = bus.partition(&partition(1)).await.unwrap();
    let first = hear(&mut queue).await;
    queue.settle(&first).await.unwrap();
    assert_eq!(hear(&mut queue).await.position.sequence, 2);
    server.kill9();
    server.restart().await.unwrap();
    for expected in 2..=3 {
        let delivery = hear(&mut queue).await;
        assert_eq!(delivery.position.sequence, expected);
        queue.settle(&delivery).await.unwrap();
    }
    assert_eq!(messages(&server, STREAM).await, 0);
}

#[tokio::test]
async fn a_settlement_waits_for_a_server_that_starts_again() {
    let mut server = queue_server().await;
    let bus = bus(&server).await;
    say(&bus, 1, 0..1).await;
    let mut queue = bus.partition(&partition(1)).await.unwrap();
    let delivery = hear(&mut queue).await;
    server.kill9();
    server.restart().await.unwrap();
    match queue.settle(&delivery).await {
        Ok(()) => {}
        Err(SettleError::Unconfirmed) => {
            let again = hear(&mut queue).await;
            queue.settle(&again).await.unwrap();
        }
        Err(error @ SettleError::TakenOver(_)) => panic!("{error}"),
    }
    assert_eq!(messages(&server, STREAM).await, 0);
}
