//! What counts, and why what does not count does not.

use crate::fixtures::{SIGNET_P2WPKH, TRIES, any_payee, any_template, miner, template, tip, work};
use bitcoin::{Transaction, consensus::deserialize, hashes::Hash as _};
use mining::{
    Header, Job, Payee, Prefix, ShareFields, Target, TipError, TipWork, WorkTemplate, judge,
    judge_on_root,
};
use proptest::prelude::*;
use subjects::{
    BlockHash, BootEpoch, Exponent, Lane,
    shares::{self, Extranonce, JobKind, Reason, WorkSource},
    templates::New,
};

/// Every other hash solves a block.
const EASY: u32 = 0x207f_ffff;
/// One in 65 536 hashes solves a block.
const HARDER: u32 = 0x1f00_ffff;

const ROLLED: [u8; 13] = [0xee; 13];

fn channel() -> Prefix {
    Prefix::new(Lane(3), BootEpoch(1), 77).unwrap()
}

fn job<'a>(payee: &'a Payee, prefix: &'a [u8], exponent: i64) -> Job<'a> {
    Job {
        kind: if prefix.len() == 20 { JobKind::Standard } else { JobKind::Extended },
        exponent: Exponent::new(exponent).unwrap(),
        extranonce_prefix: prefix,
        extranonce_length: 20,
        payee,
        version_mask: mining::VERSION_MASK,
    }
}

fn share(rolled: &[u8], nonce: u32) -> ShareFields<'_> {
    ShareFields { extranonce: rolled, ntime: 1_700_000_600, nonce, version: 0x2000_0000 }
}

/// The first nonce that the judge takes.
fn mine<'a>(
    work: &WorkTemplate,
    tip: &TipWork,
    job: &Job<'_>,
    rolled: &'a [u8],
) -> ShareFields<'a> {
    (0..TRIES)
        .map(|nonce| share(rolled, nonce))
        .find(|share| judge(work, tip, job, share).is_ok())
        .unwrap()
}

#[test]
fn a_share_is_credited_by_its_target_and_not_by_its_luck() {
    let (work, tip) = (work(&template()), tip(&template(), HARDER));
    let (payee, prefix) = (*miner(SIGNET_P2WPKH).payee(), channel().to_sv2());
    for exponent in [-32, -28, -24] {
        let job = job(&payee, &prefix, exponent);
        let share = mine(&work, &tip, &job, &ROLLED);
        let judged = judge(&work, &tip, &job, &share).unwrap();
        assert_eq!(judged.work, job.exponent.work());
        assert_eq!(judged.hash.to_string()[..16], format!("{:016x}", judged.hash_top));
        assert_eq!(judged.fingerprint().0, judged.hash.0[..16]);
    }
}

#[test]
fn each_fault_has_its_own_reason() {
    let (work, tip) = (work(&template()), tip(&template(), HARDER));
    let (payee, prefix) = (*miner(SIGNET_P2WPKH).payee(), channel().to_sv2());
    let job = job(&payee, &prefix, -28);
    let good = mine(&work, &tip, &job, &ROLLED);
    let reason =
        |job: &Job<'_>, share: ShareFields<'_>| judge(&work, &tip, job, &share).unwrap_err();

    let short = ShareFields { extranonce: &ROLLED[1..], ..good };
    assert_eq!(reason(&job, short), Reason::BadExtranonceSize);
    assert_eq!(reason(&Job { kind: JobKind::Standard, ..job }, good), Reason::BadExtranonceSize);
    assert_eq!(reason(&job, ShareFields { ntime: 1_699_999_999, ..good }), Reason::InvalidNtime);
    assert_eq!(reason(&job, ShareFields { ntime: 1_700_007_201, ..good }), Reason::InvalidNtime);
    let foreign_bit = ShareFields { version: 0x2000_0001, ..good };
    assert_eq!(reason(&job, foreign_bit), Reason::InvalidVersion);
    let rolled = ShareFields { version: 0x2000_0020, ..good };
    assert_eq!(reason(&Job { version_mask: 0, ..job }, rolled), Reason::InvalidVersion);
    let greedy = Job { version_mask: 0xffff_ffff, ..job };
    assert_eq!(reason(&greedy, good), Reason::InvalidVersion);
    let weak = (0..TRIES)
        .map(|nonce| share(&ROLLED, nonce))
        .find(|share| judge(&work, &tip, &job, share).is_err());
    assert_eq!(reason(&job, weak.unwrap()), Reason::DifficultyTooLow);
}

