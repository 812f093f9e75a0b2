//! What has to be known of a network before it can be declared.

use std::{collections::BTreeMap, fmt};
use subjects::{Lane, NodeId};

/// Lanes up to this one belong to Core's own ingresses.
pub const LAST_LANE_OF_CORE: Lane = Lane(255);

/// A part of the bus with its own users and streams; accounts see nothing of each other but what
/// is exported to them by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Account {
    /// Leaves live here and touch nothing else; whatever is in it is hostile until verified.
    Nodes,
    /// Where decisions are made.
    Core,
    /// Statements, payments and the audit log.
    Money,
    /// Public mirrors for data teams.
    Data,
    /// The servers' own account: account claims are pushed here.
    Sys,
}

impl Account {
    /// All accounts, in the order in which a share meets them.
    pub const ALL: [Self; 5] = [Self::Nodes, Self::Core, Self::Money, Self::Data, Self::Sys];

    /// The account's name, as in server logs and `nsc`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nodes => "NODES",
            Self::Core => "CORE",
            Self::Money => "MONEY",
            Self::Data => "DATA",
            Self::Sys => "SYS",
        }
    }

    /// The name as a subject token.
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Core => "core",
            Self::Money => "money",
            Self::Data => "data",
            Self::Sys => "sys",
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Hyper Node as Core knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id; also the name of its JetStream domain and of its NATS user.
    pub id: NodeId,
    /// The lanes that were given to it, for ever.
    pub lanes: Vec<Lane>,
}

/// The nodes of a network, and how many servers keep its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    nodes: Vec<Node>,
    replicas: u8,
}

/// The nodes do not make a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// The id stands for Core's own ingresses or for a JetStream domain that exists.
    #[error("a node cannot be called `{0}`")]
    ReservedId(NodeId),
    /// Two nodes with one id.
    #[error("node `{0}` is there twice")]
    SameId(NodeId),
    /// A lane of Core.
    #[error("node `{node}` cannot have lane {lane}: lanes up to {LAST_LANE_OF_CORE} are Core's")]
    LaneOfCore {
        /// Who wants it.
        node: NodeId,
        /// Which lane.
        lane: Lane,
    },
    /// Two nodes with one lane.
    #[error("lane {lane} is given to `{first}` and to `{second}`")]
    SameLane {
        /// Which lane.
        lane: Lane,
        /// Who has it.
        first: NodeId,
        /// Who wants it too.
        second: NodeId,
    },
}

impl Network {
    /// A network whose hub is one server.
    ///
    /// # Errors
    /// When ids or lanes collide with each other or with Core's.
    pub fn new(mut nodes: Vec<Node>) -> Result<Self, InvalidNetwork> {
        nodes.sort_by(|one, other| one.id.cmp(&other.id));
        let mut owners = BTreeMap::new();
        let mut last = None;
        for node in &nodes {
            if Account::ALL.iter().any(|account| account.token() == node.id.as_str()) {
                return Err(InvalidNetwork::ReservedId(node.id.clone()));
            }
            if last.replace(&node.id) == Some(&node.id) {
                return Err(InvalidNetwork::SameId(node.id.clone()));
            }
            for lane in &node.lanes {
                claim(&mut owners, node, *lane)?;
            }
        }
        Ok(Self { nodes, replicas: 1 })
    }

    /// The same network on a hub of `replicas` servers, each with every stream.
    #[must_use]
    pub fn replicated(self, replicas: u8) -> Self {
        Self { replicas, ..self }
    }

    /// The nodes, by id.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many servers keep each stream of the hub.
    pub fn replicas(&self) -> u8 {
        self.replicas
    }
}

fn claim<'a>(
    owners: &mut BTreeMap<Lane, &'a NodeId>,
    node: &'a Node,
    lane: Lane,
) -> Result<(), InvalidNetwork> {
    if lane <= LAST_LANE_OF_CORE {
        return Err(InvalidNetwork::LaneOfCore { node: node.id.clone(), lane });
    }
    match owners.insert(lane, &node.id) {
        Some(first) if *first != node.id => {
            Err(InvalidNetwork::SameLane { lane, first: first.clone(), second: node.id.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, lanes: &[u16]) -> Node {
        Node { id: id.parse().unwrap(), lanes: lanes.iter().copied().map(Lane).collect() }
    }

    #[test]
    fn nodes_are_kept_in_order() {
        let network = Network::new(vec![node("n2", &[300]), node("n1", &[256, 257])]).unwrap();
        let ids: Vec<_> = network.nodes().iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["n1", "n2"]);
    }

    #[test]
    fn collisions_are_refused_by_name() {
        let refusal = |nodes| Network::new(nodes).unwrap_err().to_string();
        assert_eq!(refusal(vec![node("core", &[])]), "a node cannot be called `core`");
        assert_eq!(refusal(vec![node("n1", &[]), node("n1", &[])]), "node `n1` is there twice");
        assert_eq!(
            refusal(vec![node("n1", &[255])]),
            "node `n1` cannot have lane 255: lanes up to 255 are Core's"
        );
        assert_eq!(
            refusal(vec![node("n1", &[256]), node("n2", &[256])]),
            "lane 256 is given to `n1` and to `n2`"
        );
    }
}
