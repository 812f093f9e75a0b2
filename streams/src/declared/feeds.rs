//! How messages cross from one account or server to the next.
//!
//! Every crossing is one [`Feed`]. The reading stream's source, the origin's consumer, the exports
//! and imports of the accounts and the permissions of the leaf link all derive from it, so that
//! they cannot disagree.

use crate::{
    Account, names,
    topology::{Consumer, Pull, Reader, Source, Transform},
};
use subjects::{NodeId, Payload, blocks, sessions, shares};

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
    /// What is taken, and what its subjects become.
    pub(crate) transforms: Vec<Transform>,
    /// What is taken, unchanged; all if this and `transforms` are empty.
    pub(crate) filter: Option<&'static str>,
}

/// What a feed crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// The link of a leaf, towards the hub.
    Up(String),
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
    /// What the hub takes from the leaf of `node`: everything, with the node's name put in front.
    ///
    /// A leaf can claim any subject for a message that it delivers, so the subject must not say
    /// who sent it; the link does, and the hub writes it down before it stores the message.
    fn up(node: &str, origin: &'static str, into: &'static str) -> Self {
        Self {
            origin,
            via: Via::Up(node.to_owned()),
            // Named after the node, so that no other may hear what is said to it.
            consumer: Some(node.to_owned()),
            deliver: format!("node.sync.{node}.{into}"),
            transforms: vec![Transform::new(">", format!("in.{node}.>"))],
            filter: None,
        }
    }

    /// What the leaf of `node` takes from the hub.
    fn down(node: &str, origin: &'static str) -> Self {
        Self {
            origin,
            via: Via::Down(node.to_owned()),
            consumer: Some(node.to_owned()),
            deliver: format!("node.feed.{node}.{origin}"),
            transforms: Vec::new(),
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
            transforms: Vec::new(),
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

    fn renaming(self, transforms: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        let transforms = transforms.into_iter().map(|(from, to)| Transform::new(from, to));
        Self { transforms: transforms.collect(), ..self }
    }

    /// Prefix of the origin's JetStream API as the reader sees it.
    pub(crate) fn api(&self) -> String {
        match &self.via {
            Via::Up(node) => format!("$JS.{node}.API"),
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
            transforms: self.transforms,
        }
    }

    /// The origin's side.
    pub(crate) fn consumer(&self, why: &'static str) -> Option<Consumer> {
        let taken = self.transforms.iter().map(|transform| transform.from.as_str());
        let filters = taken.chain(self.filter).filter(|filter| *filter != ">");
        Some(Consumer {
            stream: self.origin.to_owned(),
            name: self.consumer.clone()?,
            why,
            filters: filters.map(str::to_owned).collect(),
            reader: Reader::Stream { deliver: self.deliver.clone() },
        })
    }
}

/// The hub's JetStream domain.
pub(crate) const HUB_DOMAIN: &str = "core";

/// What crosses the link of one leaf.
pub(crate) fn link_feeds(node: &str) -> [Feed; 3] {
    let Up { shares, facts } = up(node);
    [templates_to_leaf(node), shares, facts]
}

/// What crosses the borders between accounts, in the order in which a share meets it.
pub(crate) fn border_feeds() -> Vec<Feed> {
    let mut feeds = vec![templates_to_nodes()];
    feeds.extend([shares_to_core(), claims_to_core(), telemetry_to_core(), events_to_core()]);
    feeds.extend(to_data());
    feeds
}

/// What one leaf takes from the hub.
pub(crate) fn templates_to_leaf(node: &str) -> Feed {
    Feed::down(node, names::TEMPLATES)
}

/// What the hub takes from one leaf.
pub(crate) struct Up {
    /// Shares.
    pub(crate) shares: Feed,
    /// All else.
    pub(crate) facts: Feed,
}

/// What the hub takes from the leaf of `node`.
pub(crate) fn up(node: &str) -> Up {
    Up {
        shares: Feed::up(node, names::OUT_SHARES, names::IN_SHARES),
        facts: Feed::up(node, names::OUT_FACTS, names::IN_FACTS),
    }
}

pub(crate) fn templates_to_nodes() -> Feed {
    // The consumer is named after its reader: DATA mirrors the same stream under the same name.
    let feed = Feed::border(Account::Core, names::TEMPLATES, Account::Nodes, names::TEMPLATES);
    Feed { consumer: Some(Account::Nodes.name().to_owned()), ..feed }
}

fn into_core(origin: &'static str, into: &'static str) -> Feed {
    Feed::border(Account::Nodes, origin, Account::Core, into)
}

// In all of these the first wildcard is the node that the hub wrote down, the second the node that
// the message claims; the claim is dropped.

pub(crate) fn shares_to_core() -> Feed {
    into_core(names::IN_SHARES, names::SHARES_SUBMITTED).renaming([(
        "in.*.shares.submitted.*.*",
        "shares.submitted.{{wildcard(1)}}.{{wildcard(3)}}",
    )])
}

pub(crate) fn claims_to_core() -> Feed {
    into_core(names::IN_FACTS, names::BLOCK_CLAIMS)
        .renaming([("in.*.blocks.claimed.*", "blocks.claimed.{{wildcard(1)}}")])
}

pub(crate) fn telemetry_to_core() -> Feed {
    into_core(names::IN_FACTS, names::NODE_TELEMETRY).renaming([
        ("in.*.shares.rejected.*.*", "shares.rejected.{{wildcard(1)}}.{{wildcard(3)}}"),
        ("in.*.node.telemetry.*", "node.telemetry.{{wildcard(1)}}"),
    ])
}

pub(crate) fn events_to_core() -> Feed {
    into_core(names::IN_FACTS, names::NODE_EVENTS).renaming([
        ("in.*.sessions.*.*", "sessions.{{wildcard(1)}}.{{wildcard(3)}}"),
        ("in.*.node.event.*", "node.event.{{wildcard(1)}}"),
        ("in.*.node.command.done.*", "node.command.done.{{wildcard(1)}}"),
    ])
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
pub(crate) fn leaf_subjects(node: &NodeId) -> ([String; 1], [String; 6]) {
    (
        [own(shares::Submitted::FILTER, node)],
        [
            own(sessions::Changed::FILTER, node),
            own(shares::Rejected::FILTER, node),
            own(blocks::Claimed::FILTER, node),
            format!("node.telemetry.{node}"),
            format!("node.event.{node}"),
            format!("node.command.done.{node}"),
        ],
    )
}

/// A payload's filter with the node, which is always the first wildcard, filled in.
pub(crate) fn own(filter: &str, node: &NodeId) -> String {
    filter.replacen('*', node.as_str(), 1)
}
