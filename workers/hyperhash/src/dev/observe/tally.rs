//! Counts over the network's public facts, rebuilt from the streams at every start.

use crate::status::{Block, Blocks, Round, Rounds, Statement, Statements, Tip};
use std::collections::{BTreeMap, VecDeque};
use subjects::{
    BlockHash, DecodeError, Payload, Timestamp,
    blocks::{BlockResult, Outcome, Solved},
    payouts, rounds,
    shares::Accepted,
    templates,
};

/// Hashrate is credited work over this long.
const HASHRATE_WINDOW_MS: u64 = 60_000;

/// Most blocks that are kept to show the latest ones.
const LATEST_BLOCKS: usize = 16;

/// What was heard so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted shares.
    pub accepted: u64,
    /// The tip.
    pub tip: Option<Tip>,
    /// Counts of blocks; the latest one stands in [`Tally::latest_blocks`].
    blocks: Blocks,
    latest: VecDeque<Block>,
    /// Final outcomes that were heard before their block.
    early: BTreeMap<BlockHash, BlockResult>,
    /// Rounds.
    pub rounds: Rounds,
    /// Statements.
    pub statements: Statements,
    work: VecDeque<(Timestamp, u128)>,
}

/// A message as it came from its stream.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Its type.
    pub kind: &'a str,
    /// Its body.
    pub body: &'a [u8],
    /// When it was stored.
    pub at: Timestamp,
}

impl Tally {
    /// Takes a message into account. Types that are not counted are passed over.
    ///
    /// # Errors
    ///
    /// When the body is not of its type.
    pub fn hear(&mut self, message: Heard<'_>) -> Result<(), DecodeError> {
        let Heard { kind, body, at, .. } = message;
        if kind == Accepted::TYPE {
            self.shares(&Accepted::decode(body)?, at);
        } else if kind == templates::Tip::TYPE {
            let tip = templates::Tip::decode(body)?;
            // The height of the fact is that of the block to be mined.
            let height = tip.height.saturating_sub(1);
            self.tip = Some(Tip { height, hash: tip.prevhash, at });
        } else if kind == Solved::TYPE {
            self.solved(Solved::decode(body)?, at);
        } else if kind == Outcome::TYPE {
            let Outcome { hash, result, .. } = Outcome::decode(body)?;
            self.outcome(hash, result);
        } else if kind == rounds::SliceClosed::TYPE {
            self.rounds.slices = self.rounds.slices.saturating_add(1);
        } else if kind == rounds::Closed::TYPE {
            self.round(&rounds::Closed::decode(body)?);
        } else if kind == payouts::Statement::TYPE {
            self.statement(&payouts::Statement::decode(body)?)?;
        }
        Ok(())
    }

    /// Blocks, with the latest one.
    pub fn blocks(&self) -> Blocks {
        Blocks { last: self.latest.back().cloned(), ..self.blocks.clone() }
    }

    /// The latest blocks, newest first.
    pub fn latest_blocks(&self) -> impl Iterator<Item = &Block> {
        self.latest.iter().rev()
    }

    /// Credited work of the last minute before `now`, in hashes per second.
    pub fn hashrate(&self, now: Timestamp) -> u64 {
        let recent = |(at, _): &&(Timestamp, u128)| now.millis_since(*at) <= HASHRATE_WINDOW_MS;
        let work: u128 = self.work.iter().filter(recent).map(|(_, work)| work).sum();
        u64::try_from(work / u128::from(HASHRATE_WINDOW_MS / 1_000)).unwrap_or(u64::MAX)
    }

    fn shares(&mut self, batch: &Accepted, at: Timestamp) {
        let count = u64::try_from(batch.shares.len()).unwrap_or(u64::MAX);
        self.accepted = self.accepted.saturating_add(count);
        let work = batch.shares.iter().map(|share| share.work.to_u128()).sum();
        self.work.push_back((at, work));
        let too_old = |(then, _): &(Timestamp, u128)| at.millis_since(*then) > HASHRATE_WINDOW_MS;
        while self.work.front().is_some_and(too_old) {
            self.work.pop_front();
        }
    }

    fn solved(&mut self, block: Solved, at: Timestamp) {
        self.blocks.solved = self.blocks.solved.saturating_add(1);
        let Solved { height, hash, subsidy, fees, .. } = block;
        let outcome = self.early.remove(&hash).map(name);
        self.latest.push_back(Block { height, hash, subsidy, fees, at, outcome });
        if self.latest.len() > LATEST_BLOCKS {
            self.latest.pop_front();
        }
    }

