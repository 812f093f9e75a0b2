//! What a data team can do with its credential, and what not.

use loadtest::network::Network;
use serde_json::Value;
use std::{path::Path, time::Duration};
use worker_runtime::bus::BusError;

/// How long the hub may take to refuse.
const PATIENCE: Duration = Duration::from_secs(20);

/// `tap` shows what DATA has, as the schemas describe it.
pub(crate) async fn sees_what_the_schemas_describe(network: &Network) {
    for (subject, kind) in [
        ("shares.accepted.>", "hyperhash.shares.v1.accepted"),
        ("templates.new.*", "hyperhash.templates.v1.new"),
        ("templates.tip.*", "hyperhash.templates.v1.tip"),
        ("blocks.solved.*", "hyperhash.blocks.v1.solved"),
        ("blocks.submitted.>", "hyperhash.blocks.v1.submitted"),
        ("blocks.outcome.*", "hyperhash.blocks.v1.outcome"),
        ("rounds.slice.closed.*", "hyperhash.rounds.v1.slice-closed"),
        ("rounds.closed.*", "hyperhash.rounds.v1.closed"),
        ("payouts.statement.>", "hyperhash.payouts.v1.statement"),
    ] {
        let schema = jsonschema::validator_for(&schema_of(kind)).unwrap();
        for message in tapped(network, subject).await {
            assert_eq!(message["type"], kind, "{message:#}");
            if kind == "hyperhash.shares.v1.accepted" {
                let subject = message["subject"].as_str().unwrap();
                assert!(subject.starts_with("shares.accepted.n1."), "{message:#}");
                assert!(!message["body"]["shares"].as_array().unwrap().is_empty(), "{message:#}");
            }
            if let Err(error) = schema.validate(&message["body"]) {
                panic!("{kind} is not what its schema says: {error}\n{message:#}");
            }
        }
    }
}

/// The first messages of a subject.
async fn tapped(network: &Network, subject: &str) -> Vec<Value> {
    let output = network.run(&["tap", subject, "--json", "--from", "first", "--count", "1"]).await;
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let messages: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages.len(), 1, "{text}");
    messages
}

fn schema_of(kind: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/json");
    let text = std::fs::read_to_string(folder.join(format!("{kind}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The credential publishes nothing, deletes nothing, and sees nothing that is not public; and the
/// hub says so by name.
pub(crate) async fn may_do_nothing_else(network: &Network) {
    let reader = network.bus("data-reader").await.unwrap();
    for subject in [
        "shares.accepted.n1.256",
        "templates.new.core-a",
        "payouts.statement.block-1.0",
        "node.verdict.n1",
        "$JS.API.STREAM.DELETE.SHARES",
        "$JS.API.STREAM.PURGE.SHARES",
        "$JS.API.STREAM.MSG.DELETE.SHARES",
        "$JS.API.STREAM.UPDATE.SHARES",
        "$JS.API.STREAM.CREATE.MINE",
        "$JS.API.STREAM.INFO.AUDIT",
        "$JS.API.STREAM.INFO.SHARES_SUBMITTED",
        "$JS.API.CONSUMER.CREATE.SHARES_SUBMITTED.mine.shares.submitted.>",
    ] {
        let refused = reader.bus.request(subject, "{}".into(), PATIENCE).await;
        assert!(
            matches!(&refused, Err(BusError::Denied(named)) if named == subject),
            "a data team may ask {subject}: {refused:?}"
        );
    }
    let taps = ["tap", "audit.>", "--json", "--from", "first", "--count", "1", "--stream", "AUDIT"];
    let output = network.run(&taps).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("may not ask"), "{said}");
    reader.finish().await.unwrap();
}
