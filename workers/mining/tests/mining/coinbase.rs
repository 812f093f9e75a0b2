//! The coinbase's bytes, read back by rust-bitcoin, and what it pays.

use crate::fixtures::{
    SIGNET_P2WPKH, any_payee, any_template, commitment, miner, sats, template, work,
};
use bitcoin::{Transaction, consensus::deserialize, hashes::Hash as _};
use mining::{Job, Payee, Prefix, Split, TemplateError, WorkTemplate, coinbase::bip34_push};
use proptest::prelude::*;
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, Sats,
    shares::JobKind,
    templates::{MerkleHash, New},
};

const ROLLED: [u8; 13] = [0xee; 13];

fn prefix() -> [u8; 7] {
    Prefix::new(Lane(0x0102), BootEpoch(0x0304), 0x05_0607).unwrap().to_sv2()
}

fn job<'a>(payee: &'a Payee, prefix: &'a [u8], exponent: i64) -> Job<'a> {
    Job {
        kind: JobKind::Extended,
        exponent: Exponent::new(exponent).unwrap(),
        extranonce_prefix: prefix,
        extranonce_length: 20,
        payee,
        version_mask: mining::VERSION_MASK,
    }
}

fn decoded(work: &WorkTemplate, payee: &Payee) -> Transaction {
    deserialize(&work.full_coinbase(&job(payee, &prefix(), -16), &ROLLED).unwrap()).unwrap()
}

/// The bytes of a coinbase with a name beside each part.
fn annotated(coinbase: &[u8], parts: &[(&str, usize)]) -> String {
    let mut rest = coinbase;
    let mut lines = Vec::new();
    for (name, length) in parts {
        let (part, after) = rest.split_at(*length);
        lines.push(format!("{}{name}", hex::encode(part) + if *length > 0 { "  " } else { "" }));
        rest = after;
    }
    assert!(rest.is_empty(), "{} bytes without a name", rest.len());
    lines.join("\n")
}

#[test]
fn the_bytes_of_a_coinbase() {
    let (work, payee) = (work(&template()), *miner(SIGNET_P2WPKH).payee());
    let coinbase = work.full_coinbase(&job(&payee, &prefix(), -16), &ROLLED).unwrap();
    insta::assert_snapshot!(annotated(
        &coinbase,
        &[
            ("version", 4),
            ("BIP 144 marker and flag", 2),
            ("one input", 1),
            ("null outpoint", 36),
            ("length of the scriptSig", 1),
            ("BIP 34: height 840000", 4),
            ("push of tag, exponent and extranonce", 1),
            ("tag /hyperhash/", 11),
            ("exponent -16", 1),
            ("extranonce prefix: lane 0102, epoch 0304, channel 050607", 7),
            ("extranonce rolled by the miner", 13),
            ("sequence", 4),
            ("three outputs", 1),
            ("output 0: subsidy 312500000", 8),
            ("treasury script", 35),
            ("output 1: fees 4321987", 8),
            ("finder's script", 23),
            ("output 2: no value", 8),
            ("witness commitment", 39),
            ("witness: one item of 32 bytes", 2),
            ("BIP 141 reserved value", 32),
            ("lock time 839999", 4),
        ],
    ));
}

#[test]
fn the_example_of_the_money_rules_adds_up() {
    // S = 312 500 000, F = 4 321 987: T = N = 1 562 500, M = 309 375 000.
    let (work, finder) = (work(&template()), miner(SIGNET_P2WPKH));
    let (treasury_fee, node_pool, miners) = (1_562_500, 1_562_500, 309_375_000);
    let coinbase = decoded(&work, finder.payee());
    let value: u64 = coinbase.output.iter().map(|output| output.value.to_sat()).sum();
    assert_eq!(treasury_fee + node_pool + miners + 4_321_987, value);
    assert_eq!(coinbase.output[0].value.to_sat(), treasury_fee + node_pool + miners);
    assert_eq!(
        coinbase.output[0].script_pubkey.as_bytes(),
        [&[0x51, 0x20], [0x7e; 32].as_slice()].concat()
    );
    assert_eq!(coinbase.output[1].value.to_sat(), 4_321_987);
    assert_eq!(coinbase.output[1].script_pubkey.as_bytes(), finder.miner_id().as_bytes());
    let split = Split { treasury: sats(312_500_000), finder: sats(4_321_987), owed: Sats::ZERO };
    assert_eq!(work.split(finder.payee()), split);
}