    fn outcome(&mut self, hash: BlockHash, result: BlockResult) {
        let Blocks { confirmed, orphaned, refused, .. } = &mut self.blocks;
        let count = match result {
            BlockResult::Confirmed => confirmed,
            BlockResult::Orphaned => orphaned,
            BlockResult::Refused => refused,
        };
        *count = count.saturating_add(1);
        if let Some(block) = self.latest.iter_mut().find(|block| block.hash == hash) {
            block.outcome = Some(name(result));
        } else if self.latest.len() < LATEST_BLOCKS {
            // Once enough blocks are known, an unknown one is so old that it is not shown.
            self.early.insert(hash, result);
        }
    }

    fn round(&mut self, closed: &rounds::Closed) {
        self.rounds.closed = self.rounds.closed.saturating_add(1);
        self.rounds.last = Some(Round {
            round: closed.round,
            height: closed.block.height,
            shares: closed.shares,
            luck_ppm: closed.luck_ppm,
        });
    }

    fn statement(&mut self, signed: &payouts::Statement) -> Result<(), DecodeError> {
        let body = signed.body()?;
        self.statements.count = self.statements.count.saturating_add(1);
        self.statements.last = Some(Statement {
            id: body.id,
            block_hash: body.block_hash,
            subsidy: body.subsidy,
            fees: body.fees,
            treasury: body.treasury,
            nodes: body.nodes,
            miners: body.miners,
            payees: u64::try_from(body.payees.len()).unwrap_or(u64::MAX),
        });
        Ok(())
    }
}

fn name(result: BlockResult) -> String {
    match result {
        BlockResult::Confirmed => "confirmed",
        BlockResult::Orphaned => "orphaned",
        BlockResult::Refused => "refused",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use subjects::{HexBytes, Sats, TemplateId};

    const AT: Timestamp = Timestamp(1_800_000_000_000);

    fn hear<P: Payload>(tally: &mut Tally, payload: &P) {
        let body = payload.encode();
        tally.hear(Heard { kind: P::TYPE, body: &body, at: AT }).unwrap();
    }

    fn solved(height: u32) -> Solved {
        Solved {
            hash: hash(height),
            height,
            header: HexBytes(vec![0; 80]),
            coinbase: HexBytes(vec![1]),
            template: TemplateId([0; 16]),
            provider: "dev".parse().unwrap(),
            subsidy: Sats::new(50).unwrap(),
            fees: Sats::new(3).unwrap(),
        }
    }

    fn hash(height: u32) -> BlockHash {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&height.to_le_bytes());
        BlockHash(bytes)
    }

    fn outcome(height: u32, result: BlockResult) -> Outcome {
        Outcome { hash: hash(height), height, result }
    }

    #[test]
    fn blocks_and_outcomes_are_counted_in_any_order() {
        let (first, second) = (solved(1), solved(2));
        let mut one = Tally::default();
        hear(&mut one, &first);
        hear(&mut one, &outcome(1, BlockResult::Confirmed));
        hear(&mut one, &second);
        hear(&mut one, &outcome(2, BlockResult::Orphaned));
        let mut other = Tally::default();
        hear(&mut other, &outcome(2, BlockResult::Orphaned));
        hear(&mut other, &first);
        hear(&mut other, &second);
        hear(&mut other, &outcome(1, BlockResult::Confirmed));
        assert_eq!(one, other);
        let blocks = one.blocks();
        assert_eq!((blocks.solved, blocks.confirmed, blocks.orphaned), (2, 1, 1));
        assert_eq!(blocks.last.unwrap().outcome.as_deref(), Some("orphaned"));
    }

    #[test]
    fn only_the_latest_blocks_are_kept() {
        let mut tally = Tally::default();
        for height in 1..=40 {
            hear(&mut tally, &solved(height));
        }
        assert_eq!(tally.blocks().solved, 40);
        let heights: Vec<_> = tally.latest_blocks().map(|block| block.height).collect();
        assert_eq!((heights.len(), heights[0]), (LATEST_BLOCKS, 40));
        hear(&mut tally, &outcome(1, BlockResult::Confirmed));
        assert_eq!(tally.early.len(), 0);
    }

    #[test]
    fn hashrate_is_the_work_of_the_last_minute() {
        let mut tally = Tally::default();
        tally.work.push_back((Timestamp(AT.0 - 61_000), 1_000_000));
        tally.work.push_back((Timestamp(AT.0 - 59_000), 60_000));
        tally.work.push_back((AT, 120_000));
        assert_eq!(tally.hashrate(AT), 3_000);
        assert_eq!(tally.hashrate(AT.plus_millis(61_000)), 0);
    }

    #[test]
    fn an_unknown_type_is_passed_over_and_a_broken_body_is_not() {
        let mut tally = Tally::default();
        let mut hear = |kind| tally.hear(Heard { kind, body: b"{", at: AT });
        assert!(hear("hyperhash.else.v1.thing").is_ok());
        assert!(hear(Solved::TYPE).is_err());
        assert_eq!(tally, Tally::default());
    }
}
