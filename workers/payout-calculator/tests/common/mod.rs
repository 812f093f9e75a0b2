//! Facts for tests: slices with lines, blocks with coinbases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bitcoin::{
    Amount, ScriptBuf, Transaction, TxIn, TxOut, absolute::LockTime, consensus,
    transaction::Version,
};
use payout_calculator::{domain::Settings, signature::StatementKey};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subjects::{
    BlockHash, HexBytes, MinerId, Sats, TemplateId, Work,
    blocks::{BlockResult, Outcome, Solved},
    payouts::RewardRule,
    rounds::{Line, SliceClosed, SliceLines, SolvingShare},
};

/// When `SHARES` was created.
pub(crate) const RECORD: u64 = 1_700_000_000_000;
/// Seed of the key in RFC 8037, appendix A.1.
pub(crate) const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

/// A slice as a test writes it.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// Miner and work.
    pub(crate) lines: BTreeMap<u8, u128>,
    /// Network work of its last job.
    pub(crate) network_work: u128,
    /// The block it ends with.
    pub(crate) block: Option<Block>,
}

/// A block as a test writes it.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) finder: u8,
    pub(crate) subsidy: u64,
    pub(crate) fees: u64,
    /// Whether output 1 carries the fees.
    pub(crate) pays_finder: bool,
    pub(crate) result: BlockResult,
}

/// A fact, in the form in which it is heard.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Solved(Solved),
    Outcome(Outcome),
    /// The slice, and where it stands in `ROUNDS`.
    Slice(SliceClosed, u64),
}

/// All facts of a history: `ROUNDS` in its order, `BLOCKS` in no particular one.
pub(crate) struct History {
    pub(crate) rounds: Vec<Fact>,
    pub(crate) blocks: Vec<Fact>,
    pub(crate) lines: BTreeMap<u64, Vec<SliceLines>>,
}

pub(crate) fn miner(number: u8) -> MinerId {
    MinerId::new(vec![number; 22]).unwrap()
}

pub(crate) fn sats(amount: u64) -> Sats {
    Sats::new(amount).unwrap()
}

pub(crate) fn hash_of(slice: u64) -> BlockHash {
    BlockHash(Sha256::digest(slice.to_be_bytes()).into())
}

pub(crate) fn height_of(slice: u64) -> u32 {
    840_000 + u32::try_from(slice).unwrap()
}

pub(crate) fn settings(rule: RewardRule) -> Settings {
    let key = StatementKey::parse(&SEED.to_owned().into()).unwrap();
    Settings { rule, key, valid_days: 30, max_message_bytes: 1 << 20 }
}

/// The facts that a network would have said.
pub(crate) fn history(slices: &[Slice]) -> History {
    let mut history = History { rounds: vec![], blocks: vec![], lines: BTreeMap::new() };
    let mut position = 0;
    let mut round = 1;
    for (number, slice) in (1..).zip(slices) {
        let parts = lines_of(number, &slice.lines);
        position += parts.len() as u64 + 1;
        let closed = closed(number, round, slice, parts.len());
        history.rounds.push(Fact::Slice(closed, position));
        history.lines.insert(number, parts);
        if let Some(block) = &slice.block {
            round += 1;
            history.blocks.push(Fact::Solved(solved(number, block)));
            history.blocks.push(Fact::Outcome(Outcome {
                hash: hash_of(number),
                height: height_of(number),
                result: block.result,
            }));
        }
    }
    history
}

fn lines_of(slice: u64, lines: &BTreeMap<u8, u128>) -> Vec<SliceLines> {
    let line = |(number, work): (&u8, &u128)| Line {
        miner: miner(*number),
        work: Work::new(*work),
        shares: 1,
    };
    let lines: Vec<_> = lines.iter().map(line).collect();
    let part = |(part, lines): (u32, &[Line])| SliceLines { slice, part, lines: lines.to_vec() };
    // Parts of two lines only, so that every test reads several.
    (0..).zip(lines.chunks(2)).map(part).collect()
}

fn closed(number: u64, round: u64, slice: &Slice, parts: usize) -> SliceClosed {
    let chain = |number: u64| HexBytes(Sha256::digest(number.to_le_bytes()).to_vec());
    SliceClosed {
        slice: number,
        round,
        incarnation: RECORD,
        first_sequence: 10 * number - 9,
        last_sequence: 10 * number,
        chain_start: chain(number - 1),
        chain_end: chain(number),
        shares: slice.lines.len() as u64,
        work: Work::new(slice.lines.values().sum()),
        network_work: Work::new(slice.network_work),
        miners: slice.lines.len() as u64,
        parts: u32::try_from(parts).unwrap(),
        lines_root: HexBytes([number.to_be_bytes(); 4].concat()),
        last_ntime: 0,
        block: slice.block.as_ref().map(|block| SolvingShare {
            hash: hash_of(number),
            height: height_of(number),
            finder: miner(block.finder),
            identity: format!("id-{}", block.finder),
            worker: String::new(),
        }),
    }
}

fn solved(slice: u64, block: &Block) -> Solved {
    let output = |value: u64, script: Vec<u8>| TxOut {
        value: Amount::from_sat(value),
        script_pubkey: ScriptBuf::from_bytes(script),
    };
    let (treasury, finder) = if block.pays_finder {
        (block.subsidy, block.fees)
    } else {
        (block.subsidy + block.fees, 0)
    };
    let coinbase = Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn::default()],
        output: vec![
            output(treasury, vec![0x51]),
            output(finder, miner(block.finder).as_bytes().to_vec()),
            output(0, vec![0x6a]),
        ],
    };
    Solved {
        hash: hash_of(slice),
        height: height_of(slice),
        header: HexBytes(vec![0; 80]),
        coinbase: HexBytes(consensus::serialize(&coinbase)),
        template: TemplateId([1; 16]),
        provider: "main".parse().unwrap(),
        subsidy: sats(block.subsidy),
        fees: sats(block.fees),
    }
}
