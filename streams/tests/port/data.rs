//! What a stranger with the read-only credential can do: read the public record, and no more.

use crate::world::{World, info, publish, stored};
use async_nats::jetstream::{self, consumer};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

async fn with_record() -> World {
    let world = World::hub(&[]).await;
    let verifier = world.worker("share-verifier").await;
    for batch in 0..3 {
        let id = format!("accepted/{batch}");
        publish(&verifier, "shares.accepted.core.1", &id, &format!("batch {batch}")).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_reads_the_record_as_it_is() {
    let world = with_record().await;
    let reader = world.worker("data-reader").await;
    stored(&reader, "SHARES", 3).await;
    let context = jetstream::new(reader.clone());
    let stream = context.get_stream("SHARES").await.unwrap();
    let config = consumer::pull::OrderedConfig {
        filter_subject: "shares.accepted.>".to_owned(),
        ..Default::default()
    };
    let messages = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let bodies: Vec<_> =
        messages.take(3).map(|message| message.unwrap().payload.to_vec()).collect().await;
    assert_eq!(bodies, [b"batch 0", b"batch 1", b"batch 2"]);
    let original = world.worker("operator").await;
    let (copy, original) = (info(&reader, "SHARES").await, info(&original, "SHARES").await);
    assert_eq!(copy["state"]["last_seq"], original["state"]["last_seq"]);
    assert_eq!(copy["state"]["bytes"], original["state"]["bytes"]);

    // A consumer that pushes, settles and watches: what clients of other languages use.
    let push = consumer::push::Config {
        deliver_subject: reader.new_inbox(),
        ack_policy: consumer::AckPolicy::Explicit,
        flow_control: true,
        idle_heartbeat: std::time::Duration::from_secs(5),
        ..Default::default()
    };
    let mut messages = stream.create_consumer(push).await.unwrap().messages().await.unwrap();
    let first = messages.next().await.unwrap().unwrap();
    first.double_ack().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_money_only_statements_are_public() {
    let world = with_record().await;
    let money = world.worker("payout-calculator-money");
    let money = Box::pin(money).await;
    publish(&money, "payouts.statement.block-1.0", "statement/1", "statement").await;
    let reader = world.worker("data-reader").await;
    stored(&reader, "PAYOUTS", 1).await;
    let payouts = info(&reader, "PAYOUTS").await;
    assert_eq!(payouts["config"]["mirror"]["filter_subject"], "payouts.statement.>");
    assert_eq!(payouts["state"]["messages"], 1);
    let mut reader = world.watched("data-reader", "data-reader").await;
    for stream in ["AUDIT", "SHARES_SUBMITTED", "KV_LANE_OWNERS"] {
        reader.publish_refused(&format!("$JS.API.STREAM.INFO.{stream}")).await;
    }
    reader.publish_refused("$JS.MONEY.API.CONSUMER.CREATE.PAYOUTS.x.payouts.statement.>").await;
    reader.publish_refused("$JS.CORE.API.CONSUMER.CREATE.SHARES").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_reads_statements_and_no_other_payout() {
    let world = World::hub(&[]).await;
    let file = "share-recorder-money";
    let recorder = streams::Connection::open(&world.access(file, "share-recorder")).await.unwrap();
    let recorder = recorder.client();
    let create = |filter: &str, subject: &str| {
        let config = json!({ "name": "r", "filter_subject": filter, "ack_policy": "none" });
        let body = json!({ "stream_name": "PAYOUTS", "config": config, "action": "create" });
        let subject = format!("$JS.API.CONSUMER.CREATE.PAYOUTS.r.{subject}");
        let body = body.to_string();
        async move {
            let answer = recorder.request(subject, body.into()).await.unwrap();
            serde_json::from_slice::<Value>(&answer.payload).unwrap()
        }
    };
    let statements = "payouts.statement.*.*";
    assert_eq!(create(statements, statements).await["name"], "r");
    // A filter that is not the one that the permission names.
    let refused = create("payouts.>", statements).await;
    assert_eq!(refused["error"]["code"], 400, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_publishes_creates_and_deletes_nothing() {
    let world = with_record().await;
    let mut reader = world.watched("data-reader", "data-reader").await;
    for subject in [
        "shares.accepted.core.1",
        "shares.submitted.core.1",
        "templates.new.main",
        "payouts.statement.block-1.0",
        "sync.data.SHARES.abc",
        "$KV.LEASES.share-verifier.1",
        "$JS.API.STREAM.CREATE.MINE",
        "$JS.API.STREAM.UPDATE.SHARES",
        "$JS.API.STREAM.DELETE.SHARES",
        "$JS.API.STREAM.PURGE.SHARES",
        "$JS.API.STREAM.MSG.DELETE.SHARES",
        "$JS.API.CONSUMER.DELETE.SHARES.somebody",
        "$SYS.REQ.CLAIMS.UPDATE",
    ] {
        reader.publish_refused(subject).await;
    }
    for subject in ["shares.>", "sync.data.>", "$JS.>", "_INBOX_operator.>", ">"] {
        reader.subscribe_refused(subject).await;
    }
}

/// A consumer delivers wherever its maker says. Nothing in DATA may be reached that way.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_delivers_to_the_api_does_no_harm() {
    let world = with_record().await;
    let reader = world.watched("data-reader", "data-reader").await.client;
    stored(&reader, "SHARES", 3).await;
    let calls = [
        "STREAM.DELETE.SHARES",
        "STREAM.PURGE.SHARES",
        "CONSUMER.DELETE.SHARES.keep",
        "STREAM.DELETE.BLOCKS",
    ];
    for (number, call) in calls.into_iter().enumerate() {
        let name = format!("c{number}");
        let config = json!({
            "durable_name": name, "ack_policy": "none", "headers_only": true, "deliver_policy": "all",
            "deliver_subject": format!("$JS.API.{call}"),
        });
        let body = json!({ "stream_name": "SHARES", "config": config, "action": "create" });
        let subject = format!("$JS.API.CONSUMER.CREATE.SHARES.{name}");
        let answer = reader.request(subject, body.to_string().into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["name"], name, "{answer}");
    }
    // Once a later message has passed, the earlier ones were delivered, or never will be.
    publish(&world.worker("share-verifier").await, "shares.accepted.core.1", "last", "last").await;
    stored(&reader, "SHARES", 4).await;
    let operator = world.operator(streams::Account::Data).await;
    let declared = streams::declared(streams::Account::Data, &world.network);
    assert!(streams::check(&operator, &declared).await.unwrap().in_order());
    assert_eq!(info(operator.client(), "SHARES").await["state"]["messages"], 4);
}
