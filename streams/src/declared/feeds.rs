//! How mirrors get their messages from another account or server.
//!
//! Every crossing is one [`Feed`]. What goes the other way, from the leaves to Core, a worker
//! carries: what a hostile leaf says must not reach the hub's own server as its consumer.
//! The reading stream's source, the origin's consumer, the exports
//! and imports of the accounts and the permissions of the leaf link all derive from it, so that
//! they cannot disagree.

use crate::{
    Account, names,
    topology::{Consumer, Pull, Reader, Source},
};
use subjects::NodeId;

/// A stream that another stream reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    /// The stream that is read.
    pub(crate) origin: &'static str,
    /// Where it is, and who reads.
    pub(crate) via: Via,
    /// The origin's consumer; a reader that makes its own has none.
    pub(crate) consumer: Option<String>,
    /// Where the messages are delivered; for a reader that makes its own consumer a prefix.
    pub(crate) deliver: String,
    /// What is taken; all if absent.
    pub(crate) filter: Option<&'static str>,
}

/// What a feed crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// The link of a leaf, towards the leaf.
    Down(String),
    /// The border between two accounts of the hub.
    Border {
        /// Whose stream is read.
        from: Account,
        /// Who reads.
        to: Account,
    },
}

impl Feed {
    /// What the leaf of `node` takes from the hub.
    fn down(node: &str, origin: &'static str) -> Self {
        Self {
            origin,
            via: Via::Down(node.to_owned()),
            consumer: Some(node.to_owned()),
            deliver: format!("node.feed.{node}.{origin}"),
            filter: None,
        }
    }

    /// What one account of the hub takes from another's stream, for its own stream `into`.
    fn border(from: Account, origin: &'static str, to: Account, into: &str) -> Self {
        Self {
            origin,
            via: Via::Border { from, to },
            consumer: Some(into.to_owned()),
            deliver: format!("sync.{}.{into}", to.token()),
            filter: None,
        }
    }

    /// The same, through a consumer that the reading server makes under a random name: where
    /// strangers may make consumers of their own, a known place of delivery could be forged.
    fn unnamed(self) -> Self {
        Self { consumer: None, ..self }
    }

    fn only(self, filter: &'static str) -> Self {
        Self { filter: Some(filter), ..self }
    }

    /// Prefix of the origin's JetStream API as the reader sees it.
    pub(crate) fn api(&self) -> String {
        match &self.via {
            Via::Down(_) => format!("$JS.{HUB_DOMAIN}.API"),
            Via::Border { from, .. } => format!("$JS.{from}.API"),
        }
    }

    /// The reading stream's side.
    pub(crate) fn source(self) -> Source {
        Source {
            stream: self.origin.to_owned(),
            api: self.api(),
            pull: match self.consumer {
                Some(consumer) => Pull::Durable { consumer, deliver: self.deliver },
                None => Pull::Ephemeral {
                    deliver: self.deliver,
                    filter: self.filter.map(str::to_owned),
                },
            },
        }
    }

    /// The origin's side.
    pub(crate) fn consumer(&self, why: &'static str) -> Option<Consumer> {
        Some(Consumer {
            stream: self.origin.to_owned(),
            name: self.consumer.clone()?,
            why,
            filters: self.filter.into_iter().map(str::to_owned).collect(),
            reader: Reader::Stream { deliver: self.deliver.clone() },
        })
    }
}

/// The hub's JetStream domain.
pub(crate) const HUB_DOMAIN: &str = "core";

/// What crosses the borders between accounts, in the order in which a share meets it.
pub(crate) fn border_feeds() -> Vec<Feed> {
    std::iter::once(templates_to_nodes()).chain(to_data()).collect()
}

/// What one leaf takes from the hub.
pub(crate) fn templates_to_leaf(node: &str) -> Feed {
    Feed::down(node, names::TEMPLATES)
}

pub(crate) fn templates_to_nodes() -> Feed {
    // The consumer is named after its reader: DATA mirrors the same stream under the same name.
    let feed = Feed::border(Account::Core, names::TEMPLATES, Account::Nodes, names::TEMPLATES);
    Feed { consumer: Some(Account::Nodes.name().to_owned()), ..feed }
}

/// What DATA mirrors: the public record, and of MONEY nothing but the signed statements.
pub(crate) fn to_data() -> [Feed; 5] {
    let from_core =
        |stream: &'static str| Feed::border(Account::Core, stream, Account::Data, stream).unnamed();
    [
        from_core(names::TEMPLATES),
        from_core(names::SHARES),
        from_core(names::BLOCKS),
        from_core(names::ROUNDS),
        Feed::border(Account::Money, names::PAYOUTS, Account::Data, names::PAYOUTS)
            .unnamed()
            .only("payouts.statement.>"),
    ]
}

/// Subjects of a leaf's streams: what its ingress and its agent say under the node's own name.
pub(crate) fn leaf_subjects(node: &NodeId, stream: &str) -> Vec<String> {
    let of_stream = names::UPLINK.iter().filter(|said| said.kept_in == stream);
    of_stream.map(|said| own(said.filter, node)).collect()
}

/// A payload's filter with the node, which is always the first wildcard, filled in.
pub(crate) fn own(filter: &str, node: &NodeId) -> String {
    filter.replacen('*', node.as_str(), 1)
}
