//! What a user may do, and which subjects that takes.

use serde::Serialize;
use std::collections::BTreeSet;

/// The subjects that a user may publish to and subscribe to; everything else is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Permissions {
    /// May publish.
    pub publish: BTreeSet<String>,
    /// May subscribe.
    pub subscribe: BTreeSet<String>,
    /// May answer each request that it hears, once, wherever the answer goes.
    pub answers: bool,
}

/// One thing that a user may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// Publish these facts.
    Publish(String),
    /// Read a stream: its state, single messages, and all of it through consumers of its own.
    Read(&'static str),
    /// The same for strangers: with consumers that settle, and without deleting any; theirs go by
    /// themselves when idle.
    ReadOnly(&'static str),
    /// Read the messages of a stream that match a filter, through consumers with just that filter.
    ReadSome(&'static str, &'static str),
    /// Read a work queue through consumers with such a filter, settle its messages, and make those
    /// consumers anew at take-over.
    Work(&'static str, &'static str),
    /// Read a stream of every node's leaf, over the leaf's own link.
    ReadLeaves(&'static str),
    /// Read a bucket.
    ReadBucket(&'static str),
    /// Read a bucket and write the keys that match.
    WriteBucket(&'static str, String),
    /// Get objects.
    ReadObjects(&'static str),
    /// Get and put objects.
    WriteObjects(&'static str),
    /// Ask somebody by a core-NATS request.
    Request(&'static str),
    /// Answer core-NATS requests.
    Serve(&'static str),
    /// Declare streams and consumers, and look at them. Nothing may be deleted or purged.
    Declare,
    /// Push account claims to running servers, and look at their state.
    PushClaims,
}

impl Right {
    /// The permissions that a user with these rights needs, whose answers arrive under `inbox`.
    pub(crate) fn permissions(rights: &[Self], inbox: &str) -> Permissions {
        let mut permissions = Permissions::default();
        permissions.subscribe.insert(format!("{inbox}.>"));
        for right in rights {
            let (publish, subscribe) = right.subjects();
            permissions.publish.extend(publish);
            permissions.subscribe.extend(subscribe);
            permissions.answers |= matches!(right, Self::Serve(_));
        }
        permissions
    }

    /// What is asked of the leaf of `node` to read one of its streams in order.
    pub(super) fn read_leaf(node: &str, stream: &str) -> [String; 4] {
        [
            format!("$JS.{node}.API.STREAM.INFO.{stream}"),
            format!("$JS.{node}.API.CONSUMER.CREATE.{stream}.*"),
            format!("$JS.{node}.API.CONSUMER.MSG.NEXT.{stream}.*"),
            format!("$JS.{node}.API.CONSUMER.DELETE.{stream}.*"),
        ]
    }

    fn subjects(&self) -> (Vec<String>, Vec<String>) {
        let none = Vec::new;
        match self {
            Self::Publish(subject) => (vec![subject.clone()], none()),
            Self::Read(stream) => (read_and_tidy(stream), none()),
            Self::ReadOnly(stream) => {
                let mut publish = read(stream);
                publish.push(format!("$JS.ACK.{stream}.>"));
                (publish, none())
            }
            Self::ReadSome(stream, filter) => (read_some(stream, filter), none()),
            Self::Work(stream, filter) => (work(stream, filter), none()),
            Self::ReadLeaves(stream) => (Self::read_leaf("*", stream).into(), none()),
            Self::ReadBucket(bucket) => (read_and_tidy(&format!("KV_{bucket}")), none()),
            Self::WriteBucket(bucket, keys) => {
                let mut publish = read_and_tidy(&format!("KV_{bucket}"));
                publish.push(format!("$KV.{bucket}.{keys}"));
                (publish, none())
            }
            Self::ReadObjects(bucket) => (read_and_tidy(&format!("OBJ_{bucket}")), none()),
            Self::WriteObjects(bucket) => {
                let mut publish = read_and_tidy(&format!("OBJ_{bucket}"));
                publish.push(format!("$O.{bucket}.>"));
                // The client removes the chunks of an object that it replaces.
                publish.push(format!("$JS.API.STREAM.PURGE.OBJ_{bucket}"));
                (publish, none())
            }
            Self::Request(subject) => (vec![(*subject).to_owned()], none()),
            Self::Serve(subject) => (none(), vec![(*subject).to_owned()]),
            Self::Declare => (declare(), none()),
            Self::PushClaims => {
                let calls = ["$SYS.REQ.CLAIMS.UPDATE", "$SYS.REQ.SERVER.PING"];
                (calls.map(str::to_owned).into(), none())
            }
        }
    }
}

fn read(stream: &str) -> Vec<String> {
    vec![
        format!("$JS.API.STREAM.INFO.{stream}"),
        format!("$JS.API.STREAM.MSG.GET.{stream}"),
        format!("$JS.API.DIRECT.GET.{stream}"),
        format!("$JS.API.DIRECT.GET.{stream}.>"),
        format!("$JS.API.CONSUMER.CREATE.{stream}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
        format!("$JS.API.CONSUMER.INFO.{stream}.*"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
        // Flow control of consumers that push, which watchers of buckets and other clients use.
        format!("$JS.FC.{stream}.>"),
    ]
}

fn read_and_tidy(stream: &str) -> Vec<String> {
    let mut subjects = read(stream);
    subjects.push(format!("$JS.API.CONSUMER.DELETE.{stream}.*"));
    subjects
}

/// The server refuses a consumer whose filter is not the one in the request's subject.
fn read_some(stream: &str, filter: &str) -> Vec<String> {
    vec![
        format!("$JS.API.STREAM.INFO.{stream}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.*.{filter}"),
        format!("$JS.API.CONSUMER.INFO.{stream}.*"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
        format!("$JS.API.CONSUMER.DELETE.{stream}.*"),
    ]
}

fn work(stream: &str, filter: &str) -> Vec<String> {
    vec![
        format!("$JS.API.STREAM.INFO.{stream}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.*.{filter}"),
        format!("$JS.API.CONSUMER.DELETE.{stream}.*"),
        format!("$JS.API.CONSUMER.INFO.{stream}.*"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
        format!("$JS.ACK.{stream}.>"),
        // The form that later servers use (NATS ADR-15): domain and account come first.
        format!("$JS.ACK.*.*.{stream}.>"),
    ]
}

fn declare() -> Vec<String> {
    let api = [
        "INFO",
        "STREAM.CREATE.*",
        "STREAM.UPDATE.*",
        "STREAM.INFO.*",
        "STREAM.LIST",
        "STREAM.NAMES",
        "CONSUMER.CREATE.>",
        "CONSUMER.INFO.*.*",
        "CONSUMER.LIST.*",
        "CONSUMER.NAMES.*",
    ];
    api.map(|call| format!("$JS.API.{call}")).into()
}
