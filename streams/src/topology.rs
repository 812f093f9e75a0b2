//! What can be declared: the part of a stream's and a consumer's configuration that we promise.

use serde_json::{Map, Value, json};
use std::time::Duration;

/// All that must exist in one account of one server, in the order in which a share meets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Streams; buckets and object stores are streams too.
    pub streams: Vec<Stream>,
    /// Durable consumers.
    pub consumers: Vec<Consumer>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Why it exists and keeps what it keeps; stored as the stream's description.
    pub why: &'static str,
    /// What is published into it.
    pub subjects: Vec<String>,
    /// How the subject of every message is rewritten before it is stored.
    pub transform: Option<Transform>,
    /// The stream of which this is an exact copy, sequences included.
    pub mirror: Option<Source>,
    /// When a message may go.
    pub retention: Retention,
    /// What happens when it is full.
    pub when_full: WhenFull,
    /// Age at which messages go; for ever if absent.
    pub max_age: Option<Duration>,
    /// Most bytes it may hold; the server reserves them. The disk is the limit if absent.
    pub max_bytes: Option<u64>,
    /// Largest message in bytes, headers included.
    pub max_message_bytes: Option<u32>,
    /// Most messages of one subject; the oldest goes.
    pub max_per_subject: Option<u32>,
    /// How long a repeated `Nats-Msg-Id` is dropped.
    pub duplicates: Duplicates,
    /// Whether several messages may be stored together or not at all.
    pub batches: Batches,
    /// Who may take single messages out.
    pub erasure: Erasure,
    /// How many servers keep it.
    pub replicas: u8,
}

/// When a message may leave a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// When a limit says so.
    Limits,
    /// When its one consumer has settled it.
    WorkQueue,
}

/// What a full stream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It refuses new messages: what was acknowledged stays.
    RefuseNew,
    /// It drops the oldest.
    DropOldest,
}

/// Whether message ids are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// A repeated id is dropped for this long.
    Window(Duration),
    /// Ids mean nothing here: a copy holds what its origin holds.
    Ignored,
}

/// Whether a publisher may have several messages stored together, in its order, or not at all
/// (NATS ADR-50).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    /// Every message stands for itself.
    Refused,
    /// One synced write for all of a batch.
    Taken,
}

/// What may be taken out of a stream by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// Old messages, once they are archived; never single ones.
    Purge,
    /// Nothing, by nobody.
    Never,
    /// What a bucket does: a newer value replaces the older ones.
    RollUp,
}

/// Where the messages of a stream come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The origin's stream.
    pub stream: String,
    /// Prefix under which the origin's JetStream API is reached, e.g. `$JS.n1.API`.
    pub api: String,
    /// How the messages get here.
    pub pull: Pull,
}

/// How a stream gets the messages of its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Through a durable consumer that the origin has declared (NATS ADR-60): the reader may do
    /// nothing but ask for its own position, and awakes within seconds of a break.
    Durable {
        /// The consumer.
        consumer: String,
        /// Where it delivers.
        deliver: String,
    },
    /// Through a consumer that the reading server makes under a random name.
    Ephemeral {
        /// Prefix of where it delivers.
        deliver: String,
        /// The subjects taken; all if absent.
        filter: Option<String>,
    },
}

/// A rule that rewrites subjects (NATS ADR-36).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transform {
    /// Subjects that it applies to.
    pub from: String,
    /// What they become.
    pub to: String,
}

impl Transform {
    pub(crate) fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self { from: from.into(), to: to.into() }
    }
}

/// A durable consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The stream that it reads.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// Why it exists; stored as its description, unless workers make it anew.
    pub why: &'static str,
    /// The subjects it reads; all if empty.
    pub filters: Vec<String>,
    /// Who reads through it.
    pub reader: Reader,
}

/// Who reads through a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Workers that pull and settle each message; a worker that takes over makes it anew.
    Workers,
    /// Another stream, to which it pushes; settled by flow control once the messages are stored
    /// there (NATS ADR-60).
    Stream {
        /// Where it delivers.
        deliver: String,
    },
}

impl Topology {
    /// Bytes that the server must be able to reserve for the bounded streams; the others take what
    /// the disk has.
    pub fn reserved_bytes(&self) -> u64 {
        self.streams.iter().filter_map(|stream| stream.max_bytes).sum()
    }

