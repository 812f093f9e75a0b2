//! Makes a server hold what is declared. It takes no input but the declaration, compares, acts,
//! and looks again at what the server kept.

use crate::{
    Account, Network,
    connection::{Connection, RequestError},
    declared::declared,
    names,
    plan::{Action, Actual, Change, Config, Item, Plan, differences, plan},
    topology::Topology,
};
use async_nats::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use subjects::{Lane, NodeId};

/// The oldest server that keeps its promises: with an older one a leaf can publish anywhere, and
/// "synced" is not (nats-server 038a56adf, 1f459ae1d).
pub const OLDEST_SERVER: (u32, u32, u32) = (2, 15, 1);

/// Why the declaration could not be made true.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A request failed.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server is too old.
    #[error(
        "nats-server {found} is too old: install at least {}.{}.{}, because older ones let a \
         leaf publish anywhere and do not sync every write",
        OLDEST_SERVER.0, OLDEST_SERVER.1, OLDEST_SERVER.2
    )]
    TooOld {
        /// The server's version.
        found: String,
    },
    /// Something that no server can do; nothing was changed.
    #[error("nothing was changed, because this cannot be done in place:\n{0}")]
    Impossible(Plan),
    /// The server took an option and did not keep it.
    #[error(
        "the server took {item} but did not keep {}: it does not know the option; upgrade it to \
         the release that the README names and apply again",
        options(.changes)
    )]
    Ignored {
        /// What it is about.
        item: Item,
        /// What was asked and not kept.
        changes: Vec<Change>,
    },
    /// A lane that was given to somebody else.
    #[error("lane {lane} belongs to `{owner}` and cannot be given to `{wanted}`")]
    LaneTaken {
        /// The lane.
        lane: Lane,
        /// Whose it is.
        owner: String,
        /// Who should have got it.
        wanted: NodeId,
    },
}

fn options(changes: &[Change]) -> String {
    let names: Vec<_> = changes.iter().map(|change| format!("`{}`", change.option)).collect();
    names.join(", ")
}

/// What separates the server from the declaration; changes nothing.
///
/// # Errors
/// When the server is too old or does not answer.
pub async fn check(connection: &Connection, declared: &Topology) -> Result<Plan, ReconcileError> {
    require_version(&connection.server_version())?;
    Ok(plan(declared, &read(connection).await?))
}

/// Makes the account of `connection` hold what is declared, and tells what was done. Doing it
/// again does nothing.
///
/// # Errors
/// As [`check`], and when a step is impossible (then nothing is changed), refused, or not kept.
pub async fn apply(connection: &Connection, declared: &Topology) -> Result<Plan, ReconcileError> {
    let todo = check(connection, declared).await?;
    if !todo.impossible().is_empty() {
        return Err(ReconcileError::Impossible(todo));
    }
    for step in &todo.steps {
        match &step.action {
            Action::Create { config } => {
                carry_out(connection, &step.item, config, "create").await?;
            }
            Action::Update { config, .. } => {
                carry_out(connection, &step.item, config, "update").await?;
            }
            Action::Unchanged | Action::Impossible { .. } | Action::Undeclared => {}
        }
    }
    Ok(todo)
}

/// Makes all accounts of a hub hold what is declared.
///
/// Origins come before the streams that read them: a reader that finds no origin asks again only
/// after five seconds.
///
/// # Errors
/// As [`apply`]; an account for which `hub` has no connection is left as it is.
pub async fn apply_all(
    hub: &BTreeMap<Account, Connection>,
    network: &Network,
) -> Result<BTreeMap<Account, Plan>, ReconcileError> {
    for (account, connection) in hub {
        let todo = check(connection, &declared(*account, network)).await?;
        if !todo.impossible().is_empty() {
            return Err(ReconcileError::Impossible(todo));
        }
    }
    let mut done = BTreeMap::new();
    for (account, connection) in hub {
        let origins = declared(*account, network).origins();
        let plan = apply(connection, &origins).await?;
        done.insert(*account, plan.without_undeclared());
    }
    for (account, connection) in hub {
        let plan = apply(connection, &declared(*account, network)).await?;
        done.entry(*account).and_modify(|first| first.then(&plan)).or_insert(plan);
    }
    Ok(done)
}

