//! The plan, without a server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};
use streams::{
    Account, Action, Actual, Config, Erasure, Item, Network, Node, Plan, Retention, Topology,
    declared, leaf, plan,
};
use subjects::Lane;

fn network() -> Network {
    let node = |id: &str, lane| Node { id: id.parse().unwrap(), lanes: vec![Lane(lane)] };
    Network::new(vec![node("n1", 256), node("n2", 257)]).unwrap()
}

fn everything() -> Vec<Topology> {
    let mut all: Vec<_> =
        Account::ALL.into_iter().map(|account| declared(account, &network())).collect();
    all.push(leaf(&"n1".parse().unwrap()));
    all
}

/// What a server does: it takes the configuration, leaves out what is nothing, and adds its own.
fn store(config: &Config) -> Config {
    let is_default = |value: &Value| {
        value.is_null() || *value == json!(false) || *value == json!(0) || *value == json!([])
    };
    let kept = config.iter().filter(|(_, value)| !is_default(value));
    let mut stored: Config = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    stored.insert("metadata".to_owned(), json!({ "_nats.ver": "2.15.1" }));
    stored.insert("consumer_limits".to_owned(), json!({}));
    stored
}

fn carry_out(plan: &Plan, actual: &mut Actual) {
    for step in &plan.steps {
        let (Action::Create { config } | Action::Update { config, .. }) = &step.action else {
            continue;
        };
        match &step.item {
            Item::Stream { stream } => {
                actual.streams.insert(stream.clone(), store(config));
            }
            Item::Consumer { stream, consumer } => {
                actual.consumers.insert((stream.clone(), consumer.clone()), store(config));
            }
        }
    }
}

fn applied(topology: &Topology) -> Actual {
    let mut actual = Actual::default();
    carry_out(&plan(topology, &actual), &mut actual);
    actual
}

/// The only step that is not `Unchanged`.
fn only_step(plan: Plan) -> streams::Step {
    let mut open: Vec<_> =
        plan.steps.into_iter().filter(|step| step.action != Action::Unchanged).collect();
    assert_eq!(open.len(), 1, "{open:?}");
    open.remove(0)
}

#[test]
fn applying_a_plan_leaves_nothing_to_plan() {
    for topology in everything() {
        let after = plan(&topology, &applied(&topology));
        assert!(after.in_order(), "{after}");
    }
}

#[test]
fn streams_are_created_in_the_order_in_which_a_share_meets_them() {
    let core = plan(&declared(Account::Core, &network()), &Actual::default());
    let names: Vec<_> = core.steps.iter().map(|step| step.item.to_string()).collect();
    let place = |name: &str| names.iter().position(|item| item == name).unwrap();
    let order = ["TEMPLATES", "SHARES_SUBMITTED", "SHARES", "BLOCKS", "ROUNDS", "PARKED"];
    let places: Vec<_> = order.map(|name| place(&format!("stream {name}"))).into();
    assert!(places.is_sorted(), "{names:?}");
    assert!(place("consumer SHARES_SUBMITTED/share-verifier-15") > place("stream PARKED"));
}

#[test]
fn what_is_not_declared_is_reported_and_kept() {
    let topology = declared(Account::Core, &network());
    let mut actual = applied(&topology);
    actual.streams.insert("OLD_SHARES".to_owned(), Config::new());
    let stray = ("SHARES".to_owned(), "somebody".to_owned());
    actual.consumers.insert(stray, Config::new());
    let plan = plan(&topology, &actual);
    assert!(plan.in_order());
    let strays: Vec<_> =
        plan.steps.iter().filter(|step| step.action == Action::Undeclared).collect();
    assert_eq!(strays.len(), 2);
    let before = actual.clone();
    carry_out(&plan, &mut actual);
    assert_eq!(actual, before);
    let text = plan.to_string();
    assert!(text.contains("? stream OLD_SHARES: not declared; left as it is"), "{text}");
    assert!(text.contains("? consumer SHARES/somebody: not declared"), "{text}");
}