    /// The streams that no other stream feeds, with their consumers.
    #[must_use]
    pub fn origins(mut self) -> Self {
        self.streams.retain(|stream| stream.mirror.is_none());
        let streams = &self.streams;
        self.consumers.retain(|one| streams.iter().any(|stream| stream.name == one.stream));
        self
    }
}

impl Stream {
    /// The configuration as the server takes it: every option that we rely on, also those that we
    /// rely on not being set.
    pub fn config(&self) -> Map<String, Value> {
        let window = match self.duplicates {
            Duplicates::Window(window) => nanos(window),
            Duplicates::Ignored => json!(0),
        };
        object(json!({
            "name": self.name,
            "description": self.why,
            "subjects": self.subjects,
            "subject_transform": self.transform.as_ref().map(transform_config),
            "mirror": self.mirror.as_ref().map(source_config),
            "sources": [],
            "retention": match self.retention {
                Retention::Limits => "limits",
                Retention::WorkQueue => "workqueue",
            },
            "discard": match self.when_full {
                WhenFull::RefuseNew => "new",
                WhenFull::DropOldest => "old",
            },
            "max_age": self.max_age.map_or(json!(0), nanos),
            "max_bytes": self.max_bytes.map_or(json!(-1), |bytes| json!(bytes)),
            "max_msg_size": self.max_message_bytes.map_or(json!(-1), |bytes| json!(bytes)),
            "max_msgs_per_subject": self.max_per_subject.map_or(json!(-1), |most| json!(most)),
            "max_msgs": -1,
            "max_consumers": -1,
            "duplicate_window": window,
            "storage": "file",
            "num_replicas": self.replicas,
            "no_ack": false,
            "sealed": false,
            "deny_delete": true,
            "deny_purge": self.erasure == Erasure::Never,
            "allow_rollup_hdrs": self.erasure == Erasure::RollUp,
            "allow_direct": true,
            "mirror_direct": false,
            "allow_msg_ttl": false,
            "allow_atomic": self.batches == Batches::Taken,
            "republish": null,
            "persist_mode": null,
        }))
    }
}

impl Consumer {
    /// The configuration as the server takes it.
    ///
    /// Of a consumer of workers it names only what every worker must agree on; how long an
    /// acknowledgement may take and how many messages are under way is the runtime's choice.
    pub fn config(&self) -> Map<String, Value> {
        let (filter, filters) = match self.filters.as_slice() {
            [one] => (json!(one), json!([])),
            many => (Value::Null, json!(many)),
        };
        let mut config = object(json!({
            "durable_name": self.name,
            "name": self.name,
            "deliver_policy": "all",
            "replay_policy": "instant",
            "filter_subject": filter,
            "filter_subjects": filters,
            "max_deliver": -1,
        }));
        config.extend(object(match &self.reader {
            Reader::Workers => json!({ "ack_policy": "explicit", "deliver_subject": null }),
            Reader::Stream { deliver } => json!({
                "description": self.why,
                "ack_policy": "flow_control",
                "deliver_subject": deliver,
                "flow_control": true,
                "idle_heartbeat": nanos(HEARTBEAT),
                "max_ack_pending": FLOW_CONTROL_WINDOW,
            }),
        }));
        config
    }
}

/// The only heartbeat that the server accepts for a consumer settled by flow control.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Most messages of a consumer settled by flow control that are under way at once: 10 000 batches
/// of 256 shares would be 460 MB, but the server holds back at 32 MB of bytes anyway.
const FLOW_CONTROL_WINDOW: u32 = 10_000;

fn source_config(source: &Source) -> Value {
    let (filter, deliver, consumer) = match &source.pull {
        Pull::Durable { consumer, deliver } => {
            (Value::Null, "", json!({ "name": consumer, "deliver_subject": deliver }))
        }
        Pull::Ephemeral { deliver, filter } => (json!(filter), deliver.as_str(), Value::Null),
    };
    json!({
        "name": source.stream,
        "filter_subject": filter,
        "external": { "api": source.api, "deliver": deliver },
        "consumer": consumer,
        "subject_transforms": [],
    })
}

fn transform_config(transform: &Transform) -> Value {
    json!({ "src": transform.from, "dest": transform.to })
}

fn nanos(duration: Duration) -> Value {
    json!(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
