//! Which node a lane belongs to.

use std::collections::BTreeMap;
use subjects::{Lane, NodeId};

/// Lanes of Core's own ingress, by rule.
const LANES_OF_CORE: std::ops::RangeInclusive<u16> = 1..=255;

/// Owners of lanes, as registered.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<Lane, NodeId>);

/// Whether a node may submit on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The lane is the node's.
    Own,
    /// It is another's.
    Foreign,
    /// It is nobody's, as far as is known.
    Unregistered,
}

impl Owners {
    pub(super) fn hear(&mut self, lane: Lane, owner: Option<NodeId>) {
        match owner {
            Some(owner) => self.0.insert(lane, owner),
            None => self.0.remove(&lane),
        };
    }

    pub(super) fn ownership(&self, node: &NodeId, lane: Lane) -> Ownership {
        if LANES_OF_CORE.contains(&lane.0) {
            return if *node == NodeId::core() { Ownership::Own } else { Ownership::Foreign };
        }
        match self.0.get(&lane) {
            Some(owner) if owner == node => Ownership::Own,
            Some(_) => Ownership::Foreign,
            None => Ownership::Unregistered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_lanes_are_cores_and_others_are_whose_they_were_registered() {
        let node: NodeId = "n1".parse().unwrap();
        let mut owners = Owners::default();
        owners.hear(Lane(300), Some(node.clone()));
        owners.hear(Lane(7), Some(node.clone()));
        assert_eq!(owners.ownership(&node, Lane(300)), Ownership::Own);
        assert_eq!(owners.ownership(&NodeId::core(), Lane(300)), Ownership::Foreign);
        assert_eq!(owners.ownership(&node, Lane(7)), Ownership::Foreign);
        assert_eq!(owners.ownership(&NodeId::core(), Lane(7)), Ownership::Own);
        assert_eq!(owners.ownership(&NodeId::core(), Lane(0)), Ownership::Unregistered);
        owners.hear(Lane(300), None);
        assert_eq!(owners.ownership(&node, Lane(300)), Ownership::Unregistered);
    }
}
