//! What flows over a real hub and real leaves: shares up, templates down, a block at once.

use crate::world::{Kept, World, eventually, info, message, publish, stored};
use async_nats::{Client, jetstream};
use futures_util::StreamExt as _;
use streams::{Account, consumer_name, partition_of};
use subjects::{Lane, NodeId};

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_a_leaf_waits_in_its_partition_under_its_node_s_name() {
    let mut world = World::hub(&["n1"]).await;
    world.leaf("n1").await;
    let ingress = world.leaf_worker("n1", "ingress-sv2").await;
    publish(&ingress, "shares.submitted.n1.256", "shares/n1/256/0/0", "batch").await;
    let core = world.worker("operator").await;
    stored(&core, "SHARES_SUBMITTED", 1).await;
    let delivered = pull(&world.worker("share-verifier").await, Lane(256), 1).await;
    let [Kept { subject, id, body }] = delivered.as_slice() else { panic!("{delivered:?}") };
    assert_eq!(*subject, format!("shares.submitted.p.{}.n1.256", partition_of(Lane(256))));
    assert!(id.starts_with("leaf/n1/OUT_SHARES/") && id.ends_with("/1"), "{id}");
    assert_eq!(body, b"batch");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lane_of_core_waits_in_the_partition_that_we_compute() {
    let world = World::hub(&[]).await;
    let ingress = world.worker("ingress-sv2").await;
    for lane in 1..=100 {
        publish(&ingress, &format!("shares.submitted.core.{lane}"), &format!("{lane}"), "b").await;
    }
    let verifier = world.worker("share-verifier").await;
    for partition in 0..streams::PARTITIONS {
        let lanes: Vec<_> =
            (1..=100).map(Lane).filter(|lane| partition_of(*lane) == partition).collect();
        let waiting = pull(&verifier, lanes[0], lanes.len()).await;
        let found: Vec<_> =
            waiting.iter().map(|one| streams::parse_submitted(&one.subject).unwrap()).collect();
        let expected: Vec<_> = lanes.into_iter().map(|lane| (NodeId::core(), lane)).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_core_reaches_the_leaf_with_its_sequence() {
    let mut world = World::hub(&["n1"]).await;
    world.leaf("n1").await;
    let publisher = world.worker("template-publisher").await;
    publish(&publisher, "templates.new.main", "template/1", "template").await;
    publish(&publisher, "templates.tip.main", "tip/1", "tip").await;
    let ingress = world.leaf_worker("n1", "ingress-sv2").await;
    stored(&ingress, "TEMPLATES", 2).await;
    let tip = message(&ingress, "TEMPLATES", 2).await;
    assert_eq!((tip.subject.as_str(), tip.body.as_slice()), ("templates.tip.main", &b"tip"[..]));
    let reader = world.worker("data-reader").await;
    stored(&reader, "TEMPLATES", 2).await;
    assert_eq!(message(&reader, "TEMPLATES", 2).await, tip);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_facts_of_a_leaf_reach_their_streams_under_its_name() {
    let mut world = World::hub(&["n1"]).await;
    world.leaf("n1").await;
    let ingress = world.leaf_worker("n1", "ingress-sv2").await;
    for subject in ["sessions.n1.256", "shares.rejected.n1.256", "blocks.claimed.n1"] {
        publish(&ingress, subject, subject, "fact").await;
    }
    let core = world.worker("operator").await;
    for (stream, subject) in [
        ("NODE_EVENTS", "sessions.n1.256"),
        ("NODE_TELEMETRY", "shares.rejected.n1.256"),
        ("BLOCK_CLAIMS", "blocks.claimed.n1"),
    ] {
        stored(&core, stream, 1).await;
        let request = format!(r#"{{"last_by_subj":"{subject}"}}"#);
        let get = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let name = if stream == "BLOCK_CLAIMS" { "block-submitter" } else { "share-recorder" };
        if stream == "NODE_EVENTS" {
            // Nobody of this release reads it yet; its state tells the subject.
            let state = core
                .request(
                    format!("$JS.API.STREAM.INFO.{stream}"),
                    r#"{"subjects_filter":">"}"#.into(),
                )
                .await
                .unwrap();
            let state: serde_json::Value = serde_json::from_slice(&state.payload).unwrap();
            assert_eq!(state["state"]["subjects"][subject], 1, "{state}");
            continue;
        }
        let answer = world.worker(name).await.request(get, request.into()).await.unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
        assert_eq!(answer["message"]["subject"], subject, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solved_block_takes_the_first_road() {
    let mut world = World::hub(&["n1"]).await;
    world.leaf("n1").await;
    let submitter = world.worker("block-submitter").await;
    let mut requests = submitter.subscribe(streams::BLOCK_SUBMIT).await.unwrap();
    submitter.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let answer = format!("{} {}", request.subject, request.payload.len());
            submitter.publish(request.reply.unwrap(), answer.into()).await.unwrap();
        }
    });
    let provider = "main".parse().unwrap();
    for ingress in [world.leaf_worker("n1", "ingress-sv2").await, world.worker("ingress-sv2").await]
    {
        let answer = eventually("the submitter is heard of", async || {
            ingress.request(streams::block_submit(&provider), "block".into()).await
        })
        .await;
        assert_eq!(&answer.payload[..], b"block.submit.main 5");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_servers_lose_and_reorder_nothing() {
    let mut world = World::hub(&["n1"]).await;
    world.leaf("n1").await;
    let mut sent = Vec::new();
    for act in ["nothing", "hub", "leaf", "both", "nothing"] {
        match act {
            "hub" => {
                world.hub.kill();
                send(&world, &mut sent, 40).await;
                world.hub.start_again();
            }
            "leaf" => {
                world.leaf_server("n1").kill();
                world.leaf_server("n1").start_again();
            }
            "both" => {
                world.hub.kill();
                send(&world, &mut sent, 40).await;
                world.leaf_server("n1").kill();
                world.hub.start_again();
                world.leaf_server("n1").start_again();
            }
            _ => {}
        }
        send(&world, &mut sent, 40).await;
    }
    let verifier = eventually("the hub is back", async || world.open("share-verifier").await).await;
    arrived_in_order(verifier.client(), &sent).await;
}

/// Two readers work at once where the first one's lease was lost while it lives, and one that is
/// killed leaves what it had not noted down.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reader_loses_and_reorders_nothing() {
    let mut world = World::hub(&["n1"]).await;
    world.leaf("n1").await;
    let mut sent = Vec::new();
    let core = world.worker("operator").await;
    for _ in 0..3 {
        send(&world, &mut sent, 40).await;
        let some = u64::try_from(sent.len() - 20).unwrap();
        stored(&core, "SHARES_SUBMITTED", some).await;
        world.start_reader();
    }
    arrived_in_order(&world.worker("share-verifier").await, &sent).await;
}

/// What was sent arrives in its order. What is repeated, because nobody heard that it was stored,
/// comes behind itself, where the verifier knows it.
async fn arrived_in_order(verifier: &Client, sent: &[String]) {
    let mut next = sent.iter().peekable();
    let mut seen = std::collections::BTreeSet::new();
    let mut waiting = std::pin::pin!(waiting(verifier, Lane(256)).await);
    while next.peek().is_some() {
        let message = tokio::time::timeout(crate::world::PATIENCE, waiting.next()).await;
        let message = message.unwrap_or_else(|_| panic!("{:?} did not arrive", next.peek()));
        let number = String::from_utf8(message.unwrap().body).unwrap();
        if next.next_if_eq(&&number).is_some() {
            seen.insert(number);
        } else {
            assert!(seen.contains(&number), "{number} came before {:?}", next.peek());
        }
    }
}

/// A node that was installed anew counts its messages from 1 again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_store_is_heard_from_the_start() {
    let mut world = World::hub(&["n1"]).await;
    world.leaf("n1").await;
    let mut sent = Vec::new();
    send(&world, &mut sent, 5).await;
    let core = world.worker("operator").await;
    stored(&core, "SHARES_SUBMITTED", 5).await;
    world.leaf_server("n1").kill();
    std::fs::remove_dir_all(world.path("n1-store")).unwrap();
    world.leaf("n1").await;
    send(&world, &mut sent, 3).await;
    arrived_in_order(&world.worker("share-verifier").await, &sent).await;
}

/// Publishes the next batches on the leaf, whatever happened to its server meanwhile.
async fn send(world: &World, sent: &mut Vec<String>, count: usize) {
    let access = world.leaf_access("n1", "ingress-sv2");
    let connection =
        eventually("the leaf is back", async || streams::Connection::open(&access).await).await;
    for _ in 0..count {
        let id = format!("shares/n1/256/0/{}", sent.len());
        publish(connection.client(), "shares.submitted.n1.256", &id, &id).await;
        sent.push(id);
    }
}

/// Takes messages of a lane's partition through its declared consumer, and settles them.
async fn pull(verifier: &Client, lane: Lane, count: usize) -> Vec<Kept> {
    let taken = waiting(verifier, lane).await.take(count);
    let all = tokio::time::timeout(crate::world::PATIENCE, taken.collect());
    all.await.unwrap_or_else(|_| panic!("{count} messages of lane {lane} did not arrive"))
}

/// All messages of a lane's partition, each settled when it is taken.
async fn waiting(verifier: &Client, lane: Lane) -> impl futures_util::Stream<Item = Kept> {
    let context = jetstream::new(verifier.clone());
    let stream = context.get_stream_no_info("SHARES_SUBMITTED").await.unwrap();
    let consumer: jetstream::consumer::PullConsumer =
        stream.get_consumer(&consumer_name(partition_of(lane))).await.unwrap();
    consumer.messages().await.unwrap().then(|message| async {
        let message = message.unwrap();
        message.ack().await.unwrap();
        Kept {
            subject: message.subject.to_string(),
            id: message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().to_string(),
            body: message.payload.to_vec(),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verifier_takes_a_partition_over_by_making_its_consumer_anew() {
    let world = World::hub(&[]).await;
    let ingress = world.worker("ingress-sv2").await;
    for batch in 0..3 {
        publish(&ingress, "shares.submitted.core.7", &format!("b{batch}"), "b").await;
    }
    let verifier = world.worker("share-verifier").await;
    let name = consumer_name(partition_of(Lane(7)));
    let context = jetstream::new(verifier.clone());
    let stream = context.get_stream_no_info("SHARES_SUBMITTED").await.unwrap();
    stream.delete_consumer(&name).await.unwrap();
    let config = jetstream::consumer::pull::Config {
        durable_name: Some(name.clone()),
        name: Some(name),
        filter_subject: streams::partition_filter(partition_of(Lane(7))),
        max_ack_pending: 1,
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();
    let ids: Vec<_> =
        pull(&verifier, Lane(7), 3).await.into_iter().map(|message| message.id).collect();
    assert_eq!(ids, ["b0", "b1", "b2"]);
    // Making it anew is no drift.
    let operator = world.operator(Account::Core).await;
    let plan = streams::check(&operator, &streams::declared(Account::Core, &world.network)).await;
    let plan = plan.unwrap();
    assert!(plan.in_order(), "{plan}");
    assert_eq!(info(operator.client(), "SHARES_SUBMITTED").await["state"]["messages"], 0);
}
