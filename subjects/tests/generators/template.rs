//! Templates and tips, as a provider says them.

use super::{at, bytes, hash, name, provider, sats, template, u32s, u64s};
use proptest::{collection::vec, option, prelude::*};
use subjects::{Sats, templates};

pub(crate) fn template_new() -> impl Strategy<Value = templates::New> {
    let output =
        (sats(), bytes(40)).prop_map(|(value, script)| templates::Output { value, script });
    let rule = (any::<u16>(), bytes(40), "[ -~]{0,24}", u32s()).prop_map(
        |(rules_version, treasury_script, tag, version_mask)| templates::CoinbaseRule {
            rules_version,
            treasury_script,
            tag,
            version_mask,
        },
    );
    let path =
        vec(any::<[u8; 32]>().prop_map(templates::MerkleHash), 0..=templates::MAX_MERKLE_PATH);
    let half = (0..=Sats::MAX.to_u64() / 2).prop_map(|sats| Sats::new(sats).unwrap());
    let amounts = (half.clone(), half);
    let head = (provider(), at(), u64s(), u32s(), option::of(hash()), amounts);
    let numbers = (u32s(), u32s(), u32s(), u32s());
    (head, numbers, bytes(8), vec(output, 0..3), path, rule).prop_map(
        |(head, numbers, coinbase_prefix, coinbase_outputs, merkle_path, coinbase_rule)| {
            let (provider, session, template, height, prevhash, (subsidy, fees)) = head;
            let (version, tx_version, input_sequence, locktime) = numbers;
            templates::New {
                provider,
                session,
                template,
                height,
                prevhash,
                subsidy,
                fees,
                version,
                coinbase_prefix,
                tx_version,
                input_sequence,
                locktime,
                coinbase_outputs,
                merkle_path,
                coinbase_rule,
            }
        },
    )
}

pub(crate) fn template_tip() -> impl Strategy<Value = templates::Tip> {
    (provider(), at(), hash(), u32s(), u32s(), u32s(), template()).prop_map(
        |(provider, session, prevhash, height, nbits, min_ntime, template)| templates::Tip {
            provider,
            session,
            prevhash,
            height,
            nbits,
            min_ntime,
            template,
        },
    )
}

pub(crate) fn template_health() -> impl Strategy<Value = templates::Health> {
    let numbers = (u32s(), u32s(), u32s(), u64s(), u32s(), u64s());
    (provider(), at(), any::<bool>(), option::of(name()), numbers).prop_map(
        |(provider, at, usable, problem, numbers)| templates::Health {
            provider,
            at,
            usable,
            problem,
            tip_height: numbers.0,
            tip_lag_blocks: numbers.1,
            template_latency_ms: numbers.2,
            mempool_transactions: numbers.3,
            template_transactions: numbers.4,
            rpc_errors_total: numbers.5,
        },
    )
}
