//! What separates the streams we have from the streams we declared. Pure: it runs in CI and on a
//! laptop, and changes nothing.

use crate::topology::Topology;
use serde::Serialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// Configurations as the server reports them or takes them.
pub type Config = Map<String, Value>;

/// What an account of a server holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Actual {
    /// Configurations of streams, by name.
    pub streams: BTreeMap<String, Config>,
    /// Configurations of durable consumers, by stream and name.
    pub consumers: BTreeMap<(String, String), Config>,
}

/// All that has to be done, or that a person should see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// In the order in which it is done.
    pub steps: Vec<Step>,
}

/// One stream or consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Item {
    /// A stream; also a bucket (`KV_…`) or an object store (`OBJ_…`).
    Stream {
        /// Its name.
        stream: String,
    },
    /// A durable consumer.
    Consumer {
        /// The stream that it reads.
        stream: String,
        /// Its name.
        consumer: String,
    },
}

/// What is to be done about one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What it is about.
    #[serde(flatten)]
    pub item: Item,
    /// What is to be done.
    #[serde(flatten)]
    pub action: Action,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// It is as declared.
    Unchanged,
    /// Declared, and missing.
    Create {
        /// How it is created.
        config: Config,
    },
    /// Declared, and different.
    Update {
        /// What changes.
        changes: Vec<Change>,
        /// How it will be: what is declared over what is there.
        config: Config,
    },
    /// Declared, and different in a way that the server cannot change.
    Impossible {
        /// What would have to change.
        changes: Vec<Change>,
        /// What a person can do.
        advice: String,
    },
    /// Present, and not declared. Never deleted by us: streams hold money's history.
    Undeclared,
}

/// One option that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Path of the option, e.g. `sources.0.external.api`.
    pub option: String,
    /// What the server has; null if nothing.
    pub from: Value,
    /// What is declared; null if nothing.
    pub to: Value,
}

/// Options of a stream that cannot change while it exists (nats-server, `configUpdateCheck`).
const FIXED_OF_STREAM: [&str; 3] = ["storage", "mirror", "persist_mode"];

/// Options of a consumer that cannot change while it exists (nats-server,
/// `checkNewConsumerConfig`).
const FIXED_OF_CONSUMER: [&str; 5] =
    ["deliver_policy", "ack_policy", "replay_policy", "idle_heartbeat", "flow_control"];

/// Compares the two worlds.
pub fn plan(declared: &Topology, actual: &Actual) -> Plan {
    let streams = declared.streams.iter().map(|stream| {
        let item = Item::Stream { stream: stream.name.clone() };
        let found = actual.streams.get(&stream.name);
        Step { action: action(&item, stream.config(), found), item }
    });
    let consumers = declared.consumers.iter().map(|consumer| {
        let (stream, name) = (consumer.stream.clone(), consumer.name.clone());
        let found = actual.consumers.get(&(stream.clone(), name.clone()));
        let item = Item::Consumer { stream, consumer: name };
        Step { action: action(&item, consumer.config(), found), item }
    });
    let mut steps: Vec<_> = streams.chain(consumers).collect();
    steps.extend(undeclared(declared, actual));
    Plan { steps }
}

fn undeclared(declared: &Topology, actual: &Actual) -> Vec<Step> {
    let mut strays = Vec::new();
    for name in actual.streams.keys() {
        if !declared.streams.iter().any(|stream| stream.name == *name) {
            strays.push(Item::Stream { stream: name.clone() });
        }
    }
    for (stream, name) in actual.consumers.keys() {
        let known = |consumer: &&crate::topology::Consumer| {
            consumer.stream == *stream && consumer.name == *name
        };
        if !declared.consumers.iter().any(|consumer| known(&consumer)) {
            strays.push(Item::Consumer { stream: stream.clone(), consumer: name.clone() });
        }
    }
    strays.into_iter().map(|item| Step { item, action: Action::Undeclared }).collect()
}

fn action(item: &Item, config: Config, found: Option<&Config>) -> Action {
    let Some(found) = found else {
        return Action::Create { config };
    };
    let changes = differences(&config, found);
    if changes.is_empty() {
        return Action::Unchanged;
    }
    match changes.iter().find(|change| is_fixed(item, change)) {
        Some(change) => {
            let advice = advice(item, change);
            Action::Impossible { changes, advice }
        }
        None => Action::Update { changes, config: overlay(found, config) },
    }
}

/// What is declared over what is there: options that we do not declare stay as they are.
fn overlay(found: &Config, declared: Config) -> Config {
    let mut config = found.clone();
    config.extend(declared);
    config
}

