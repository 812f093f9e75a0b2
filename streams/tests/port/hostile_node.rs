//! What a hostile operator can do with a node's own credentials: harm that node.

use crate::{
    raw_link::{Heard, RawLink},
    world::{World, eventually, info, publish, stored},
};
use serde_json::json;
use std::collections::BTreeSet;
use streams::{Account, Connection, Credentials};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_s_credential_lets_no_client_in() {
    let world = World::hub(&["n1"]).await;
    let mut access = world.access("", "n1");
    access.credentials = Credentials::CredsFile(world.path("keys/nodes/n1/link.creds"));
    let error = Connection::open(&access).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("authorization violation"), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_without_a_certificate_is_hung_up_on() {
    let world = World::hub(&["n1"]).await;
    let mut link = RawLink::connect(&world, None);
    assert!(matches!(link.hear(), Heard::End));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_says_nothing_but_its_own_and_is_refused_by_name() {
    let world = World::hub(&["n1", "n2"]).await;
    for subject in [
        // What only Core decides.
        "shares.accepted.n1.256",
        "shares.refused.n1.256",
        "templates.new.main",
        "templates.tip.main",
        "node.verdict.n1",
        "node.command.n2",
        "blocks.solved.00ff",
        "payouts.statement.block-1.0",
        // What another node says, and what it says itself but not past its own stream.
        "shares.submitted.n2.258",
        "shares.submitted.n1.256",
        "blocks.claimed.n2",
        "node.telemetry.n2",
        "_INBOX_leaf-reader.n2.abcd",
        "_INBOX_leaf-reader.abcd",
        "in.n2.shares.submitted.n2.258",
        // The machinery.
        "node.feed.n2.TEMPLATES",
        "sync.core.SHARES_SUBMITTED",
        "sync.nodes.TEMPLATES",
        "$JSC.R.n2.x.OUT_SHARES.n2.abcd",
        "$JSC.R.n1.x.OUT_SHARES.n1.abcd",
        "$JS.n2.API.STREAM.INFO.OUT_SHARES",
        "$JS.FC.TEMPLATES.n2.abcd",
        "$JS.API.STREAM.DELETE.TEMPLATES",
        "$JS.API.CONSUMER.CREATE.TEMPLATES",
        "$JS.API.CONSUMER.RESET.TEMPLATES.n2",
        "$JS.core.API.STREAM.INFO.TEMPLATES",
        "$JS.core.API.STREAM.CREATE.MINE",
        "$JS.core.API.CONSUMER.CREATE.TEMPLATES",
        "$JS.core.API.CONSUMER.RESET.TEMPLATES.n2",
        "$JS.core.API.CONSUMER.DELETE.TEMPLATES.n2",
        "$SYS.REQ.CLAIMS.UPDATE",
    ] {
        let mut link = RawLink::open(&world, "n1");
        link.publish(subject, "", &[], "x");
        // The hub names the subject as it understands it.
        let subject = subject.replacen("$JS.core.API", "$JS.API", 1);
        let expected = format!("-ERR 'Permissions Violation for Publish to \"{subject}\"'");
        assert_eq!(link.heard(), Err(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_hears_nothing_of_another() {
    let mut world = World::hub(&["n1", "n2"]).await;
    world.leaf("n2").await;
    let mut own = RawLink::open(&world, "n1");
    own.say("LS+ node.feed.n1.TEMPLATES");
    own.is_up();
    let mut links: Vec<_> = [
        ">",
        "*.*.*.*",
        "shares.>",
        "in.>",
        "sync.core.>",
        "node.feed.n2.TEMPLATES",
        "_INBOX_leaf-reader.>",
        "_INBOX_n2.>",
        "$JS.n2.API.>",
        "$JS.*.API.CONSUMER.MSG.NEXT.OUT_SHARES.*",
        "$JSC.R.core.*.TEMPLATES.n2.*",
    ]
    .into_iter()
    .filter_map(|subject| {
        let mut link = RawLink::open(&world, "n1");
        link.say(&format!("LS+ {subject}"));
        let refused = format!("-ERR 'Permissions Violation for Subscription to \"{subject}\"'");
        match link.heard() {
            // The hub takes the wish, and lets through only what the link may hear.
            Ok(_) => Some(link),
            Err(words) => {
                assert_eq!(words, refused);
                None
            }
        }
    })
    .collect();

    let publisher = world.worker("template-publisher").await;
    publish(&publisher, "templates.tip.main", "tip", "tip").await;
    let ingress = world.leaf_worker("n2", "ingress-sv2").await;
    stored(&ingress, "TEMPLATES", 1).await;
    publish(&ingress, "shares.submitted.n2.258", "1", "batch").await;
    publish(&ingress, "blocks.claimed.n2", "2", "claim").await;
    let core = world.worker("operator").await;
    stored(&core, "SHARES_SUBMITTED", 1).await;
    stored(&core, "BLOCK_CLAIMS", 1).await;
    own.request("node.feed.n1.TEMPLATES");
    for link in links.iter_mut().chain([&mut own]) {
        let heard = link.heard().unwrap();
        assert!(heard.iter().all(|subject| subject.contains(".n1.")), "{heard:?}");
    }
}

/// A delivery says what its subject was. Core believes the link instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_subject_is_stored_under_the_node_s_own_name() {
    let world = World::hub(&["n1", "n2"]).await;
    let mut link = RawLink::open(&world, "n1");
    let inbox = pretend_to_be_a_leaf(&mut link);
    let forged = [
        "shares.submitted.n2.258",
        "in.n2.shares.submitted.n2.258",
        "shares.submitted.p.1.n2.258",
        "shares.submitted.n2.*",
        "shares.accepted.n2.258",
    ];
    let headers = [
        ("Nats-Msg-Id", "shares/n2/258/0/0"),
        ("Nats-Rollup", "all"),
        ("Nats-Stream-Source", "OUT_SHARES 9999 > > shares.submitted.n2.258"),
        ("Nats-Expected-Last-Sequence", "0"),
        ("Nats-Batch-Id", "mine"),
        ("Nats-TTL", "1s"),
    ];
    for (index, subject) in forged.iter().chain(["shares.submitted.n1.256"].iter()).enumerate() {
        let place = index + 1;
        let reply =
            format!("$JS.ACK.OUT_SHARES.n1.1.{place}.{place}.1700000000000000000.0@{subject}");
        link.publish(&inbox, &reply, &headers, "forged");
    }
    link.is_up();

    let core = world.worker("operator").await;
    let last = parse_of("n1", 256);
    let subjects = eventually("the last one is in CORE", async || {
        let found = subjects_of(&core, "SHARES_SUBMITTED").await;
        if found.contains(&last) { Ok(found) } else { Err(found) }
    })
    .await;
    // Of the forged ones one is a share of a lane, and it is n1's own; the others are nothing.
    assert_eq!(subjects, BTreeSet::from([parse_of("n1", 256), parse_of("n1", 258)]));
}

/// Answers Core's reader as a leaf does, as often as it asks, up to where its messages go.
fn pretend_to_be_a_leaf(link: &mut RawLink) -> String {
    let api = "$JS.n1.API";
    let calls = ["STREAM.INFO", "CONSUMER.CREATE", "CONSUMER.MSG.NEXT"];
    let [info, create, next] = calls.map(|call| format!("{api}.{call}.OUT_SHARES"));
    link.say(&format!("LS+ {info}"));
    link.say(&format!("LS+ {create}.*"));
    link.say(&format!("LS+ {next}.*"));
    link.is_up();
    let state = json!({ "messages": 6, "bytes": 600, "first_seq": 1, "last_seq": 6 });
    let at = "2026-01-01T00:00:00Z";
    let stream = json!({ "created": at, "ts": at, "config": {}, "state": state });
    let nothing = json!({ "consumer_seq": 0, "stream_seq": 0 });
    let consumer = json!({ "config": {}, "num_pending": 6, "delivered": nothing });
    loop {
        let (call, answer_to) = link.one_of(&[&info, &create, &next]);
        match call {
            0 => link.publish(&answer_to, "", &[], &stream.to_string()),
            1 => link.publish(&answer_to, "", &[], &consumer.to_string()),
            _ => return answer_to,
        }
    }
}

/// A server answers flow control wherever it is told to, as itself. Who reads leaves is none.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_flow_control_makes_nobody_speak_for_the_node() {
    let world = World::hub(&["n1", "n2"]).await;
    let mut link = RawLink::open(&world, "n1");
    let inbox = pretend_to_be_a_leaf(&mut link);
    for reply in [
        "$JS.API.STREAM.DELETE.TEMPLATES",
        "$JS.API.STREAM.PURGE.COMMANDS",
        "$JS.API.CONSUMER.DELETE.TEMPLATES.n2",
        "node.feed.n2.TEMPLATES",
    ] {
        for status in ["100 FlowControl Request", "100 Idle Heartbeat"] {
            let head = format!("NATS/1.0 {status}\r\nNats-Consumer-Stalled: {reply}\r\n\r\n");
            link.publish_with_head(&inbox, reply, &head, "");
        }
    }
    link.is_up();
    let reply = "$JS.ACK.OUT_SHARES.n1.1.1.1.1700000000000000000.0@shares.submitted.n1.256";
    link.publish(&inbox, reply, &[], "batch");
    stored(&world.worker("operator").await, "SHARES_SUBMITTED", 1).await;
    let nodes = world.operator(Account::Nodes).await;
    for stream in ["TEMPLATES", "COMMANDS"] {
        assert_eq!(info(nodes.client(), stream).await["config"]["name"], stream);
    }
    let consumers = info(nodes.client(), "TEMPLATES").await["state"]["consumer_count"].clone();
    assert_eq!(consumers, 2);
}

/// The stored subject of a lane of a node.
fn parse_of(node: &str, lane: u16) -> String {
    let lane = subjects::Lane(lane);
    format!("shares.submitted.p.{}.{node}.{lane}", streams::partition_of(lane))
}

async fn subjects_of(client: &async_nats::Client, stream: &str) -> BTreeSet<String> {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let answer = client.request(subject, r#"{"subjects_filter":">"}"#.into()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    let subjects = answer["state"]["subjects"].as_object().cloned().unwrap_or_default();
    subjects.keys().cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_s_message_id_cannot_be_pre_empted() {
    let mut world = World::hub(&["n1", "n2"]).await;
    world.leaf("n1").await;
    world.leaf("n2").await;
    let core = world.worker("operator").await;
    let id = "shares/n2/258/0/0";
    let thief = world.leaf_worker("n1", "ingress-sv2").await;
    publish(&thief, "shares.submitted.n1.256", id, "of the thief").await;
    stored(&core, "SHARES_SUBMITTED", 1).await;
    let owner = world.leaf_worker("n2", "ingress-sv2").await;
    publish(&owner, "shares.submitted.n2.258", id, "of the owner").await;
    stored(&core, "SHARES_SUBMITTED", 2).await;
    // Core's own ingress shares the stream with the nodes.
    let own = world.worker("ingress-sv2").await;
    publish(&own, "shares.submitted.core.1", id, "of core").await;
    let expected: BTreeSet<_> =
        [parse_of("n1", 256), parse_of("n2", 258), parse_of("core", 1)].into();
    assert_eq!(subjects_of(&core, "SHARES_SUBMITTED").await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_acknowledgement_settles_nothing() {
    let mut world = World::hub(&["n1", "n2"]).await;
    world.leaf("n2").await;
    let publisher = world.worker("template-publisher").await;
    publish(&publisher, "templates.tip.main", "1", "tip").await;
    let ingress = world.leaf_worker("n2", "ingress-sv2").await;
    stored(&ingress, "TEMPLATES", 1).await;
    let mut link = RawLink::open(&world, "n1");
    for word in ["+ACK", "+TERM", "-NAK"] {
        let reply = "$JS.ACK.TEMPLATES.n2.1.99.99.1700000000000000000.0";
        link.publish(reply, "", &[], word);
    }
    link.is_up();
    let nodes = world.operator(Account::Nodes).await;
    let subject = "$JS.API.CONSUMER.INFO.TEMPLATES.n2";
    let answer = nodes.client().request(subject, "".into()).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(answer["config"]["ack_policy"], "flow_control");
    assert!(answer["ack_floor"]["stream_seq"].as_u64().unwrap() <= 1, "{answer}");
    publish(&publisher, "templates.tip.main", "2", "tip").await;
    stored(&ingress, "TEMPLATES", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_a_leaf_speaks_under_its_node_s_name_only() {
    let mut world = World::hub(&["n1", "n2"]).await;
    world.leaf("n1").await;
    let mut ingress = world.watched_leaf("n1", "ingress-sv2").await;
    for subject in [
        "shares.submitted.n2.258",
        "blocks.claimed.n2",
        "shares.accepted.n1.256",
        "_INBOX_leaf-reader.n1.abcd",
        "$JS.API.STREAM.PURGE.OUT_SHARES",
        "$JS.ACK.OUT_SHARES.n1.1.1.1.1.0",
        "$JS.FC.OUT_SHARES.n1.abcd",
    ] {
        ingress.publish_refused(subject).await;
    }
}