#[test]
fn a_changed_limit_is_an_update_that_keeps_what_we_do_not_declare() {
    let topology = declared(Account::Core, &network());
    let mut actual = applied(&topology);
    let refused = actual.streams.get_mut("SHARES_REFUSED").unwrap();
    refused.insert("max_age".to_owned(), json!(1));
    refused.insert("placement".to_owned(), json!({ "tags": ["ssd"] }));
    let step = only_step(plan(&topology, &actual));
    let Action::Update { changes, config } = step.action else { panic!("{step:?}") };
    let options: Vec<_> = changes.iter().map(|change| change.option.as_str()).collect();
    assert_eq!(options, ["max_age"]);
    assert_eq!(config["placement"], json!({ "tags": ["ssd"] }));
}

#[test]
fn an_option_that_somebody_added_by_hand_is_taken_back() {
    let topology = declared(Account::Core, &network());
    let mut actual = applied(&topology);
    let shares = actual.streams.get_mut("SHARES").unwrap();
    shares.insert("republish".to_owned(), json!({ "src": ">", "dest": "leak.>" }));
    shares.insert("max_msgs".to_owned(), json!(10));
    let Action::Update { changes, .. } = only_step(plan(&topology, &actual)).action else {
        panic!("an update was expected")
    };
    let options: Vec<_> = changes.iter().map(|change| change.option.as_str()).collect();
    assert_eq!(options, ["max_msgs", "republish"]);
}

#[test]
fn what_no_server_can_change_is_impossible_and_explained() {
    let impossible = |name: &str, option: &str, value: Value| {
        let topology = declared(Account::Core, &network());
        let mut actual = applied(&topology);
        actual.streams.get_mut(name).unwrap().insert(option.to_owned(), value);
        let step = only_step(plan(&topology, &actual));
        let Action::Impossible { advice, .. } = step.action else { panic!("{step:?}") };
        advice
    };
    let advice = impossible("SHARES_SUBMITTED", "retention", json!("limits"));
    assert!(advice.contains("cannot change `retention` from \"limits\" to \"workqueue\""));
    assert!(advice.contains("declare a new stream beside SHARES_SUBMITTED"));
    impossible("SHARES", "storage", json!("memory"));
    impossible("SHARES", "deny_purge", json!(true));
}

#[test]
fn a_mirror_cannot_be_given_another_origin() {
    let topology = declared(Account::Data, &network());
    let mut actual = applied(&topology);
    let shares = actual.streams.get_mut("SHARES").unwrap();
    shares.insert("mirror".to_owned(), json!({ "name": "OTHER" }));
    let step = only_step(plan(&topology, &actual));
    assert!(matches!(step.action, Action::Impossible { .. }), "{step:?}");
}

#[test]
fn protection_can_be_switched_on() {
    let topology = declared(Account::Money, &network());
    let mut actual = applied(&topology);
    actual.streams.get_mut("PAYOUTS").unwrap().remove("deny_purge");
    let step = only_step(plan(&topology, &actual));
    assert!(matches!(step.action, Action::Update { .. }), "{step:?}");
}

#[test]
fn a_consumer_that_settles_otherwise_must_be_made_anew_by_hand() {
    let topology = declared(Account::Nodes, &network());
    let mut actual = applied(&topology);
    let key = ("TEMPLATES".to_owned(), "n1".to_owned());
    let consumer = actual.consumers.get_mut(&key).unwrap();
    consumer.insert("ack_policy".to_owned(), json!("none"));
    let Action::Impossible { advice, .. } = only_step(plan(&topology, &actual)).action else {
        panic!("it cannot be changed")
    };
    assert!(advice.contains("delete the consumer n1 of TEMPLATES by hand"));
}

#[test]
fn a_new_node_changes_the_entry_only() {
    let one = Network::new(vec![network().nodes()[0].clone()]).unwrap();
    let actual = applied(&declared(Account::Nodes, &one));
    let plan = plan(&declared(Account::Nodes, &network()), &actual);
    insta::assert_snapshot!(plan.to_string());
}