#[test]
fn a_target_chosen_after_the_hash_changes_the_hash() {
    let (work, tip) = (work(&template()), tip(&template(), HARDER));
    let (payee, prefix) = (*miner(SIGNET_P2WPKH).payee(), channel().to_sv2());
    let honest = job(&payee, &prefix, -28);
    // A lucky share: good enough for 4096 hashes, mined at 16.
    let lucky = (0..TRIES)
        .map(|nonce| share(&ROLLED, nonce))
        .find(|share| {
            judge(&work, &tip, &honest, share)
                .is_ok_and(|judged| Target::of(Exponent::clamped(-20)).is_met_by(&judged.hash.0))
        })
        .unwrap();
    let dearer = Job { exponent: Exponent::clamped(-20), ..honest };
    assert_eq!(judge(&work, &tip, &dearer, &lucky), Err(Reason::DifficultyTooLow));
    // The same with another miner, another lane: the hash is another one.
    let thief = Payee::commitment(b"mallory");
    let stolen = judge(&work, &tip, &Job { payee: &thief, ..honest }, &lucky);
    assert_ne!(
        stolen.map(|judged| judged.hash),
        judge(&work, &tip, &honest, &lucky).map(|judged| judged.hash)
    );
}

#[test]
fn a_block_needs_its_own_target_and_the_shares() {
    let (work, tip) = (work(&template()), tip(&template(), EASY));
    let (payee, prefix) = (*miner(SIGNET_P2WPKH).payee(), channel().to_sv2());
    assert_eq!(tip.hardest_exponent(), Exponent::MIN);
    let job = job(&payee, &prefix, -32);
    let blocks = (0..1_000)
        .filter_map(|nonce| judge(&work, &tip, &job, &share(&ROLLED, nonce)).ok())
        .filter(|judged| judged.is_block)
        .inspect(|judged| assert!(tip.target().is_met_by(&judged.hash.0)))
        .count();
    assert!((400..600).contains(&blocks), "{blocks} of 1000 hashes met half of all targets");
}

#[test]
fn a_template_is_judged_on_its_own_tip_only() {
    let (payee, prefix) = (*miner(SIGNET_P2WPKH).payee(), channel().to_sv2());
    let job = job(&payee, &prefix, -32);
    let verdict = |new: &New| judge(&work(new), &tip(&template(), EASY), &job, &share(&ROLLED, 0));
    let elsewhere = New { prevhash: Some(BlockHash([9; 32])), ..template() };
    assert_eq!(verdict(&elsewhere), Err(Reason::WrongPrevhash));
    let prepared = New { prevhash: None, ..template() };
    assert_ne!(verdict(&prepared), Err(Reason::WrongPrevhash));
    let higher = New { height: 17, coinbase_prefix: vec![1, 17].into(), locktime: 0, ..prepared };
    assert_eq!(verdict(&higher), Err(Reason::WrongPrevhash));
    let error = tip(&template(), EASY).check(&work(&higher)).unwrap_err();
    assert_eq!(error, TipError::Height { template: 17, tip: 840_000 });
}

