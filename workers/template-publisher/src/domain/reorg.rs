//! Blocks that were on the chain and no longer are.

use subjects::BlockHash;

/// Depth from which a person must look: one block off is an every-week event, two are not.
const ALARMING_DEPTH: u32 = 2;

/// Deepest reorganisation that is measured block by block; its depth is then "at least".
pub const MAX_DEPTH: u32 = 1_000;

/// A tip took the place of blocks that it does not build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorg {
    /// The tip before.
    pub old_tip: BlockHash,
    /// The tip now.
    pub new_tip: BlockHash,
    /// Blocks that are off the chain.
    pub depth: u32,
}

impl Reorg {
    /// Whether a person must look.
    pub const fn is_alarming(&self) -> bool {
        self.depth >= ALARMING_DEPTH
    }

    /// The depth as a metric's label, of which there are few.
    pub const fn depth_label(&self) -> &'static str {
        match self.depth {
            0 | 1 => "1",
            2 => "2",
            3..=5 => "3-5",
            6..=99 => "6-99",
            _ => "100+",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_two_blocks_on_a_person_looks() {
        let reorg = |depth| {
            let (old_tip, new_tip) = (BlockHash([1; 32]), BlockHash([2; 32]));
            Reorg { old_tip, new_tip, depth }
        };
        let alarms =
            [1, 2, 6].map(|depth| (reorg(depth).is_alarming(), reorg(depth).depth_label()));
        assert_eq!(alarms, [(false, "1"), (true, "2"), (true, "6-99")]);
    }
}
