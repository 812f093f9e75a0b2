//! How every block of ours ended: confirmed, orphaned or refused, exactly one, ever.
//!
//! The state is rebuilt from the stream `BLOCKS`. A block is decided when the best chain is
//! `payout_confirmations` deep at its height: then either it is there, or another one is.

use super::answer::has_taken;
use std::{collections::BTreeMap, num::NonZeroU32};
use subjects::{
    BlockHash, ProviderId,
    blocks::{Answer, BlockResult, Outcome, Solved, Submitted},
};

/// Blocks beyond the deciding depth for which a decided block is still compared with the chain, in
/// multiples of that depth: who reorganises deeper than this has rewritten history.
const WATCHED_DEPTHS: u32 = 10;

/// A fact of the stream `BLOCKS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A block of ours.
    Solved(Solved),
    /// What one bitcoind said to it.
    Submitted(Submitted),
    /// How it ended.
    Outcome(Outcome),
}

/// The best chain, as one bitcoind sees it at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Height of its tip.
    pub tip_height: u32,
    /// Blocks at the heights that were asked for.
    pub blocks: BTreeMap<u32, BlockHash>,
}

/// All blocks of ours.
#[derive(Debug)]
pub struct Book {
    confirmations: NonZeroU32,
    open: BTreeMap<BlockHash, Open>,
    decided: BTreeMap<BlockHash, Decided>,
    /// Answers to blocks that were not heard of yet.
    early: BTreeMap<BlockHash, BTreeMap<ProviderId, Answer>>,
}

#[derive(Debug)]
struct Open {
    solved: Solved,
    answers: BTreeMap<ProviderId, Answer>,
}

#[derive(Clone, Copy, Debug)]
struct Decided {
    height: u32,
    result: BlockResult,
    /// Whether the chain was seen to say something else since.
    contradicted: bool,
}

/// The chain says something else than what was decided and may be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "block {hash} at height {height} was decided {result:?}, but the chain was reorganised \
     deeper than that"
)]
pub struct Contradiction {
    /// The block.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// What was decided.
    pub result: BlockResult,
}

impl Book {
    /// Decides at this depth.
    pub const fn new(confirmations: NonZeroU32) -> Self {
        Self {
            confirmations,
            open: BTreeMap::new(),
            decided: BTreeMap::new(),
            early: BTreeMap::new(),
        }
    }

    /// Hears a fact. Facts may come in any order and more than once.
    pub fn hear(&mut self, fact: Fact) {
        match fact {
            Fact::Solved(solved) => self.hear_solved(solved),
            Fact::Submitted(Submitted { hash, provider, answer, .. }) => {
                self.hear_answer(hash, provider, answer);
            }
            Fact::Outcome(Outcome { hash, height, result }) => {
                self.open.remove(&hash);
                self.early.remove(&hash);
                let decided = Decided { height, result, contradicted: false };
                self.decided.entry(hash).or_insert(decided);
            }
        }
    }

    /// Blocks without an outcome.
    pub fn open(&self) -> impl Iterator<Item = &Solved> {
        self.open.values().map(|open| &open.solved)
    }

    /// Blocks without an outcome, each with the block that it builds on, where every node of our
    /// chain knows that one. A block of ours may be known to nobody any more: it was never sent
    /// further before its bitcoind lost it. Then what it builds on stands for it.
    pub fn open_parents(&self) -> Vec<(BlockHash, BlockHash)> {
        let parent = |solved: &Solved| {
            let header = mining::Header::parse(solved.header.as_slice())?;
            Some((solved.hash, header.prevhash))
        };
        let parents = self.open().filter_map(parent);
        parents.filter(|(_, parent)| !self.may_be_lost(*parent)).collect()
    }

    /// Whether this is a block of ours that no chain is known to hold.
    fn may_be_lost(&self, hash: BlockHash) -> bool {
        let confirmed = |decided: &Decided| decided.result == BlockResult::Confirmed;
        self.open.contains_key(&hash) || self.decided.get(&hash).is_some_and(|one| !confirmed(one))
    }