#[test]
fn fees_below_the_finders_dust_go_through_the_ledger() {
    let payee = *miner(SIGNET_P2WPKH).payee();
    let with_fees = |fees| work(&New { fees: sats(fees), ..template() });
    assert_eq!(with_fees(294).split(&payee).finder, sats(294));
    let dusty = with_fees(293);
    let split = Split { treasury: sats(312_500_293), finder: Sats::ZERO, owed: sats(293) };
    assert_eq!(dusty.split(&payee), split);
    let coinbase = decoded(&dusty, &payee);
    assert_eq!(coinbase.output[0].value.to_sat(), 312_500_293);
    assert_eq!(coinbase.output[1].value.to_sat(), 0);
    assert_eq!(coinbase.output[1].script_pubkey.as_bytes(), payee.script());
}

#[test]
fn an_identity_without_an_address_is_bound_but_not_paid() {
    let key = miner("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798");
    let coinbase = decoded(&work(&template()), key.payee());
    assert!(coinbase.output[1].script_pubkey.is_op_return());
    assert_eq!(&coinbase.output[1].script_pubkey.as_bytes()[2..], key.miner_id().as_bytes());
    assert_eq!(coinbase.output[1].value.to_sat(), 0);
    assert_eq!(coinbase.output[0].value.to_sat(), 316_821_987);
}

#[test]
fn a_height_is_pushed_as_bitcoind_pushes_it() {
    let vectors: [(u32, &[u8]); 12] = [
        (0, &[0x00]),
        (1, &[0x51]),
        (16, &[0x60]),
        (17, &[1, 17]),
        (127, &[1, 127]),
        (128, &[2, 128, 0]),
        (255, &[2, 255, 0]),
        (32_767, &[2, 0xff, 0x7f]),
        (32_768, &[3, 0x00, 0x80, 0x00]),
        (840_000, &[3, 0x40, 0xd1, 0x0c]),
        (8_388_608, &[4, 0, 0, 0x80, 0]),
        (u32::MAX, &[5, 0xff, 0xff, 0xff, 0xff, 0]),
    ];
    for (height, push) in vectors {
        assert_eq!(bip34_push(height), push, "{height}");
        let theirs = bitcoin::script::Builder::new().push_int(height.into()).into_script();
        assert_eq!(theirs.as_bytes(), push, "{height}");
    }
}

#[test]
fn a_template_that_contradicts_itself_is_refused_by_name() {
    let refused = |change: fn(&mut New)| {
        let mut broken = template();
        change(&mut broken);
        WorkTemplate::new(broken.id(), &broken).map(|_| ()).unwrap_err()
    };
    use TemplateError as Error;
    assert_eq!(refused(|new| new.coinbase_rule.rules_version = 2), Error::UnknownRules(2));
    assert_eq!(refused(|new| new.height += 1), Error::Height(840_001));
    assert_eq!(refused(|new| new.coinbase_rule.tag = "t".repeat(25)), Error::Tag);
    assert_eq!(
        refused(|new| new.coinbase_rule.version_mask = 0x3fff_ffe0),
        Error::VersionMask(0x3fff_ffe0)
    );
    assert_eq!(refused(|new| new.version = 0x2000_0020), Error::Version(0x2000_0020));
    assert_eq!(
        refused(|new| new.coinbase_rule.treasury_script = HexBytes::default()),
        Error::TreasuryScript
    );
    assert_eq!(refused(|new| new.coinbase_outputs.clear()), Error::WitnessCommitment(0));
    assert_eq!(refused(|new| new.coinbase_outputs.push(commitment())), Error::WitnessCommitment(2));
    assert_eq!(refused(|new| new.coinbase_outputs[0].value = sats(1)), Error::Outputs);
    assert_eq!(refused(|new| new.merkle_path = vec![MerkleHash([0; 32]); 33]), Error::MerklePath);
    assert_eq!(refused(|new| new.locktime = 840_000), Error::Locktime(840_000));
    assert_eq!(refused(|new| new.subsidy = Sats::MAX), Error::Value);
}