/// Gives the nodes their lanes, for ever, and has their leaves read; what they have already is left
/// as it is.
///
/// # Errors
/// When a lane belongs to another node.
pub async fn register(core: &Connection, network: &Network) -> Result<(), ReconcileError> {
    for node in network.nodes() {
        for lane in &node.lanes {
            register_lane(core, &node.id, *lane).await?;
        }
        // Last: a node whose lanes are not its own is not read.
        let id = node.id.as_str();
        create_key(core, names::LEAVES, id, id).await?;
    }
    Ok(())
}

async fn register_lane(core: &Connection, node: &NodeId, lane: Lane) -> Result<(), ReconcileError> {
    match create_key(core, names::LANE_OWNERS, &lane.to_string(), node.as_str()).await? {
        Some(owner) if owner != node.as_str() => {
            Err(ReconcileError::LaneTaken { lane, owner, wanted: node.clone() })
        }
        Some(_) | None => Ok(()),
    }
}

/// Sets a key that does not exist; hands back the value of one that does.
async fn create_key(
    core: &Connection,
    bucket: &str,
    key: &str,
    value: &str,
) -> Result<Option<String>, RequestError> {
    const WRONG_LAST_SEQUENCE: u64 = 10_071;
    let subject = format!("$KV.{bucket}.{key}");
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
    let stored: Result<Value, _> =
        core.ask_with(subject.clone(), headers, value.to_owned().into_bytes()).await;
    match stored {
        Ok(_) => Ok(None),
        Err(refused) if refused.code() == Some(WRONG_LAST_SEQUENCE) => {
            let get = format!("$JS.API.DIRECT.GET.KV_{bucket}.{subject}");
            let value = core.ask_raw(get, HeaderMap::new(), Vec::new()).await?;
            Ok(Some(String::from_utf8_lossy(&value).into_owned()))
        }
        Err(other) => Err(other),
    }
}

/// Refuses servers that are older than [`OLDEST_SERVER`].
pub(crate) fn require_version(found: &str) -> Result<(), ReconcileError> {
    let plain = found.split(['-', '+']).next().unwrap_or_default();
    let mut numbers = plain.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let mut next = || numbers.next().unwrap_or_default();
    let version = (next(), next(), next());
    if version < OLDEST_SERVER {
        return Err(ReconcileError::TooOld { found: found.to_owned() });
    }
    Ok(())
}

/// What the server kept must be what was asked.
pub(crate) fn verify(item: &Item, asked: &Config, kept: &Config) -> Result<(), ReconcileError> {
    let changes = differences(asked, kept);
    if changes.is_empty() {
        return Ok(());
    }
    Err(ReconcileError::Ignored { item: item.clone(), changes })
}

async fn carry_out(
    connection: &Connection,
    item: &Item,
    config: &Config,
    action: &str,
) -> Result<(), ReconcileError> {
    #[derive(Deserialize)]
    struct Kept {
        config: Config,
    }
    let body = Value::Object(without_nothing(config));
    let (subject, body, look) = match item {
        Item::Stream { stream } => (
            format!("$JS.API.STREAM.{}.{stream}", action.to_uppercase()),
            body,
            format!("$JS.API.STREAM.INFO.{stream}"),
        ),
        Item::Consumer { stream, consumer } => (
            format!("$JS.API.CONSUMER.CREATE.{stream}.{consumer}{}", filter_token(config)),
            json!({ "stream_name": stream, "config": body, "action": action }),
            format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"),
        ),
    };
    connection.ask::<Value>(subject, &body).await?;
    let kept: Kept = connection.ask(look, &Value::Null).await?;
    verify(item, config, &kept.config)
}

/// A consumer's only filter stands in the subject of the request too, where permissions see it.
fn filter_token(config: &Config) -> String {
    let filter = config.get("filter_subject").and_then(Value::as_str);
    filter.map(|filter| format!(".{filter}")).unwrap_or_default()
}