    /// Whether the block has no outcome, and this provider's bitcoind gave no answer to it.
    pub fn awaits(&self, hash: BlockHash, provider: &ProviderId) -> bool {
        self.open.get(&hash).is_some_and(|open| !open.answers.contains_key(provider))
    }

    /// Whether the block has its outcome.
    pub fn is_decided(&self, hash: BlockHash) -> bool {
        self.decided.contains_key(&hash)
    }

    /// The heights at which the chain must be looked at, with a tip of this height: blocks that
    /// are due, and those whose outcome is still compared.
    pub fn heights(&self, tip_height: u32) -> Vec<u32> {
        let due = self.due(tip_height).map(|open| open.solved.height);
        let watched = self.watched(tip_height).map(|(_, decided)| decided.height);
        let mut heights: Vec<u32> = due.chain(watched).collect();
        heights.sort_unstable();
        heights.dedup();
        heights
    }

    /// The outcomes that this chain decides. Nothing changes by asking: an outcome counts when it
    /// is heard from the stream.
    pub fn decide(&self, chain: &Chain) -> Vec<Outcome> {
        let outcome = |open: &Open| {
            let Solved { hash, height, .. } = open.solved;
            let result = match chain.blocks.get(&height)? {
                there if *there == hash => BlockResult::Confirmed,
                _ if open.answers.values().any(|answer| has_taken(*answer)) => {
                    BlockResult::Orphaned
                }
                _ => BlockResult::Refused,
            };
            Some(Outcome { hash, height, result })
        };
        self.due(chain.tip_height).filter_map(outcome).collect()
    }

    /// Outcomes that this chain contradicts, each told once until the chain agrees again.
    pub fn compare(&mut self, chain: &Chain) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let watched: Vec<BlockHash> =
            self.watched(chain.tip_height).map(|(hash, _)| *hash).collect();
        for hash in watched {
            let Some(decided) = self.decided.get_mut(&hash) else { continue };
            let Decided { height, result, contradicted } = *decided;
            let Some(there) = chain.blocks.get(&height) else { continue };
            let agrees = (*there == hash) == (result == BlockResult::Confirmed);
            decided.contradicted = !agrees;
            if !agrees && !contradicted {
                found.push(Contradiction { hash, height, result });
            }
        }
        found
    }

    fn hear_solved(&mut self, solved: Solved) {
        let hash = solved.hash;
        if self.decided.contains_key(&hash) || self.open.contains_key(&hash) {
            return;
        }
        let answers = self.early.remove(&hash).unwrap_or_default();
        self.open.insert(hash, Open { solved, answers });
    }

    fn hear_answer(&mut self, hash: BlockHash, provider: ProviderId, answer: Answer) {
        if self.decided.contains_key(&hash) {
            return;
        }
        let answers = match self.open.get_mut(&hash) {
            Some(open) => &mut open.answers,
            None => self.early.entry(hash).or_default(),
        };
        // Once taken, always taken: a later answer knows no better.
        let known = answers.entry(provider).or_insert(answer);
        if !has_taken(*known) {
            *known = answer;
        }
    }

    fn due(&self, tip_height: u32) -> impl Iterator<Item = &Open> {
        self.open
            .values()
            .filter(move |open| depth(tip_height, open.solved.height) >= self.confirmations.get())
    }

    fn watched(&self, tip_height: u32) -> impl Iterator<Item = (&BlockHash, &Decided)> {
        let bound = self.confirmations.get().saturating_mul(WATCHED_DEPTHS);
        self.decided
            .iter()
            .filter(move |(_, decided)| (1..=bound).contains(&depth(tip_height, decided.height)))
    }
}

/// Blocks from this height to the tip, both included; 0 above the tip.
const fn depth(tip_height: u32, height: u32) -> u32 {
    match tip_height.checked_sub(height) {
        Some(above) => above.saturating_add(1),
        None => 0,
    }
}

#[cfg(test)]
mod tests;
