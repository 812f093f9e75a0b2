//! What is known of blocks and slices, and which block is due to be paid over which slices.
//!
//! Facts come in any order; what is due depends on the facts alone.

use crate::{
    coinbase::{CoinbaseError, Paid},
    slices::{Run, SliceError, Slices},
};
use std::collections::{BTreeMap, BTreeSet};
use subjects::{
    BlockHash, Timestamp,
    blocks::{BlockResult, Outcome, Solved},
    payouts::{RewardRule, StatementId},
    rounds::{SliceClosed, SolvingShare},
};

/// All facts that statements are made of, but the lines of slices.
#[derive(Clone, Debug)]
pub struct Book {
    rule: RewardRule,
    slices: Slices,
    blocks: BTreeMap<BlockHash, Block>,
    /// Slices that end with a block, and the share that solved it.
    endings: BTreeMap<u64, SolvingShare>,
    /// Slices whose block is confirmed.
    confirmed: BTreeSet<u64>,
    /// Slices whose block may be due: with `window` those of which something new was heard, with
    /// `round` all that are not settled, because the first of them holds up the others.
    queue: BTreeSet<u64>,
    /// Statements that existed when this worker started: they are not made again.
    stated: BTreeSet<StatementId>,
    /// Statements that this worker made: they are repeated when they are asked for.
    made: BTreeSet<StatementId>,
    /// Confirmed blocks without a statement.
    unstated: BTreeSet<BlockHash>,
}

/// What is known of a block, whoever said it first.
#[derive(Clone, Debug, Default)]
struct Block {
    solved: Option<Result<Paid, CoinbaseError>>,
    outcome: Option<Ending>,
    slice: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Ending {
    result: BlockResult,
    height: u32,
    said_at: Timestamp,
}

/// A confirmed block, everything that is known of it, and the slices that it pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The block and who found it.
    pub block: SolvingShare,
    /// What its coinbase holds.
    pub paid: Paid,
    /// The slices that it pays.
    pub run: Run,
    /// When the bus stored its outcome.
    pub said_at: Timestamp,
}

impl Due {
    /// The id of its statement.
    pub fn id(&self) -> StatementId {
        StatementId { height: self.block.height, revision: 0 }
    }
}

/// Whether a fact was news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It was.
    New,
    /// It was heard before, and is about this block.
    Again(BlockHash),
}

/// How a block of ours stands.
enum Standing {
    /// A fact is missing.
    Open,
    /// It pays nothing, or its statement exists.
    Settled,
    /// It is to be paid.
    Due(Box<Due>),
}

/// What must hold of the facts does not: payouts stop until a person has looked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// The slices do not continue one another.
    #[error(transparent)]
    Slice(#[from] SliceError),
    /// A confirmed block of ours holds a coinbase that is not ours.
    #[error("the coinbase of block {hash}: {source}")]
    Coinbase {
        /// The block.
        hash: BlockHash,
        /// What is wrong.
        source: CoinbaseError,
    },
    /// Facts about one block name different heights.
    #[error("block {0} has different heights in `blocks.solved`, `blocks.outcome` and its slice")]
    Height(BlockHash),
}

impl Book {
    /// An empty book.
    pub fn new(rule: RewardRule) -> Self {
        Self {
            rule,
            slices: Slices::default(),
            blocks: BTreeMap::new(),
            endings: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            queue: BTreeSet::new(),
            stated: BTreeSet::new(),
            made: BTreeSet::new(),
            unstated: BTreeSet::new(),
        }
    }

    /// The slices.
    pub fn slices(&self) -> &Slices {
        &self.slices
    }

    /// The reward rule.
    pub fn rule(&self) -> RewardRule {
        self.rule
    }

    /// Confirmed blocks that wait for another fact, or for an earlier block, before they can be
    /// stated.
    pub fn waiting(&self) -> usize {
        self.unstated.len()
    }

    /// How many statements were made.
    pub fn made(&self) -> usize {
        self.made.len()
    }

    /// Hears that a statement exists, before anything else is heard.
    pub fn hear_stated(&mut self, id: StatementId) {
        self.stated.insert(id);
    }

    /// Hears that a block is solved.
    pub fn hear_solved(&mut self, solved: &Solved) -> Heard {
        let block = self.blocks.entry(solved.hash).or_default();
        if block.solved.is_some() {
            return Heard::Again(solved.hash);
        }
        block.solved = Some(Paid::of(solved));
        self.look_at(solved.hash);
        Heard::New
    }

