//! Who appears in a batch: each once, so that the book looks up keys instead of repeating text.

use std::collections::BTreeMap;
use subjects::{MinerId, NodeId};

/// Position of a node in its [`Parties`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIndex(pub usize);

/// Position of a miner in its [`Parties`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinerIndex(pub usize);

/// Position of a worker in its [`Parties`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WorkerIndex(pub usize);

/// The nodes, miners and workers that a batch's rows refer to by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    nodes: Vec<NodeId>,
    miners: Vec<(MinerId, String)>,
    workers: Vec<(MinerIndex, String)>,
    node_index: BTreeMap<NodeId, NodeIndex>,
    miner_index: BTreeMap<MinerId, MinerIndex>,
    worker_index: BTreeMap<(MinerIndex, String), WorkerIndex>,
}

impl Parties {
    /// Nodes by position.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Miners by position, each with its canonical identity.
    pub fn miners(&self) -> &[(MinerId, String)] {
        &self.miners
    }

    /// Workers by position, each with its miner.
    pub fn workers(&self) -> &[(MinerIndex, String)] {
        &self.workers
    }

    /// The position of a node, which is given one if it has none.
    pub fn node(&mut self, node: &NodeId) -> NodeIndex {
        if let Some(index) = self.node_index.get(node) {
            return *index;
        }
        let index = NodeIndex(self.nodes.len());
        self.nodes.push(node.clone());
        self.node_index.insert(node.clone(), index);
        index
    }

    /// The position of a miner, which is given one if it has none.
    pub fn miner(&mut self, miner: &MinerId, identity: &str) -> MinerIndex {
        if let Some(index) = self.miner_index.get(miner) {
            return *index;
        }
        let index = MinerIndex(self.miners.len());
        self.miners.push((miner.clone(), plain(identity)));
        self.miner_index.insert(miner.clone(), index);
        index
    }

    /// The position of a miner's worker, which is given one if it has none.
    pub fn worker(&mut self, miner: MinerIndex, name: &str) -> WorkerIndex {
        let key = (miner, plain(name));
        if let Some(index) = self.worker_index.get(&key) {
            return *index;
        }
        let index = WorkerIndex(self.workers.len());
        self.workers.push(key.clone());
        self.worker_index.insert(key, index);
        index
    }
}

/// Text as a database can hold it: PostgreSQL's `text` has no NUL.
pub(super) fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_one_position() {
        let mut parties = Parties::default();
        let one = MinerId::new(vec![1]).unwrap();
        let two = MinerId::new(vec![2]).unwrap();
        let first = parties.miner(&one, "one");
        assert_eq!(parties.miner(&two, "two"), MinerIndex(1));
        assert_eq!(parties.miner(&one, "one"), first);
        assert_eq!(parties.worker(first, "rig"), parties.worker(first, "rig"));
        assert_ne!(parties.worker(first, "rig"), parties.worker(MinerIndex(1), "rig"));
        assert_eq!(parties.workers().len(), 2);
        assert_eq!(parties.node(&NodeId::core()), parties.node(&NodeId::core()));
    }

    #[test]
    fn a_name_that_a_database_cannot_hold_is_made_harmless() {
        let mut parties = Parties::default();
        let miner = parties.miner(&MinerId::new(vec![1]).unwrap(), "one");
        parties.worker(miner, "r\0g");
        assert_eq!(parties.workers()[0].1, "r\u{fffd}g");
    }
}
