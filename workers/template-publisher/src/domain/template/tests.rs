use super::*;
use bitcoin::{Block, Transaction, consensus, hashes::Hash as _};
use mining::{Identity, Job, ShareFields, TipWork, WorkTemplate};
use proptest::prelude::*;
use subjects::{Exponent, TemplateId, shares::JobKind, templates::Tip};

const SIGNET: &str = include_str!("../../../tests/fixtures/signet-105-five-transactions.json");
const REGTEST: &str = include_str!("../../../tests/fixtures/regtest-144-retarget.json");

fn frame(chain: Chain) -> Frame {
    Frame {
        provider: "core-a".parse().unwrap(),
        session: Timestamp(1_795_265_662_000),
        chain,
        rule: CoinbaseRule {
            rules_version: mining::RULES_VERSION,
            treasury_script: HexBytes(vec![0x51]),
            tag: "hyperhash".to_owned(),
            version_mask: mining::VERSION_MASK,
        },
    }
}

fn made(text: &str) -> BlockTemplate {
    serde_json::from_str(text).unwrap()
}

fn signet() -> BlockTemplate {
    made(SIGNET)
}

fn full(made: &BlockTemplate) -> Result<New, TemplateRefusal> {
    frame(Chain::Signet).full(1, made)
}

fn refusal(change: impl FnOnce(&mut BlockTemplate)) -> TemplateRefusal {
    let mut made = signet();
    change(&mut made);
    full(&made).unwrap_err()
}

/// The coinbase that a miner with this address would hash on a template.
fn coinbase(new: &New, nbits: u32, min_ntime: u32) -> (Vec<u8>, [u8; 80]) {
    let id = new.id();
    let work = WorkTemplate::new(id, new).unwrap();
    let tip = Tip {
        provider: new.provider.clone(),
        session: new.session,
        prevhash: new.prevhash.unwrap(),
        height: new.height,
        nbits,
        min_ntime,
        template: id,
    };
    let address = "tb1q2hk4gcv5ur4vcg5v6vpz5lj32v8m6mwe5exhza";
    let identity = Identity::parse(address, mining::Network::Signet).unwrap();
    let prefix = [0; 7];
    let job = Job {
        kind: JobKind::Extended,
        exponent: Exponent::MIN,
        extranonce_prefix: &prefix,
        extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
        payee: identity.payee(),
        version_mask: mining::VERSION_MASK,
    };
    let rolled = [7; 13];
    let share =
        ShareFields { extranonce: &rolled, ntime: min_ntime, nonce: 0, version: new.version };
    let tip = TipWork::new(&tip).unwrap();
    let solution = mining::solution(&work, &tip, &job, &share).unwrap();
    (solution.coinbase, solution.header)
}

#[test]
fn a_template_in_full() {
    let new = full(&signet()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&new).unwrap());
}

/// The block that a template leads to is checked by another implementation: merkle root, witness
/// commitment, height and value.
#[test]
fn the_block_of_a_template_is_one_that_the_bitcoin_crate_accepts() {
    let made = signet();
    let new = full(&made).unwrap();
    let (coinbase, header) = coinbase(&new, made.nbits, made.min_ntime);
    let transactions: Vec<Vec<u8>> =
        made.transactions.iter().map(|tx| hex::decode(&tx.data).unwrap()).collect();
    let bytes = bitcoind_rpc::block::assemble(
        &HexBytes(header.to_vec()),
        &HexBytes(coinbase),
        &transactions,
    );
    let block: Block = consensus::deserialize(&bytes).unwrap();
    assert_eq!(block.txdata.len(), 6);
    assert!(block.check_merkle_root());
    assert!(block.check_witness_commitment());
    assert_eq!(block.bip34_block_height().unwrap(), u64::from(made.height));
    let outputs = &block.txdata[0].output;
    assert_eq!(outputs[0].value.to_sat(), 5_000_000_000);
    assert_eq!(outputs[1].value.to_sat(), made.coinbase_value - 5_000_000_000);
    assert!(block.txdata[0].is_absolute_timelock_satisfied(
        bitcoin::absolute::Height::from_consensus(made.height).unwrap(),
        bitcoin::absolute::Time::MIN,
    ));
}

#[test]
fn an_empty_template_commits_to_its_witness_too() {
    let new = frame(Chain::Signet).empty(3, 105, 0x3fff_ffff, Some(signet().prevhash));
    assert_eq!(new.fees, Sats::ZERO);
    assert_eq!(new.version, 0x2000_001f, "what miners roll is clear");
    let (coinbase, header) = coinbase(&new, signet().nbits, signet().min_ntime);
    let bytes = bitcoind_rpc::block::assemble::<Vec<u8>>(
        &HexBytes(header.to_vec()),
        &HexBytes(coinbase),
        &[],
    );
    let block: Block = consensus::deserialize(&bytes).unwrap();
    assert!(block.check_merkle_root() && block.check_witness_commitment());
}

#[test]
fn two_empty_templates_have_different_coinbases() {
    let tip = signet();
    let first = frame(Chain::Signet).empty(1, 105, 0, Some(tip.prevhash));
    let second = frame(Chain::Signet).empty(2, 105, 0, Some(tip.prevhash));
    let first = coinbase(&first, tip.nbits, tip.min_ntime).0;
    assert_ne!(first, coinbase(&second, tip.nbits, tip.min_ntime).0);
}