    /// Hears how a block ended; `said_at` is when the bus stored that.
    pub fn hear_outcome(&mut self, outcome: &Outcome, said_at: Timestamp) -> Heard {
        let Outcome { hash, height, result } = *outcome;
        let block = self.blocks.entry(hash).or_default();
        if block.outcome.is_some() {
            return Heard::Again(hash);
        }
        block.outcome = Some(Ending { result, height, said_at });
        let id = StatementId { height, revision: 0 };
        if result == BlockResult::Confirmed && !self.stated.contains(&id) {
            self.unstated.insert(hash);
        }
        self.look_at(hash);
        Heard::New
    }

    /// Hears that a slice is closed, by a fact that stands at `closed_at` in `ROUNDS`.
    ///
    /// # Errors
    ///
    /// When it does not continue the slices before it.
    pub fn hear_slice(&mut self, slice: &SliceClosed, closed_at: u64) -> Result<Heard, BookError> {
        self.slices.add(slice, closed_at)?;
        let Some(share) = &slice.block else { return Ok(Heard::New) };
        if self.endings.contains_key(&slice.slice) {
            return Ok(Heard::Again(share.hash));
        }
        self.endings.insert(slice.slice, share.clone());
        self.blocks.entry(share.hash).or_default().slice = Some(slice.slice);
        self.look_at(share.hash);
        Ok(Heard::New)
    }

    /// Looks at a block again, even if it was stated: its statement is repeated.
    pub fn look_at(&mut self, hash: BlockHash) {
        let Some(Block { slice: Some(slice), outcome, .. }) = self.blocks.get(&hash) else {
            return;
        };
        if outcome.is_some_and(|ending| ending.result == BlockResult::Confirmed) {
            self.confirmed.insert(*slice);
        }
        self.queue.insert(*slice);
    }

    /// The first block, in the order of slices, that is due to be paid.
    ///
    /// # Errors
    ///
    /// When the facts about a block contradict one another.
    pub fn next_due(&mut self) -> Result<Option<Due>, BookError> {
        while let Some(slice) = self.queue.first().copied() {
            match (self.standing(slice)?, self.rule) {
                (Standing::Due(due), _) => return Ok(Some(*due)),
                // Settled strictly in the order of slices: the first one holds up the others.
                (Standing::Open, RewardRule::Round) => return Ok(None),
                (Standing::Open, RewardRule::Window { .. }) | (Standing::Settled, _) => {
                    self.queue.remove(&slice);
                }
            }
        }
        Ok(None)
    }

    /// The statement of a block is made.
    pub fn state(&mut self, due: &Due) {
        self.queue.remove(due.run.end());
        self.unstated.remove(&due.block.hash);
        self.made.insert(due.id());
    }

    fn standing(&self, slice: u64) -> Result<Standing, BookError> {
        let Some(share) = self.endings.get(&slice) else { return Ok(Standing::Open) };
        let (hash, height) = (share.hash, share.height);
        let block = self.blocks.get(&hash);
        let Some(ending) = block.and_then(|block| block.outcome) else { return Ok(Standing::Open) };
        match ending.result {
            BlockResult::Orphaned | BlockResult::Refused => return Ok(Standing::Settled),
            BlockResult::Confirmed => {}
        }
        if self.stated.contains(&StatementId { height, revision: 0 }) {
            return Ok(Standing::Settled);
        }
        let solved = block.and_then(|block| block.solved.clone());
        let Some(paid) = solved else { return Ok(Standing::Open) };
        let paid = paid.map_err(|source| BookError::Coinbase { hash, source })?;
        if paid.height != height || ending.height != height {
            return Err(BookError::Height(hash));
        }
        let run = self.run(slice).ok_or(SliceError::Contradiction(slice))?;
        let due = Due { block: share.clone(), paid, run, said_at: ending.said_at };
        Ok(Standing::Due(Box::new(due)))
    }

    /// The slices that the block at the end of `slice` pays.
    fn run(&self, slice: u64) -> Option<Run> {
        match self.rule {
            RewardRule::Window { factor } => self.slices.window(slice, factor),
            RewardRule::Round => {
                let before = self.confirmed.range(..slice).next_back();
                Some(before.map_or(1, |before| before.saturating_add(1))..=slice)
            }
        }
    }
}
