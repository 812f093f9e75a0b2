//! A template, the tip that activates it, the provider's health, and a miner's session.

use super::{
    Example, FEES, HEIGHT, IDENTITY, NBITS, NOON_SECS, SUBSIDY, ascending, at, node, prevhash,
    provider, sats, template_id,
};
use subjects::{
    BootEpoch, Exponent, HexBytes, Lane,
    sessions::{Changed, Event, NetworkClass, Protocol},
    templates::{CoinbaseRule, Health, MerkleHash, New, Output, Tip},
};

impl Example for New {
    fn example() -> Self {
        Self {
            provider: provider(),
            session: at(0),
            template: 17,
            height: HEIGHT,
            prevhash: Some(prevhash()),
            subsidy: sats(SUBSIDY),
            fees: sats(FEES),
            version: 0x2000_0000,
            coinbase_prefix: HexBytes(vec![0x03, 0x81, 0xd2, 0x0c]),
            tx_version: 2,
            input_sequence: u32::MAX - 1,
            locktime: HEIGHT - 1,
            coinbase_outputs: vec![Output {
                value: sats(0),
                script: HexBytes(
                    [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], &ascending::<32>(0xc0)[..]].concat(),
                ),
            }],
            merkle_path: vec![MerkleHash(ascending(0x40)), MerkleHash(ascending(0x80))],
            coinbase_rule: CoinbaseRule {
                rules_version: 1,
                treasury_script: HexBytes([&[0x51, 0x20], &ascending::<32>(0x11)[..]].concat()),
                tag: "/Hyper Hash/".to_owned(),
                version_mask: 0x1fff_e000,
            },
        }
    }
}

impl Example for Tip {
    fn example() -> Self {
        Self {
            provider: provider(),
            session: at(0),
            prevhash: prevhash(),
            height: HEIGHT,
            nbits: NBITS,
            min_ntime: NOON_SECS - 3_000,
            template: template_id(),
        }
    }
}

impl Example for Health {
    fn example() -> Self {
        Self {
            provider: provider(),
            at: at(5),
            usable: false,
            problem: Some("2 blocks behind the best tip".to_owned()),
            tip_height: HEIGHT - 3,
            tip_lag_blocks: 2,
            template_latency_ms: 48,
            mempool_transactions: 51_402,
            template_transactions: 3_107,
            rpc_errors_total: 1,
        }
    }
}

impl Example for Changed {
    fn example() -> Self {
        Self {
            node: node(),
            lane: Lane(300),
            boot_epoch: BootEpoch(4),
            channel: 9,
            sequence: 2,
            event: Event::Closed,
            at: at(60),
            identity: IDENTITY.to_owned(),
            worker: "rig-07".to_owned(),
            agent: "bitaxe/ultra/2.9.0".to_owned(),
            protocol: Protocol::Sv2Extended,
            network_class: NetworkClass::PublicV4,
            exponent: Exponent::clamped(12),
            rtt_ms: Some(38),
            reason: Some("idle for 600 s".to_owned()),
        }
    }
}
