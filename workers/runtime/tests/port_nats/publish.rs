//! Nothing is lost, nothing is doubled, and two truths stop the writer.

use crate::support::{
    DEADLINE, STREAM, bus, context_and_bus, link, messages, outcome, server, server_with, session,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use subjects::blocks::BlockResult;
use worker_runtime::{Publication, PublishError, testing::until, transform::Start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_survives_crashes_of_the_server() {
    const FACTS: u64 = 3_000;
    let mut server = server().await;
    let bus = bus(&server).await;
    let stored = AtomicU64::new(0);
    let publishing = stream::iter(0..FACTS)
        .map(async |number| {
            let stored_fact = bus.publish(Publication::any(&link(1, number))).await?;
            stored.fetch_add(1, Ordering::SeqCst);
            Ok::<_, PublishError>(stored_fact.sequence)
        })
        .buffer_unordered(256)
        .try_collect::<BTreeSet<u64>>();
    let crashing = async {
        for crash in 1..=3 {
            let some = crash * FACTS / 5;
            until("some are stored", DEADLINE, async || stored.load(Ordering::SeqCst) >= some)
                .await
                .unwrap();
            server.kill9();
            server.restart().await.unwrap();
        }
    };
    let (sequences, ()) = tokio::join!(publishing, crashing);
    // As many sequences as facts: each acknowledgement names its own message.
    assert_eq!(sequences.unwrap().len() as u64, FACTS);
    assert_eq!(messages(&server, STREAM).await, FACTS);
    let mut reader = bus.ordered(STREAM, vec![], Start::First);
    let mut ids = BTreeSet::new();
    for _ in 0..FACTS {
        ids.insert(reader.next().await.unwrap().message_id);
    }
    assert_eq!(ids.len() as u64, FACTS);
}

#[tokio::test]
async fn a_frozen_server_gets_the_same_id_again_and_stores_it_once() {
    let server = server().await;
    let (context, bus) = context_and_bus(&server, "toy").await;
    server.freeze().unwrap();
    let publication = Publication::any(&link(1, 0));
    let publishing = bus.publish(publication);
    let thawing = async {
        until("it was sent again", DEADLINE, async || {
            let figures = context.metrics().encode().unwrap();
            figures.contains("bus_publish_retries_total{reason=\"ack-timeout\"}")
        })
        .await
        .unwrap();
        server.thaw().unwrap();
    };
    let (stored, ()) = tokio::join!(publishing, thawing);
    assert_eq!(stored.unwrap().sequence, 1);
    assert_eq!(messages(&server, STREAM).await, 1);
}

#[tokio::test]
async fn a_full_stream_holds_the_writer_up_and_loses_nothing() {
    let server = server_with(json!({ "max_msgs": 2 })).await;
    let (context, bus) = context_and_bus(&server, "toy").await;
    for number in 0..2 {
        bus.publish(Publication::any(&link(1, number))).await.unwrap();
    }
    let publication = Publication::any(&link(1, 2));
    let publishing = bus.publish(publication);
    let making_room = async {
        until("the process is not ready", DEADLINE, async || !context.is_ready()).await.unwrap();
        let figures = context.metrics().encode().unwrap();
        assert!(figures.contains("bus_publish_retries_total{reason=\"full\"}"), "{figures}");
        server.call(&format!("STREAM.PURGE.{STREAM}"), &json!({})).await.unwrap();
    };
    let (stored, ()) = tokio::join!(publishing, making_room);
    assert_eq!(stored.unwrap().sequence, 3);
    assert!(context.is_ready());
}

#[tokio::test]
async fn a_full_stream_holds_nobody_else_up() {
    let server = server_with(json!({ "max_msgs": 1 })).await;
    server.stream("OTHER", &["sessions.>"], json!({})).await.unwrap();
    let (context, bus) = context_and_bus(&server, "toy").await;
    let bus = bus.route("sessions.>", "OTHER");
    bus.publish(Publication::any(&link(1, 0))).await.unwrap();
    let stuck = Publication::any(&link(1, 1));
    let stuck = bus.publish(stuck);
    let flowing = async {
        until("the full stream is reported", DEADLINE, async || !context.is_ready()).await.unwrap();
        for number in 0..50 {
            bus.publish(Publication::any(&session(number))).await.unwrap();
        }
        assert!(!context.is_ready(), "one stream is still full");
    };
    tokio::select! {
        stored = stuck => panic!("{stored:?}"),
        () = flowing => {}
    }
    assert_eq!(messages(&server, "OTHER").await, 50);
}

#[tokio::test]
async fn a_message_waits_for_the_stream_that_must_take_it() {
    let server = server().await;
    let bus = bus(&server).await.route("shares.rejected.core.9", "OTHER");
    let publication = Publication::any(&link(9, 0));
    let publishing = bus.publish(publication);
    let declaring = async {
        let call = format!("STREAM.UPDATE.{STREAM}");
        let config = json!({ "name": STREAM, "subjects": ["blocks.>"], "storage": "file", "discard": "new", "duplicate_window": 120_000_000_000_u64 });
        server.call(&call, &config).await.unwrap();
        server.stream("OTHER", &["shares.rejected.>"], json!({})).await.unwrap();
    };
    let (stored, ()) = tokio::join!(publishing, declaring);
    assert_eq!(stored.unwrap().stream, "OTHER");
    assert_eq!(messages(&server, STREAM).await, 0);
}

#[tokio::test]
async fn a_fact_that_exists_once_is_said_again_but_never_contradicted() {
    // A window so short that only the subject's sequence remembers.
    let server = server_with(json!({ "duplicate_window": 100_000_000 })).await;
    let bus = bus(&server).await;
    let confirmed = Publication::once(&outcome(1, BlockResult::Confirmed));
    assert!(!bus.publish(confirmed.clone()).await.unwrap().duplicate);
    // At once the id is known, under another id only the subject is.
    assert!(bus.publish(confirmed.clone()).await.unwrap().duplicate);
    let mut other_id = confirmed.clone();
    other_id.message.id = "by-somebody-else".to_owned();
    assert!(bus.publish(other_id).await.unwrap().duplicate);

    let orphaned = Publication::once(&outcome(1, BlockResult::Orphaned));
    let refused = bus.publish(orphaned.clone()).await.unwrap_err();
    assert!(matches!(refused, PublishError::Contradiction { sequence: 1, .. }), "{refused}");
    let mut same_id = orphaned;
    same_id.message.id = confirmed.message.id;
    let refused = bus.publish(same_id).await.unwrap_err();
    assert!(matches!(refused, PublishError::Contradiction { sequence: 1, .. }), "{refused}");
    assert_eq!(messages(&server, STREAM).await, 1);
}

#[tokio::test]
async fn a_chain_has_one_writer() {
    let server = server().await;
    let (zombie, heir) = (bus(&server).await, bus(&server).await);
    let say = |number| Publication::chained(&link(1, number));
    assert_eq!(zombie.publish(say(0)).await.unwrap().sequence, 1);
    assert_eq!(zombie.publish(say(1)).await.unwrap().sequence, 2);
    // The heir goes on behind the last link, and may repeat it.
    assert!(heir.publish(say(1)).await.unwrap().duplicate);
    assert_eq!(heir.publish(say(2)).await.unwrap().sequence, 3);
    // The zombie says what the heir has said: the same fact. What the heir has not said is refused.
    assert_eq!(zombie.publish(say(2)).await.unwrap().sequence, 3);
    assert_eq!(heir.publish(say(3)).await.unwrap().sequence, 4);
    let fenced = zombie.publish(say(7)).await.unwrap_err();
    assert!(matches!(fenced, PublishError::Fenced { sequence: 4, expected: 3, .. }), "{fenced}");
    // Another lane is another chain.
    assert_eq!(zombie.publish(Publication::chained(&link(2, 0))).await.unwrap().sequence, 5);
    assert_eq!(messages(&server, STREAM).await, 5);
}

#[tokio::test]
async fn the_same_words_behind_another_predecessor_are_another_writers() {
    let server = server().await;
    let (zombie, heir) = (bus(&server).await, bus(&server).await);
    let say = |number| Publication::chained(&link(1, number));
    zombie.publish(say(0)).await.unwrap();
    heir.publish(say(1)).await.unwrap();
    heir.publish(say(2)).await.unwrap();
    // The zombie would say the same as its heir's last link, without knowing the one before it.
    let fenced = zombie.publish(say(2)).await.unwrap_err();
    assert!(matches!(fenced, PublishError::Fenced { sequence: 3, expected: 1, .. }), "{fenced}");
}

#[tokio::test]
async fn a_chain_whose_acknowledgement_was_lost_goes_on() {
    let server = server_with(json!({ "duplicate_window": 100_000_000 })).await;
    let bus = bus(&server).await;
    let say = |number| Publication::chained(&link(1, number));
    bus.publish(say(0)).await.unwrap();
    // Our own message is stored, but we never heard of it: as a lost acknowledgement leaves it,
    // here beyond the window in which the stream remembers ids.
    let message = say(1).message;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", message.id.as_str());
    headers.insert("Nats-Expected-Last-Subject-Sequence", "1");
    let subject = message.subject.as_str().to_owned();
    client.publish_with_headers(subject, headers, message.body.into()).await.unwrap();
    until("it is stored", DEADLINE, async || messages(&server, STREAM).await == 2).await.unwrap();
    until("the window is over", DEADLINE, async || {
        // A window is over when the stream takes the id of something else again.
        let probe = Publication::any(&link(9, 0));
        !bus.publish(probe).await.unwrap().duplicate && messages(&server, STREAM).await > 3
    })
    .await
    .unwrap();
    let stored = bus.publish(say(1)).await.unwrap();
    assert!(stored.duplicate && stored.sequence == 2, "{stored:?}");
    assert!(!bus.publish(say(2)).await.unwrap().duplicate);
}

#[tokio::test]
async fn what_the_server_never_takes_is_an_error_and_not_a_loop() {
    let server = server_with(json!({ "max_msg_size": 64 })).await;
    let bus = bus(&server).await;
    let refused = bus.publish(Publication::any(&link(1, 0))).await.unwrap_err();
    assert!(matches!(refused, PublishError::Refused { .. }), "{refused}");
    let unrouted = Publication::once(&outcome(1, BlockResult::Confirmed));
    let stranger = worker_runtime::testing::bus(&server, "stranger").await.unwrap();
    let refused = stranger.publish(unrouted).await.unwrap_err();
    assert!(matches!(refused, PublishError::Unrouted { .. }), "{refused}");
}

#[tokio::test]
async fn the_end_of_the_grace_ends_a_publication_that_nobody_takes() {
    let mut server = server().await;
    let (context, bus) = context_and_bus(&server, "toy").await;
    server.kill9();
    let publication = Publication::any(&link(1, 0));
    let publishing = bus.publish(publication);
    let (stored, finished) = tokio::join!(publishing, context.finish(Duration::from_millis(100)));
    assert!(matches!(stored.unwrap_err(), PublishError::Stopped { .. }));
    finished.unwrap();
}