fn without_nothing(config: &Config) -> Config {
    let given = config.iter().filter(|(_, value)| !value.is_null());
    given.map(|(option, value)| (option.clone(), cleaned(value))).collect()
}

fn cleaned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_nothing(fields)),
        Value::Array(items) => Value::Array(items.iter().map(cleaned).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// What the account of `connection` holds.
///
/// # Errors
/// When the server does not answer.
pub async fn read(connection: &Connection) -> Result<Actual, RequestError> {
    let mut actual = Actual::default();
    for config in list(connection, "$JS.API.STREAM.LIST".to_owned(), "streams").await? {
        let name = text(&config, "name");
        let subject = format!("$JS.API.CONSUMER.LIST.{name}");
        for consumer in list(connection, subject, "consumers").await? {
            let durable = text(&consumer, "durable_name");
            if !durable.is_empty() {
                actual.consumers.insert((name.clone(), durable), consumer);
            }
        }
        actual.streams.insert(name, config);
    }
    Ok(actual)
}

/// All pages of a list of the JetStream API.
async fn list(
    connection: &Connection,
    subject: String,
    what: &str,
) -> Result<Vec<Config>, RequestError> {
    let mut configs = Vec::new();
    loop {
        let body = json!({ "offset": configs.len() });
        let page: BTreeMap<String, Value> = connection.ask(subject.clone(), &body).await?;
        let total = page.get("total").and_then(Value::as_u64).unwrap_or_default();
        let items = page.get(what).and_then(Value::as_array).cloned().unwrap_or_default();
        let before = configs.len();
        let config = |item: Value| Some(item.get("config")?.as_object()?.clone());
        configs.extend(items.into_iter().filter_map(config));
        let complete = u64::try_from(configs.len()).unwrap_or(u64::MAX) >= total;
        if complete || configs.len() == before {
            return Ok(configs);
        }
    }
}

fn text(config: &Config, option: &str) -> String {
    config.get(option).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Network, declared};

    #[test]
    fn a_server_that_is_too_old_is_an_error_that_says_what_to_do() {
        for old in ["2.9.10", "2.10.27", "2.14.5", "2.15.0", "2.15.0-RC.1", "2", "", "nonsense"] {
            let error = require_version(old).unwrap_err().to_string();
            assert!(error.starts_with(&format!("nats-server {old} is too old")), "{error}");
            assert!(error.contains("install at least 2.15.1"), "{error}");
        }
        for enough in ["2.15.1", "2.15.2-RC.1", "2.16.0", "3.0.0+meta"] {
            assert!(require_version(enough).is_ok(), "{enough}");
        }
    }

    /// What an old server does with options that it does not know: it drops them silently.
    #[test]
    fn an_option_that_the_server_did_not_keep_is_an_error_that_names_it() {
        let network = Network::new(Vec::new()).unwrap();
        let stream = declared(Account::Core, &network).streams.remove(0);
        let item = Item::Stream { stream: stream.name.clone() };
        let asked = stream.config();
        assert!(verify(&item, &asked, &asked).is_ok());
        for option in ["deny_delete", "allow_direct", "duplicate_window", "subjects"] {
            let mut kept = asked.clone();
            kept.remove(option);
            let error = verify(&item, &asked, &kept).unwrap_err().to_string();
            let expected = format!("the server took stream TEMPLATES but did not keep `{option}`");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_mirror_that_lost_its_consumer_is_noticed() {
        let network = Network::new(Vec::new()).unwrap();
        let streams = declared(Account::Nodes, &network).streams;
        let stream = streams.into_iter().find(|one| one.name == names::TEMPLATES).unwrap();
        let asked = stream.config();
        let mut kept = asked.clone();
        kept["mirror"].as_object_mut().unwrap().remove("consumer");
        let item = Item::Stream { stream: stream.name };
        let error = verify(&item, &asked, &kept).unwrap_err().to_string();
        assert!(error.contains("`mirror.consumer`"), "{error}");
    }
}
