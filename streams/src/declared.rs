//! Every stream of the network, in the order in which a share meets them.

mod buckets;
mod core;
mod data;
mod feeds;
mod leaf;
mod money;
mod nodes;

pub use leaf::leaf;

pub(crate) use feeds::{Feed, HUB_DOMAIN, Via, border_feeds, templates_to_leaf};

use crate::{
    Account, Network,
    topology::{Batches, Duplicates, Erasure, Retention, Stream, Topology, WhenFull},
};
use std::time::Duration;

/// What must exist in `account` on the hub.
pub fn declared(account: Account, network: &Network) -> Topology {
    let mut topology = match account {
        Account::Nodes => nodes::nodes(network),
        Account::Core => core::core(),
        Account::Money => money::money(),
        Account::Data => data::data(),
        Account::Sys => Topology::default(),
    };
    for stream in &mut topology.streams {
        stream.replicas = network.replicas();
    }
    topology
}

/// Bytes that the hub must be able to reserve for the bounded streams of all its accounts.
pub fn reserved_bytes(network: &Network) -> u64 {
    let of_account = |account| declared(account, network).reserved_bytes();
    Account::ALL.into_iter().map(of_account).sum()
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// How long a repeated message id is dropped where one party publishes: longer than any publisher
/// retries, and at 200 bytes an id no burden (ids are per batch, not per share).
const RETRIES: Duration = Duration::from_secs(10 * 60);

/// The same where something else knows repetitions, and many messages come: five times as long as
/// an answer is awaited.
const LOST_ANSWERS: Duration = Duration::from_secs(10);

/// How long verification may stand still before unverified shares start to go. Two days outlast a
/// weekend's outage; a share is worth something for six tips only, about an hour.
const OUTAGE: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// How long a node may be cut off before what it acknowledged starts to go. With the bytes of its
/// buffer this also bounds its rate, because what the hub has already taken leaves by age alone:
/// 16 GiB a day are 1 100 shares a second, the miners of ten thousand machines.
const CUT_OFF: Duration = DAY;

/// Largest message of a node: 256 shares have about 50 kB, a claim 35 kB.
const NODE_MESSAGE_BYTES: u32 = crate::names::NODE_MESSAGE_BYTES;

impl Stream {
    /// A stream that keeps all, for ever, in messages of the server's limit.
    fn new(name: impl Into<String>, why: &'static str) -> Self {
        Self {
            name: name.into(),
            why,
            subjects: Vec::new(),
            transform: None,
            mirror: None,
            retention: Retention::Limits,
            when_full: WhenFull::RefuseNew,
            max_age: None,
            max_bytes: None,
            max_message_bytes: None,
            max_per_subject: None,
            duplicates: Duplicates::Window(RETRIES),
            batches: Batches::Refused,
            erasure: Erasure::Purge,
            replicas: 1,
        }
    }

    fn of<S: Into<String>>(self, subjects: impl IntoIterator<Item = S>) -> Self {
        Self { subjects: subjects.into_iter().map(Into::into).collect(), ..self }
    }

    fn mirroring(self, feed: Feed) -> Self {
        Self { mirror: Some(feed.source()), duplicates: Duplicates::Ignored, ..self }
    }

    fn in_batches(self) -> Self {
        Self { batches: Batches::Taken, ..self }
    }

    fn bounded(self, max_age: Duration, max_bytes: u64, when_full: WhenFull) -> Self {
        Self { max_age: Some(max_age), max_bytes: Some(max_bytes), when_full, ..self }
    }

    fn never_erased(self) -> Self {
        Self { erasure: Erasure::Never, ..self }
    }
}