#[test]
fn a_batch_is_judged_as_the_ingress_judged_it() {
    let (new, identity) = (template(), miner(SIGNET_P2WPKH));
    let (work, tip) = (work(&new), tip(&new, HARDER));
    let submitted = shares::Job {
        source: WorkSource::Template { template: work.id(), prevhash: tip.prevhash() },
        kind: JobKind::Extended,
        exponent: Exponent::clamped(-30),
        extranonce_prefix: Extranonce::new(&channel().to_sv2()).unwrap(),
        extranonce_length: 20,
        identity: identity.canonical().to_owned(),
        version_mask: mining::VERSION_MASK,
    };
    let job = Job::of(&submitted, identity.payee());
    let rolled = mine(&work, &tip, &job, &ROLLED);
    let share = shares::Share {
        job: 0,
        channel: 77,
        sequence: 1,
        extranonce: Extranonce::new(&ROLLED).unwrap(),
        ntime: rolled.ntime,
        nonce: rolled.nonce,
        version: rolled.version,
        worker: 0,
        after_ms: 0,
    };
    assert_eq!(ShareFields::from(&share), rolled);
    assert!(judge(&work, &tip, &job, &ShareFields::from(&share)).is_ok());
}

/// The slow way: rust-bitcoin reads the whole coinbase and hashes it all.
fn naive_hash(new: &New, tip: &TipWork, coinbase: &[u8], share: &ShareFields<'_>) -> [u8; 32] {
    use bitcoin::{block, hashes::sha256d};
    let coinbase: Transaction = deserialize(coinbase).unwrap();
    let root = new.merkle_path.iter().fold(coinbase.compute_txid().to_raw_hash(), |left, right| {
        sha256d::Hash::hash(&[left.to_byte_array(), right.0].concat())
    });
    let header = block::Header {
        version: block::Version::from_consensus(i32::from_le_bytes(share.version.to_le_bytes())),
        prev_blockhash: bitcoin::BlockHash::from_byte_array(tip.prevhash().0),
        merkle_root: bitcoin::TxMerkleNode::from_raw_hash(root),
        time: share.ntime,
        bits: bitcoin::CompactTarget::from_consensus(tip.nbits()),
        nonce: share.nonce,
    };
    header.block_hash().to_byte_array()
}

proptest! {
    #[test]
    fn the_verdict_is_that_of_the_slow_way(
        new in any_template(), payee in any_payee(), exponent in -32..-26_i64, rolled: [u8; 13],
        nonce: u32, bits: u32, after in 0..=7_200_u32,
    ) {
        let (work, tip, prefix) = (work(&new), tip(&new, EASY), channel().to_sv2());
        let job = job(&payee, &prefix, exponent);
        let share = ShareFields {
            extranonce: &rolled,
            ntime: tip.min_ntime() + after,
            nonce,
            version: new.version | bits & mining::VERSION_MASK,
        };
        let hash = naive_hash(&new, &tip, &work.full_coinbase(&job, &rolled).unwrap(), &share);
        match judge(&work, &tip, &job, &share) {
            Ok(judged) => {
                prop_assert_eq!(judged.hash, BlockHash(hash));
                prop_assert!(Target::of(job.exponent).is_met_by(&hash));
                prop_assert_eq!(judged.is_block, tip.target().is_met_by(&hash));
            }
            Err(reason) => {
                prop_assert_eq!(reason, Reason::DifficultyTooLow);
                prop_assert!(!Target::of(job.exponent).is_met_by(&hash));
            }
        }
    }

    #[test]
    fn a_cached_root_gives_the_same_verdict(
        new in any_template(), payee in any_payee(), nonce: u32, exponent in -32..-28_i64,
    ) {
        let (work, tip, prefix) = (work(&new), tip(&new, EASY), channel().to_standard());
        let job = job(&payee, &prefix, exponent);
        let root = work.merkle_root(&job, &[]).unwrap();
        let share = ShareFields { version: new.version, ..share(&[], nonce) };
        let verdict = judge(&work, &tip, &job, &share);
        prop_assert_eq!(judge_on_root(&work, &tip, &job, root, &share), verdict);
    }

    #[test]
    fn a_header_reads_back(bytes in prop::collection::vec(any::<u8>(), 78..83)) {
        let header = Header::parse(&bytes);
        prop_assert_eq!(header.is_some(), bytes.len() == 80);
        if let Some(header) = header {
            prop_assert_eq!(header.to_bytes().to_vec(), bytes);
        }
    }
}
