//! Facts that are stored together stay in their order, whatever happens to servers and answers.

use crate::support::{DEADLINE, STREAM, bus, context_and_bus, link, messages, server, server_with};
use serde_json::json;
use subjects::Payload as _;
use worker_runtime::{Publication, Traced, testing::until, trace::TraceParent, transform::Start};

/// The links of one lane from `from` up to, not including, `to`.
fn links(from: u64, to: u64) -> Vec<Traced> {
    let fact =
        |number| Traced { message: link(1, number).to_message(), trace: TraceParent::root() };
    (from..to).map(fact).collect()
}

fn ids(facts: &[Traced]) -> Vec<String> {
    facts.iter().map(|fact| fact.message.id.clone()).collect()
}

#[tokio::test]
async fn a_batch_is_stored_in_its_order_and_keeps_its_traces() {
    let server = server_with(json!({ "allow_atomic": true })).await;
    let bus = bus(&server).await;
    let facts = links(0, 256);
    bus.publish_in_order(&facts).await.unwrap();
    assert_eq!(messages(&server, STREAM).await, 256);
    let mut reader = bus.ordered(STREAM, vec![], Start::First);
    for fact in &facts {
        let stored = reader.next().await.unwrap();
        assert_eq!(stored.message_id, fact.message.id);
        assert_eq!(stored.traceparent, Some(fact.trace.to_string()));
    }
}

#[tokio::test]
async fn what_the_stream_has_of_a_batch_is_not_stored_again() {
    let server = server_with(json!({ "allow_atomic": true })).await;
    let bus = bus(&server).await;
    bus.publish_in_order(&links(0, 10)).await.unwrap();
    bus.publish_in_order(&links(5, 15)).await.unwrap();
    bus.publish_in_order(&links(14, 15)).await.unwrap();
    bus.publish_in_order(&[]).await.unwrap();
    assert_eq!(messages(&server, STREAM).await, 15);
    let mut reader = bus.ordered(STREAM, vec![], Start::First);
    for id in ids(&links(0, 15)) {
        assert_eq!(reader.next().await.unwrap().message_id, id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_survive_crashes_of_the_server_in_order() {
    const BATCHES: u64 = 60;
    let mut server = server_with(json!({ "allow_atomic": true })).await;
    let bus = bus(&server).await;
    let publisher = bus.clone();
    let publishing = async move {
        for batch in 0..BATCHES {
            publisher.publish_in_order(&links(batch * 50, batch * 50 + 50)).await.unwrap();
        }
    };
    let crashing = async {
        for crash in 1..=3 {
            until("some are stored", DEADLINE, async || {
                messages(&server, STREAM).await >= crash * BATCHES * 10
            })
            .await
            .unwrap();
            server.kill9();
            server.restart().await.unwrap();
        }
    };
    tokio::join!(publishing, crashing);
    assert_eq!(messages(&server, STREAM).await, BATCHES * 50);
    let mut reader = bus.ordered(STREAM, vec![], Start::First);
    for id in ids(&links(0, BATCHES * 50)) {
        assert_eq!(reader.next().await.unwrap().message_id, id);
    }
}

#[tokio::test]
async fn a_stream_that_takes_no_batches_is_waited_for() {
    let server = server().await;
    let (context, bus) = context_and_bus(&server, "toy").await;
    let facts = links(0, 3);
    let publishing = bus.publish_in_order(&facts);
    let allowing = async {
        until("it was refused", DEADLINE, async || {
            let figures = context.metrics().encode().unwrap();
            figures.contains("bus_publish_retries_total{reason=\"no-batches\"}")
        })
        .await
        .unwrap();
        assert_eq!(messages(&server, STREAM).await, 0);
        let mut config =
            server.call(&format!("STREAM.INFO.{STREAM}"), &json!({})).await.unwrap()["config"]
                .clone();
        config["allow_atomic"] = json!(true);
        server.call(&format!("STREAM.UPDATE.{STREAM}"), &config).await.unwrap();
    };
    let (stored, ()) = tokio::join!(publishing, allowing);
    stored.unwrap();
    assert_eq!(messages(&server, STREAM).await, 3);
}

#[tokio::test]
async fn a_full_stream_takes_nothing_of_a_batch_until_there_is_room() {
    let server = server_with(json!({ "allow_atomic": true, "max_msgs": 4 })).await;
    let (context, bus) = context_and_bus(&server, "toy").await;
    for number in 0..2 {
        bus.publish(Publication::any(&link(2, number))).await.unwrap();
    }
    let facts = links(0, 3);
    let publishing = bus.publish_in_order(&facts);
    let emptying = async {
        until("it was refused", DEADLINE, async || {
            let figures = context.metrics().encode().unwrap();
            figures.contains("bus_publish_retries_total{reason=\"full\"}")
        })
        .await
        .unwrap();
        assert_eq!(messages(&server, STREAM).await, 2);
        server.call(&format!("STREAM.PURGE.{STREAM}"), &json!({})).await.unwrap();
    };
    let (stored, ()) = tokio::join!(publishing, emptying);
    stored.unwrap();
    assert_eq!(messages(&server, STREAM).await, 3);
}

#[tokio::test]
async fn a_batch_is_for_one_stream() {
    let server = server_with(json!({ "allow_atomic": true })).await;
    let bus = bus(&server).await.route("shares.rejected.core.2", "OTHER");
    let mut facts = links(0, 2);
    facts.push(Traced { message: link(2, 0).to_message(), trace: TraceParent::root() });
    let error = bus.publish_in_order(&facts).await.unwrap_err().to_string();
    assert!(error.contains("a batch is for one stream"), "{error}");
    assert_eq!(messages(&server, STREAM).await, 0);
}