#[test]
fn machines_read_the_same_plan() {
    let mut topology = declared(Account::Money, &network());
    topology.streams.truncate(1);
    let mut actual = applied(&topology);
    actual.streams.get_mut("PAYOUTS").unwrap().remove("deny_purge");
    actual.streams.insert("OLD".to_owned(), Config::new());
    let mut machine = serde_json::to_value(plan(&topology, &actual)).unwrap();
    machine["steps"][0].as_object_mut().unwrap().remove("config");
    assert_eq!(
        machine,
        json!({ "steps": [
            {
                "kind": "stream", "stream": "PAYOUTS", "action": "update",
                "changes": [{ "option": "deny_purge", "from": null, "to": true }],
            },
            { "kind": "stream", "stream": "OLD", "action": "undeclared" },
        ]})
    );
}

/// One thing that a stranger did to a server.
#[derive(Clone, Debug)]
enum Meddling {
    DropStream(usize),
    DropConsumer(usize),
    AddStream(String),
    Change(usize, &'static str, Value),
}

fn meddling() -> impl Strategy<Value = Meddling> {
    let option = prop_oneof![
        Just(("max_age", json!(7))),
        Just(("max_bytes", json!(1))),
        Just(("subjects", json!(["other.>"]))),
        Just(("sources", json!([]))),
        Just(("description", json!("mine"))),
        Just(("deny_delete", Value::Null)),
        Just(("duplicate_window", json!(100_000_000))),
        Just(("retention", json!("interest"))),
        Just(("allow_direct", Value::Null)),
    ];
    prop_oneof![
        any::<usize>().prop_map(Meddling::DropStream),
        any::<usize>().prop_map(Meddling::DropConsumer),
        "[A-Z]{3}_X".prop_map(Meddling::AddStream),
        (any::<usize>(), option)
            .prop_map(|(which, (name, value))| Meddling::Change(which, name, value)),
    ]
}

fn meddle(actual: &mut Actual, meddling: Meddling) {
    let nth = |names: Vec<String>, which: usize| names.get(which % names.len().max(1)).cloned();
    let streams = actual.streams.keys().cloned().collect();
    match meddling {
        Meddling::DropStream(which) => {
            if let Some(name) = nth(streams, which) {
                actual.streams.remove(&name);
                actual.consumers.retain(|(stream, _), _| *stream != name);
            }
        }
        Meddling::DropConsumer(which) => {
            let keys: Vec<_> = actual.consumers.keys().cloned().collect();
            if let Some(key) = keys.get(which % keys.len().max(1)) {
                actual.consumers.remove(key);
            }
        }
        Meddling::AddStream(name) => {
            actual.streams.insert(name, Config::new());
        }
        Meddling::Change(which, option, value) => {
            let name = nth(streams, which);
            let config = name.and_then(|name| actual.streams.get_mut(&name));
            if let Some(config) = config {
                config.insert(option.to_owned(), value);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_was_done_to_a_server_applying_once_is_enough(
        which in 0..6_usize,
        meddlings in prop::collection::vec(meddling(), 0..12),
    ) {
        let topology = &everything()[which];
        let mut actual = applied(topology);
        for one in meddlings {
            meddle(&mut actual, one);
        }
        let strangers: Vec<_> = actual.streams.keys().cloned().collect();
        let first = plan(topology, &actual);
        carry_out(&first, &mut actual);
        for step in plan(topology, &actual).steps {
            let settled = matches!(
                step.action,
                Action::Unchanged | Action::Undeclared | Action::Impossible { .. }
            );
            prop_assert!(settled, "{step:?}");
        }
        for name in strangers {
            prop_assert!(actual.streams.contains_key(&name), "{name} was deleted");
        }
    }
}

#[test]
fn what_must_last_can_be_erased_by_nobody() {
    let all = everything();
    let stream = |name: &str| {
        all.iter().flat_map(|topology| &topology.streams).find(|one| one.name == name).unwrap()
    };
    for name in ["PAYOUTS", "AUDIT", "BLOCKS", "ROUNDS", "NODE_VERDICTS"] {
        assert_eq!(stream(name).erasure, Erasure::Never, "{name}");
        assert_eq!((stream(name).max_age, stream(name).max_bytes), (None, None), "{name}");
    }
    assert_eq!(stream("SHARES").max_age, None);
    let queues = all.iter().flat_map(|topology| &topology.streams);
    let queues = queues.filter(|one| one.retention == Retention::WorkQueue);
    let names: Vec<_> = queues.map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["SHARES_SUBMITTED"], "a leaf could forge the end of a work queue's message");
}
