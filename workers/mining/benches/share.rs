//! What the hashing of one share costs, beside a bare double hash of its header as the limit.
//! `make bench` runs it.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use divan::{Bencher, black_box};
use mining::{
    Identity, Job, Network, Payee, ShareFields, TipWork, VERSION_MASK, WorkTemplate,
    coinbase::bip34_push,
};
use sha2::{Digest, Sha256};
use subjects::{
    BlockHash, Exponent, HexBytes, Sats, Timestamp,
    shares::JobKind,
    templates::{CoinbaseRule, MerkleHash, New, Output, Tip},
};

fn main() {
    divan::main();
}

/// A template as mainnet has them: 12 levels of transactions.
fn template() -> New {
    let commitment = [vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], vec![0xc0; 32]].concat();
    New {
        provider: "alpha".parse().unwrap(),
        session: Timestamp(1_700_000_000_000),
        template: 7,
        height: 840_000,
        prevhash: Some(BlockHash([0x11; 32])),
        subsidy: Sats::new(312_500_000).unwrap(),
        fees: Sats::new(4_321_987).unwrap(),
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(bip34_push(840_000)),
        tx_version: 2,
        input_sequence: 0xffff_fffe,
        locktime: 839_999,
        coinbase_outputs: vec![Output { value: Sats::ZERO, script: HexBytes(commitment) }],
        merkle_path: (0..12).map(|level| MerkleHash([level; 32])).collect(),
        coinbase_rule: CoinbaseRule {
            rules_version: 1,
            treasury_script: HexBytes([vec![0x51, 0x20], vec![0x7e; 32]].concat()),
            tag: "/hyperhash/".to_owned(),
            version_mask: VERSION_MASK,
        },
    }
}

/// All that a share is judged with.
struct Bench {
    work: WorkTemplate,
    tip: TipWork,
    payee: Payee,
}

impl Bench {
    fn new() -> Self {
        let new = template();
        let tip = Tip {
            provider: new.provider.clone(),
            session: new.session,
            prevhash: BlockHash([0x11; 32]),
            height: new.height,
            nbits: 0x1703_4219,
            min_ntime: 1_700_000_000,
            template: new.id(),
        };
        let address = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
        let miner = Identity::parse(address, Network::Signet).unwrap();
        Self {
            work: WorkTemplate::new(new.id(), &new).unwrap(),
            tip: TipWork::new(&tip).unwrap(),
            payee: *miner.payee(),
        }
    }

    /// A job at the least difficulty, so that every hash is a share.
    fn job(&self) -> Job<'_> {
        Job {
            kind: JobKind::Extended,
            exponent: Exponent::MIN,
            extranonce_prefix: &[1, 2, 3, 4, 5, 6, 7],
            extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
            payee: &self.payee,
            version_mask: VERSION_MASK,
        }
    }
}

fn share(extranonce: &[u8]) -> ShareFields<'_> {
    ShareFields { extranonce, ntime: 1_700_000_001, nonce: 5, version: 0x2000_0000 }
}

/// Coinbase, merkle root and header: what the verifier does for every share.
#[divan::bench]
fn an_extended_share(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let (job, share) = (bench.job(), share(&[0xee; 13]));
    bencher.bench_local(|| mining::judge(&bench.work, &bench.tip, black_box(&job), &share));
}

/// The header alone: the ingress keeps the merkle root of a standard job.
#[divan::bench]
fn a_standard_share(bencher: Bencher<'_, '_>) {
    let bench = Bench::new();
    let job = Job { kind: JobKind::Standard, extranonce_prefix: &[7; 20], ..bench.job() };
    let root = bench.work.merkle_root(&job, &[]).unwrap();
    let share = share(&[]);
    bencher.bench_local(|| {
        mining::judge_on_root(&bench.work, &bench.tip, black_box(&job), root, &share)
    });
}

/// The limit of a standard share.
#[divan::bench]
fn two_hashes_of_a_header() -> [u8; 32] {
    Sha256::digest(Sha256::digest(black_box([7_u8; 80]))).into()
}
