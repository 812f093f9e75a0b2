//! Plan, apply and check against real servers.

use crate::world::{World, info};
use serde_json::json;
use std::collections::BTreeMap;
use streams::{
    Account, Action, Connection, Item, ReconcileError, apply, apply_all, check, declared, keys,
    leaf, read, register,
};
use subjects::NodeId;

const WITH_STREAMS: [Account; 4] = [Account::Nodes, Account::Core, Account::Money, Account::Data];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_applied_leaves_nothing_to_plan() {
    let mut world = World::hub(&["n1", "n2"]).await;
    world.leaf("n1").await;
    for account in WITH_STREAMS {
        let operator = world.operator(account).await;
        let topology = declared(account, &world.network);
        let plan = check(&operator, &topology).await.unwrap();
        assert!(plan.in_order(), "{account}\n{plan}");
        let before = read(&operator).await.unwrap();
        apply(&operator, &topology).await.unwrap();
        assert_eq!(read(&operator).await.unwrap(), before, "{account}");
    }
    let id: NodeId = "n1".parse().unwrap();
    let operator = Connection::open(&world.leaf_access("n1", "operator")).await.unwrap();
    let plan = check(&operator, &leaf(&id)).await.unwrap();
    assert!(plan.in_order(), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_changes_nothing_and_apply_tells_what_it_did() {
    let world = World::bare_hub(&[]).await;
    let operator = world.operator(Account::Money).await;
    let topology = declared(Account::Money, &world.network);
    let todo = check(&operator, &topology).await.unwrap();
    assert!(!todo.in_order());
    assert!(read(&operator).await.unwrap().streams.is_empty());
    assert_eq!(apply(&operator, &topology).await.unwrap(), todo);
    assert!(check(&operator, &topology).await.unwrap().in_order());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undeclared_stream_is_reported_and_kept_and_drift_is_undone() {
    let world = World::hub(&[]).await;
    let operator = world.operator(Account::Core).await;
    let client = operator.client();
    let stray = json!({ "name": "OLD_SHARES", "subjects": ["old.>"] }).to_string();
    client.request("$JS.API.STREAM.CREATE.OLD_SHARES", stray.into()).await.unwrap();
    let mut drifted = info(client, "SHARES_REFUSED").await["config"].clone();
    drifted["max_age"] = json!(3_600_000_000_000_u64);
    let answer = client
        .request("$JS.API.STREAM.UPDATE.SHARES_REFUSED", drifted.to_string().into())
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&answer.payload).contains("error"));

    let topology = declared(Account::Core, &world.network);
    let plan = check(&operator, &topology).await.unwrap();
    let action = |name: &str| {
        let item = Item::Stream { stream: name.to_owned() };
        plan.steps.iter().find(|step| step.item == item).unwrap().action.clone()
    };
    assert_eq!(action("OLD_SHARES"), Action::Undeclared);
    assert!(matches!(action("SHARES_REFUSED"), Action::Update { .. }), "{plan}");
    apply(&operator, &topology).await.unwrap();
    assert!(check(&operator, &topology).await.unwrap().in_order());
    assert_eq!(info(client, "OLD_SHARES").await["config"]["name"], "OLD_SHARES");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_change_is_explained_and_nothing_is_touched() {
    let world = World::bare_hub(&[]).await;
    let operator = world.operator(Account::Core).await;
    let wrong = json!({ "name": "SHARES_SUBMITTED", "subjects": ["shares.submitted.core.*"] });
    let client = operator.client();
    let subject = "$JS.API.STREAM.CREATE.SHARES_SUBMITTED";
    client.request(subject, wrong.to_string().into()).await.unwrap();
    let before = read(&operator).await.unwrap();
    let hub = BTreeMap::from([(Account::Core, operator.clone())]);
    let error = apply_all(&hub, &world.network).await.unwrap_err();
    assert!(matches!(error, ReconcileError::Impossible(_)), "{error}");
    assert!(error.to_string().contains("cannot change `retention`"), "{error}");
    assert_eq!(read(&operator).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_given_once_and_for_ever() {
    let world = World::hub(&["n1", "n2"]).await;
    let operator = world.operator(Account::Core).await;
    register(&operator, &world.network).await.unwrap();
    register(&operator, &world.network).await.unwrap();
    let verifier = async_nats::jetstream::new(world.worker("share-verifier").await);
    let owners = verifier.get_key_value(streams::LANE_OWNERS).await.unwrap();
    let owner = |lane: &'static str| {
        let owners = owners.clone();
        async move { owners.get(lane).await.unwrap() }
    };
    assert_eq!(owner("256").await.unwrap(), "n1");
    assert_eq!(owner("258").await.unwrap(), "n2");
    assert!(owner("300").await.is_none());

    let swapped = crate::world::network(&["n2", "n1"]);
    let error = register(&operator, &swapped).await.unwrap_err();
    assert_eq!(error.to_string(), "lane 258 belongs to `n2` and cannot be given to `n1`");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_hub_takes_pushed_claims() {
    let world = World::hub(&[]).await;
    let sys = world.operator(Account::Sys).await;
    keys::push(&sys, &world.keys).await.unwrap();
    // An account that the operator did not sign is refused.
    let mut forged = world.keys.clone();
    for account in &mut forged.accounts {
        account.token = account.token.replacen('.', ".e30", 1);
    }
    let error = keys::push(&sys, &forged).await.unwrap_err();
    assert!(error.to_string().contains("was refused"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_deletes_and_purges_nothing() {
    let world = World::hub(&[]).await;
    for (file, stream) in [("operator", "SHARES"), ("operator-money", "PAYOUTS")] {
        let mut operator = world.watched(file, "operator").await;
        for call in ["DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT"] {
            operator.publish_refused(&format!("$JS.API.STREAM.{call}.{stream}")).await;
        }
        operator.publish_refused("shares.accepted.core.1").await;
        operator.publish_refused("payouts.statement.block-1.0").await;
    }
}
