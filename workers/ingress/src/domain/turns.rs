//! The order of tips, as Core counts it: shares of a lane are taken in this order only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use subjects::{BlockHash, ProviderId};

/// Tips that are remembered; what is older cannot become current again.
const MAX_TIPS: usize = 64;

/// When each tip was last the newest; turns are counted from 1.
#[derive(Debug, Default)]
pub struct Turns {
    newest: u64,
    tips: BTreeMap<BlockHash, Tip>,
    /// Oldest first.
    arrivals: VecDeque<BlockHash>,
}

#[derive(Debug)]
struct Tip {
    turn: u64,
    announced_by: BTreeSet<ProviderId>,
}

impl Turns {
    /// Hears that `provider`, which stood on `stood`, announces `tip`.
    ///
    /// A tip takes its turn when it is announced first, and again when a provider returns to it:
    /// then a reorganisation was undone. A provider that is merely slow gives no turn to what
    /// others have left behind.
    pub fn hear(&mut self, provider: &ProviderId, stood: Option<BlockHash>, tip: BlockHash) {
        match self.tips.get_mut(&tip) {
            None => self.first(provider, tip),
            Some(known) => {
                let elsewhere = stood.is_some_and(|stood| stood != tip);
                let returns = known.announced_by.contains(provider) && elsewhere;
                if returns && known.turn != self.newest {
                    self.newest += 1;
                    known.turn = self.newest;
                }
                known.announced_by.insert(provider.clone());
            }
        }
    }

    fn first(&mut self, provider: &ProviderId, tip: BlockHash) {
        self.newest += 1;
        let announced_by = BTreeSet::from([provider.clone()]);
        self.tips.insert(tip, Tip { turn: self.newest, announced_by });
        self.arrivals.push_back(tip);
        if self.arrivals.len() > MAX_TIPS
            && let Some(oldest) = self.arrivals.pop_front()
        {
            self.tips.remove(&oldest);
        }
    }

    /// When a tip was last the newest; 0 for one that is not remembered.
    pub fn of(&self, tip: BlockHash) -> u64 {
        self.tips.get(&tip).map_or(0, |tip| tip.turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(name: &str) -> ProviderId {
        name.parse().unwrap()
    }

    const fn tip(byte: u8) -> BlockHash {
        BlockHash([byte; 32])
    }

    #[test]
    fn a_slow_provider_gives_no_turn_to_what_others_left() {
        let (fast, slow, mut turns) = (provider("fast"), provider("slow"), Turns::default());
        turns.hear(&fast, None, tip(1));
        turns.hear(&fast, Some(tip(1)), tip(2));
        turns.hear(&slow, None, tip(1));
        assert_eq!((turns.of(tip(1)), turns.of(tip(2)), turns.of(tip(9))), (1, 2, 0));
    }

    #[test]
    fn a_provider_that_returns_to_a_tip_gives_it_another_turn() {
        let (one, mut turns) = (provider("one"), Turns::default());
        turns.hear(&one, None, tip(1));
        turns.hear(&one, Some(tip(1)), tip(2));
        turns.hear(&one, Some(tip(2)), tip(1));
        assert_eq!((turns.of(tip(1)), turns.of(tip(2))), (3, 2));
        turns.hear(&one, Some(tip(1)), tip(1));
        assert_eq!(turns.of(tip(1)), 3);
    }

    #[test]
    fn old_tips_are_forgotten() {
        let (one, mut turns) = (provider("one"), Turns::default());
        for byte in 0..=64 {
            turns.hear(&one, None, tip(byte));
        }
        assert_eq!((turns.of(tip(0)), turns.of(tip(1)), turns.of(tip(64))), (0, 2, 65));
        assert_eq!(turns.tips.len(), MAX_TIPS);
    }
}
