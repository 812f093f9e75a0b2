//! Templates, tips and miners that the tests share.

use mining::{Identity, Network, Payee, TipWork, WorkTemplate, coinbase::bip34_push};
use proptest::prelude::*;
use subjects::{
    BlockHash, HexBytes, Sats, Timestamp,
    templates::{CoinbaseRule, MerkleHash, New, Output, Tip},
};

pub(crate) const SIGNET_P2WPKH: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

/// Nonces that a test tries before it gives up: thousands of times more than it should need.
pub(crate) const TRIES: u32 = 4_000_000;

pub(crate) fn sats(amount: u64) -> Sats {
    Sats::new(amount).unwrap()
}

pub(crate) fn template() -> New {
    New {
        provider: "alpha".parse().unwrap(),
        session: Timestamp(1_700_000_000_000),
        template: 7,
        height: 840_000,
        prevhash: Some(BlockHash([0x11; 32])),
        subsidy: sats(312_500_000),
        fees: sats(4_321_987),
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(bip34_push(840_000)),
        tx_version: 2,
        input_sequence: 0xffff_fffe,
        locktime: 839_999,
        coinbase_outputs: vec![commitment()],
        merkle_path: (0..12).map(|level| MerkleHash([level; 32])).collect(),
        coinbase_rule: CoinbaseRule {
            rules_version: 1,
            treasury_script: HexBytes([vec![0x51, 0x20], vec![0x7e; 32]].concat()),
            tag: "/hyperhash/".to_owned(),
            version_mask: mining::VERSION_MASK,
        },
    }
}

pub(crate) fn commitment() -> Output {
    let script = [vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], vec![0xc0; 32]].concat();
    Output { value: Sats::ZERO, script: HexBytes(script) }
}

pub(crate) fn work(template: &New) -> WorkTemplate {
    WorkTemplate::new(template.id(), template).unwrap()
}

pub(crate) fn tip_of(template: &New, nbits: u32) -> Tip {
    Tip {
        provider: template.provider.clone(),
        session: template.session,
        prevhash: BlockHash([0x11; 32]),
        height: template.height,
        nbits,
        min_ntime: 1_700_000_000,
        template: template.id(),
    }
}

pub(crate) fn tip(template: &New, nbits: u32) -> TipWork {
    TipWork::new(&tip_of(template, nbits)).unwrap()
}

pub(crate) fn miner(address: &str) -> Identity {
    Identity::parse(address, Network::Signet).unwrap()
}

/// Payees of every kind: the five scripts, and a commitment.
pub(crate) fn any_payee() -> impl Strategy<Value = Payee> {
    let script = |before: &'static [u8], length: usize, after: &'static [u8]| {
        prop::collection::vec(any::<u8>(), length)
            .prop_map(move |hash| Payee::of_script(&[before, &hash, after].concat()).unwrap())
    };
    prop_oneof![
        script(&[0x76, 0xa9, 20], 20, &[0x88, 0xac]),
        script(&[0xa9, 20], 20, &[0x87]),
        script(&[0x00, 20], 20, &[]),
        script(&[0x00, 32], 32, &[]),
        script(&[0x51, 32], 32, &[]),
        any::<[u8; 33]>().prop_map(|key| Payee::commitment(&key)),
    ]
}

/// Consistent templates of every shape.
pub(crate) fn any_template() -> impl Strategy<Value = New> {
    (
        1..2_000_000_u32,
        prop_oneof![0..2_000_u64, 0..10_000_000_000_u64],
        0..5_000_000_000_u64,
        "[ -~]{0,24}",
        prop::collection::vec(any::<[u8; 32]>(), 0..14),
        prop::collection::vec(any::<u8>(), 1..60),
        any::<u32>(),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..3),
    )
        .prop_map(|(height, fees, subsidy, tag, path, treasury, version, outputs)| {
            let plain = |script: Vec<u8>| Output {
                value: Sats::ZERO,
                script: HexBytes([vec![0x51], script].concat()),
            };
            New {
                height,
                fees: sats(fees),
                subsidy: sats(subsidy),
                coinbase_prefix: HexBytes(bip34_push(height)),
                locktime: height - 1,
                version: version & !mining::VERSION_MASK,
                merkle_path: path.into_iter().map(MerkleHash).collect(),
                coinbase_outputs: outputs.into_iter().map(plain).chain([commitment()]).collect(),
                coinbase_rule: CoinbaseRule {
                    tag,
                    treasury_script: HexBytes(treasury),
                    ..template().coinbase_rule
                },
                ..template()
            }
        })
}
