//! A block of ours, from the claim to its outcome.

use super::{
    Example, FEES, HEIGHT, SUBSIDY, at, block_hash, coinbase, header, node, provider, sats,
    template_id,
};
use subjects::blocks::{Answer, BlockResult, Claimed, Outcome, Solved, Submitted};

impl Example for Claimed {
    fn example() -> Self {
        Self {
            node: node(),
            hash: block_hash(),
            header: header(),
            coinbase: coinbase(),
            template: template_id(),
            provider: provider(),
        }
    }
}

impl Example for Solved {
    fn example() -> Self {
        Self {
            hash: block_hash(),
            height: HEIGHT,
            header: header(),
            coinbase: coinbase(),
            template: template_id(),
            provider: provider(),
            subsidy: sats(SUBSIDY),
            fees: sats(FEES),
        }
    }
}

impl Example for Submitted {
    fn example() -> Self {
        Self {
            hash: block_hash(),
            provider: provider(),
            answer: Answer::Rejected,
            detail: Some("bad-txnmrklroot".to_owned()),
            at: at(8),
            latency_ms: 31,
        }
    }
}

impl Example for Outcome {
    fn example() -> Self {
        Self { hash: block_hash(), height: HEIGHT, result: BlockResult::Confirmed }
    }
}