#[test]
fn the_subsidy_is_the_chains_own() {
    let made = made(REGTEST);
    let new = frame(Chain::Regtest).full(1, &made).unwrap();
    assert_eq!((new.subsidy.to_u64(), new.fees), (5_000_000_000, Sats::ZERO));
    let later = BlockTemplate { height: 150, ..made };
    let fees = frame(Chain::Regtest).full(1, &later).unwrap_err();
    assert_eq!(fees, TemplateRefusal::Fees { told: 0, left: 2_500_000_000 });
}

#[test]
fn a_rule_that_must_be_understood_is_refused_by_name() {
    let unknown = refusal(|made| made.rules.push("!blake2b".to_owned()));
    assert_eq!(unknown, TemplateRefusal::UnknownRule("blake2b".to_owned()));
    let mut optional = signet();
    optional.rules.push("covenants".to_owned());
    assert!(full(&optional).is_ok());
}

#[test]
fn version_bits_that_miners_roll_cannot_be_required() {
    let rolled = refusal(|made| made.required_version_bits = 1 << 28 | 1);
    assert_eq!(rolled, TemplateRefusal::RequiredVersionBits(1 << 28));
    let mut fixed = signet();
    fixed.required_version_bits = 1;
    assert!(full(&fixed).is_ok());
}

#[test]
fn money_that_does_not_add_up_is_refused() {
    let less = refusal(|made| made.coinbase_value = 4_999_999_999);
    assert_eq!(less.reason(), "below-subsidy");
    let told = refusal(|made| made.transactions[0].fee = Some(433));
    assert_eq!(told, TemplateRefusal::Fees { told: 8_083, left: 8_082 });
    let negative = refusal(|made| made.transactions[0].fee = Some(-10_000));
    assert_eq!(negative.reason(), "fees");
    let beyond = refusal(|made| {
        made.transactions[0].fee = None;
        made.coinbase_value = u64::MAX;
    });
    assert_eq!(beyond, TemplateRefusal::BeyondSupply(u64::MAX));
    let mut silent = signet();
    silent.transactions[0].fee = None;
    assert_eq!(full(&silent).unwrap().fees.to_u64(), 8_082);
}

#[test]
fn a_commitment_to_other_transactions_is_refused() {
    let other = refusal(|made| made.transactions.swap(0, 1));
    assert_eq!(other, TemplateRefusal::WitnessCommitment);
    let mut without = signet();
    without.witness_commitment = None;
    assert_eq!(full(&without), full(&signet()));
}

#[test]
fn more_transactions_than_a_block_holds_are_refused() {
    let many = refusal(|made| {
        let one = made.transactions[0].clone();
        made.transactions = vec![one; MAX_TRANSACTIONS + 1];
    });
    assert_eq!(many, TemplateRefusal::TooManyTransactions(MAX_TRANSACTIONS + 1));
}

proptest! {
    /// Any number of transactions: what a share hashes is the merkle root that the `bitcoin` crate
    /// computes from the whole block.
    #[test]
    fn the_merkle_path_leads_to_the_blocks_root(count in 0_usize..40, seed in any::<u8>()) {
        let mut made = signet();
        let template: Transaction =
            consensus::deserialize(&hex::decode(&made.transactions[0].data).unwrap()).unwrap();
        made.transactions = (0..count)
            .map(|index| {
                let mut transaction = template.clone();
                let locktime = u32::from(seed) * 1_000 + u32::try_from(index).unwrap();
                transaction.lock_time = bitcoin::absolute::LockTime::from_consensus(locktime);
                bitcoind_rpc::TemplateTransaction {
                    data: hex::encode(consensus::serialize(&transaction)),
                    txid: transaction.compute_txid().to_byte_array(),
                    wtxid: transaction.compute_wtxid().to_byte_array(),
                    fee: Some(10),
                }
            })
            .collect();
        made.coinbase_value = 5_000_000_000 + 10 * u64::try_from(count).unwrap();
        made.witness_commitment = None;
        let new = full(&made).unwrap();
        let (coinbase, header) = coinbase(&new, made.nbits, made.min_ntime);
        let transactions: Vec<Vec<u8>> =
            made.transactions.iter().map(|tx| hex::decode(&tx.data).unwrap()).collect();
        prop_assert!(bitcoind_rpc::block::check_transactions(&transactions, &new.merkle_path).is_ok());
        let bytes = bitcoind_rpc::block::assemble(
            &HexBytes(header.to_vec()), &HexBytes(coinbase), &transactions,
        );
        let block: Block = consensus::deserialize(&bytes).unwrap();
        prop_assert!(block.check_merkle_root());
        prop_assert!(block.check_witness_commitment());
    }

    /// Whatever height: the judge takes what we publish.
    #[test]
    fn every_height_gives_a_template_that_the_judge_takes(
        height in prop_oneof![0_u32..20, 120_u32..40_000, 7_000_000_u32..500_000_000],
        version in any::<u32>(),
    ) {
        prop_assume!(height > 0);
        let new = frame(Chain::Main).empty(1, height, version, None);
        let taken = WorkTemplate::new(TemplateId([0; 16]), &new);
        prop_assert!(taken.is_ok(), "{:?}", taken.err());
    }
}