proptest! {
    #[test]
    fn rust_bitcoin_reads_what_the_rule_says(
        new in any_template(), payee in any_payee(), exponent in -32..=95_i64, rolled: [u8; 13],
    ) {
        let (work, prefix) = (work(&new), prefix());
        let job = job(&payee, &prefix, exponent);
        let coinbase: Transaction =
            deserialize(&work.full_coinbase(&job, &rolled).unwrap()).unwrap();
        let txid = coinbase.compute_txid().to_raw_hash().to_byte_array();
        prop_assert_eq!(Some(txid), work.coinbase_txid(&job, &rolled));
        prop_assert!(coinbase.is_coinbase());
        prop_assert_eq!(coinbase.input[0].witness.to_vec(), vec![vec![0; 32]]);

        let script_sig = coinbase.input[0].script_sig.as_bytes();
        prop_assert!((2..=100).contains(&script_sig.len()));
        let tag = new.coinbase_rule.tag.as_bytes();
        let k = [i8::try_from(exponent).unwrap().to_be_bytes()[0]];
        let push = [tag, &k, &prefix, &rolled].concat();
        let length = [u8::try_from(push.len()).unwrap()];
        prop_assert_eq!(script_sig, [&new.coinbase_prefix.0, length.as_slice(), &push].concat());

        let value: u64 = coinbase.output.iter().map(|output| output.value.to_sat()).sum();
        prop_assert_eq!(value, new.subsidy.to_u64() + new.fees.to_u64());
        let split = work.split(&payee);
        prop_assert_eq!(coinbase.output[0].value.to_sat(), split.treasury.to_u64());
        prop_assert_eq!(
            coinbase.output[0].script_pubkey.as_bytes(),
            new.coinbase_rule.treasury_script.as_slice()
        );
        prop_assert_eq!(coinbase.output[1].value.to_sat(), split.finder.to_u64());
        prop_assert_eq!(coinbase.output[1].script_pubkey.as_bytes(), payee.script());
        prop_assert_eq!(split.finder.to_u64() + split.owed.to_u64(), new.fees.to_u64());
        for (output, theirs) in new.coinbase_outputs.iter().zip(&coinbase.output[2..]) {
            prop_assert_eq!(output.script.as_slice(), theirs.script_pubkey.as_bytes());
        }
        prop_assert_eq!(coinbase.output.len(), 2 + new.coinbase_outputs.len());
    }

    #[test]
    fn a_jobs_message_is_the_coinbase_without_its_witness(
        new in any_template(), payee in any_payee(), exponent in -32..=95_i64, length in 6..=20_u8,
    ) {
        let work = work(&new);
        let extranonce = vec![0xab; usize::from(length)];
        let job = Job { extranonce_length: length, ..job(&payee, &extranonce, exponent) };
        let mut bytes = Vec::new();
        let before = work.write_coinbase_prefix(&mut bytes, job.exponent, length);
        prop_assert_eq!(before, Some(work.coinbase_prefix_length()));
        prop_assert_eq!(before, Some(bytes.len()));
        bytes.extend(&extranonce);
        let after = work.write_coinbase_suffix(&mut bytes, &payee);
        prop_assert_eq!(after, work.coinbase_suffix_length(&payee));

        let mut stripped: Transaction = deserialize(&work.full_coinbase(&job, &[]).unwrap()).unwrap();
        stripped.input[0].witness.clear();
        prop_assert_eq!(bitcoin::consensus::serialize(&stripped), bytes);
    }
}

#[test]
fn an_extranonce_of_another_length_gives_no_coinbase() {
    let (work, payee) = (work(&template()), *miner(SIGNET_P2WPKH).payee());
    let prefix = prefix();
    let job = job(&payee, &prefix, 0);
    assert_eq!(work.coinbase_txid(&job, &ROLLED[1..]), None);
    for length in [0, 5, 21, 255] {
        let job = Job { extranonce_length: length, ..job };
        assert_eq!(work.full_coinbase(&job, &vec![0; usize::from(length.saturating_sub(7))]), None);
        assert_eq!(work.write_coinbase_prefix(&mut Vec::new(), job.exponent, length), None);
    }
}

#[test]
fn work_is_shared_and_jobs_are_small() {
    let new = New { prevhash: Some(BlockHash([1; 32])), ..template() };
    assert!(size_of::<Payee>() <= 40);
    assert!(size_of::<Job<'_>>() <= 48);
    assert_eq!(work(&new).prevhash(), Some(BlockHash([1; 32])));
}
