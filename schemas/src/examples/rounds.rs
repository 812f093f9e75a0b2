//! The slice and the round that the block ended, and the statement that pays it: the example of
//! the money rules, section 2.

use super::{
    Example, FEES, HEIGHT, IDENTITY, NOON_SECS, RECORD, SUBSIDY, ascending, at, block_hash, finder,
    other_miner, sats, third_miner,
};
use subjects::{
    HexBytes, Work,
    payouts::{BlockStatement, FeesPaidBy, Finder, Payee, RewardRule, StatementId, Window},
    rounds::{Closed, Line, Progress, SliceClosed, SliceLines, SolvingShare},
};

/// Expected hashes of a block at the examples' nbits, about 2^78.3.
const NETWORK_WORK: u128 = 371_041_696_979_166_003_650_763;
/// Work of one share of the examples' larger miners: 2^44.
const SHARE_WORK: u128 = 1 << 44;

fn solving_share() -> SolvingShare {
    SolvingShare {
        hash: block_hash(),
        height: HEIGHT,
        finder: finder(),
        identity: IDENTITY.to_owned(),
        worker: "rig-07".to_owned(),
    }
}

/// Work in the proportion 5 : 3 : 2, in ascending order of the miner.
fn lines() -> Vec<Line> {
    let line = |miner, shares: u64| Line {
        miner,
        work: Work::new(SHARE_WORK * u128::from(shares)),
        shares,
    };
    vec![line(other_miner(), 5_000), line(finder(), 3_000), line(third_miner(), 2_000)]
}

impl Example for SliceLines {
    fn example() -> Self {
        Self { slice: 2_071, part: 0, lines: lines() }
    }
}

impl Example for SliceClosed {
    fn example() -> Self {
        Self {
            slice: 2_071,
            round: 33,
            incarnation: RECORD,
            first_sequence: 80_001,
            last_sequence: 80_123,
            chain_start: HexBytes(ascending::<32>(0x31).to_vec()),
            chain_end: HexBytes(ascending::<32>(0x51).to_vec()),
            shares: 10_000,
            work: Work::new(SHARE_WORK * 10_000),
            network_work: Work::new(NETWORK_WORK),
            miners: 3,
            parts: 1,
            lines_root: HexBytes(ascending::<32>(0x71).to_vec()),
            last_ntime: NOON_SECS + 7,
            block: Some(solving_share()),
        }
    }
}

impl Example for Closed {
    fn example() -> Self {
        Self {
            round: 33,
            block: solving_share(),
            first_slice: 2_002,
            last_slice: 2_071,
            first_sequence: 71_344,
            last_sequence: 80_123,
            started_ntime: Some(NOON_SECS - 80_000),
            stopped_ntime: NOON_SECS + 7,
            shares: 701_233,
            work: Work::new(SHARE_WORK * 701_233),
            network_work: Work::new(NETWORK_WORK),
            luck_ppm: 30_077_418_769,
        }
    }
}

impl Example for Progress {
    fn example() -> Self {
        Self {
            round: 34,
            slice: 2_072,
            sequence: 80_130,
            shares: 611,
            work: Work::new(SHARE_WORK * 611),
            network_work: Work::new(NETWORK_WORK),
            at: at(12),
        }
    }
}

impl Example for BlockStatement {
    fn example() -> Self {
        let amounts = [154_687_500, 92_812_500, 61_875_000];
        let payee = |(line, amount): (Line, u64)| Payee {
            miner: line.miner,
            work: line.work,
            amount: sats(amount),
        };
        Self {
            id: StatementId { height: HEIGHT, revision: 0 },
            rules_version: 1,
            reward_rule: RewardRule::Window { factor: 2 },
            block_hash: block_hash(),
            height: HEIGHT,
            subsidy: sats(SUBSIDY),
            fees: sats(FEES),
            treasury: sats(1_562_500),
            nodes: sats(1_562_500),
            miners: sats(309_375_000),
            window: Window {
                incarnation: RECORD,
                first_slice: 2_071,
                last_slice: 2_071,
                first_sequence: 80_001,
                last_sequence: 80_123,
                chain_start: HexBytes(ascending::<32>(0x31).to_vec()),
                chain_end: HexBytes(ascending::<32>(0x51).to_vec()),
                lines_roots: vec![HexBytes(ascending::<32>(0x71).to_vec())],
                work: Work::new(SHARE_WORK * 10_000),
                shares: 10_000,
            },
            finder: Finder {
                miner: finder(),
                identity: IDENTITY.to_owned(),
                amount: sats(FEES),
                paid_by: FeesPaidBy::Coinbase,
            },
            payees: lines().into_iter().zip(amounts).map(payee).collect(),
        }
    }
}
