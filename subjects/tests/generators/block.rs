//! Blocks: claimed, solved, submitted, and their outcome.

use super::{at, bytes, hash, name, node, provider, sats, template, u32s};
use proptest::{collection::vec, option, prelude::*, sample::select};
use subjects::{HexBytes, blocks};

fn header() -> impl Strategy<Value = HexBytes> {
    vec(any::<u8>(), blocks::HEADER_LENGTH).prop_map(HexBytes)
}

pub(crate) fn claimed() -> impl Strategy<Value = blocks::Claimed> {
    (node(), hash(), header(), bytes(300), template(), provider()).prop_map(
        |(node, hash, header, coinbase, template, provider)| blocks::Claimed {
            node,
            hash,
            header,
            coinbase,
            template,
            provider,
        },
    )
}

pub(crate) fn solved() -> impl Strategy<Value = blocks::Solved> {
    (hash(), u32s(), header(), bytes(300), template(), provider(), sats(), sats()).prop_map(
        |(hash, height, header, coinbase, template, provider, subsidy, fees)| blocks::Solved {
            hash,
            height,
            header,
            coinbase,
            template,
            provider,
            subsidy,
            fees,
        },
    )
}

pub(crate) fn block_submitted() -> impl Strategy<Value = blocks::Submitted> {
    use blocks::Answer;
    let answers = [Answer::Accepted, Answer::Duplicate, Answer::Inconclusive, Answer::Rejected];
    (hash(), provider(), select(answers.to_vec()), option::of(name()), at(), u32s()).prop_map(
        |(hash, provider, answer, detail, at, latency_ms)| blocks::Submitted {
            hash,
            provider,
            answer,
            detail,
            at,
            latency_ms,
        },
    )
}

pub(crate) fn outcome() -> impl Strategy<Value = blocks::Outcome> {
    use blocks::BlockResult;
    let results = [BlockResult::Confirmed, BlockResult::Orphaned, BlockResult::Refused];
    (hash(), u32s(), select(results.to_vec())).prop_map(|(hash, height, result)| blocks::Outcome {
        hash,
        height,
        result,
    })
}