fn is_fixed(item: &Item, change: &Change) -> bool {
    let root = change.option.split('.').next().unwrap_or_default();
    match item {
        Item::Stream { .. } => match root {
            // A mirror may be turned into a stream of its own, never back.
            "mirror" => !(change.option == "mirror" && change.to.is_null()),
            // What protects messages can be switched on, never off.
            "deny_delete" | "deny_purge" | "sealed" => change.to == Value::Bool(false),
            // A work queue stays one, and nothing else becomes one.
            "retention" => change.from == "workqueue" || change.to == "workqueue",
            fixed => FIXED_OF_STREAM.contains(&fixed),
        },
        Item::Consumer { .. } => {
            let turns = root == "deliver_subject" && (change.from.is_null() || change.to.is_null());
            turns || FIXED_OF_CONSUMER.contains(&root)
        }
    }
}

fn advice(item: &Item, change: &Change) -> String {
    let what = format!(
        "the server cannot change `{}` from {} to {} in place",
        change.option, change.from, change.to
    );
    match item {
        Item::Stream { stream } => format!(
            "{what}: declare a new stream beside {stream}, move its readers and writers, and \
             delete {stream} by hand once nothing refers to its sequences"
        ),
        Item::Consumer { stream, consumer } => format!(
            "{what}: stop its reader, delete the consumer {consumer} of {stream} by hand and \
             apply again; its reader knows its own position"
        ),
    }
}

/// The declared options that `found` does not have. What is not declared is not compared; nothing,
/// zero, false and empty are the same, because servers leave such options out.
pub(crate) fn differences(declared: &Config, found: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for (option, want) in declared {
        compare(option, want, found.get(option).unwrap_or(&Value::Null), &mut changes);
    }
    changes
}

fn compare(path: &str, want: &Value, have: &Value, changes: &mut Vec<Change>) {
    if is_nothing(want) && is_nothing(have) {
        return;
    }
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            for (option, want) in want {
                let have = have.get(option).unwrap_or(&Value::Null);
                compare(&format!("{path}.{option}"), want, have, changes);
            }
        }
        (Value::Array(wants), Value::Array(haves)) if wants.len() == haves.len() => {
            for (position, (want, have)) in wants.iter().zip(haves).enumerate() {
                compare(&format!("{path}.{position}"), want, have, changes);
            }
        }
        (want, have) if want == have => {}
        (want, have) => {
            changes.push(Change { option: path.to_owned(), from: have.clone(), to: want.clone() });
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        // The server writes "no limit" as -1, as 0 or not at all.
        Value::Number(number) => number.as_i64().is_some_and(|number| number <= 0),
        Value::String(text) => text.is_empty() || text == "none" || text == "default",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

impl Plan {
    /// Whether nothing has to be done. Undeclared things do not count: they are shown, not changed.
    pub fn in_order(&self) -> bool {
        self.steps.iter().all(|step| match step.action {
            Action::Unchanged | Action::Undeclared => true,
            Action::Create { .. } | Action::Update { .. } | Action::Impossible { .. } => false,
        })
    }

    /// The plan of something smaller than an account, which says nothing of the rest.
    pub(crate) fn without_undeclared(mut self) -> Self {
        self.steps.retain(|step| step.action != Action::Undeclared);
        self
    }

    /// Adds what was done after this: what was done first counts, the rest is new.
    pub(crate) fn then(&mut self, later: &Self) {
        let done = |item: &Item| self.steps.iter().any(|step| step.item == *item);
        let new: Vec<_> = later.steps.iter().filter(|step| !done(&step.item)).cloned().collect();
        self.steps.extend(new);
    }

    /// The steps that no server can take.
    pub fn impossible(&self) -> Vec<&Step> {
        let impossible = |step: &&Step| matches!(step.action, Action::Impossible { .. });
        self.steps.iter().filter(impossible).collect()
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream { stream } => write!(f, "stream {stream}"),
            Self::Consumer { stream, consumer } => write!(f, "consumer {stream}/{consumer}"),
        }
    }
}

/// The diff that a person reads: `+` is created, `~` updated, `!` impossible, `?` not declared.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Step { item, action } in &self.steps {
            match action {
                Action::Unchanged => {}
                Action::Create { config } => {
                    let why = config.get("description").and_then(Value::as_str);
                    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
                    writeln!(f, "+ {item}{why}")?;
                }
                Action::Update { changes, .. } => {
                    writeln!(f, "~ {item}")?;
                    write_changes(f, changes)?;
                }
                Action::Impossible { changes, advice } => {
                    writeln!(f, "! {item}: {advice}")?;
                    write_changes(f, changes)?;
                }
                Action::Undeclared => {
                    writeln!(f, "? {item}: not declared; left as it is")?;
                }
            }
        }
        let unchanged = self.steps.iter().filter(|step| step.action == Action::Unchanged).count();
        writeln!(f, "= {unchanged} as declared")
    }
}

fn write_changes(f: &mut fmt::Formatter<'_>, changes: &[Change]) -> fmt::Result {
    for Change { option, from, to } in changes {
        writeln!(f, "    {option}: {from} -> {to}")?;
    }
    Ok(())
}
