//! What a stranger says is a block.

use crate::fixtures::{
    SIGNET_P2WPKH, TRIES, any_payee, any_template, miner, sats, template, tip, work,
};
use mining::{
    ClaimError, Job, Payee, Prefix, ShareFields, Solution, TipWork, WorkTemplate, check_claim,
    judge, solution,
};
use proptest::prelude::*;
use subjects::{BootEpoch, Exponent, Lane, NodeId, shares::JobKind, templates::New};

const EASY: u32 = 0x207f_ffff;

fn prefix() -> [u8; 7] {
    Prefix::new(Lane(3), BootEpoch(1), 77).unwrap().to_sv2()
}

/// The first solution that a miner with `payee` finds.
fn solved(work: &WorkTemplate, tip: &TipWork, payee: &Payee) -> Solution {
    let prefix = prefix();
    let job = Job {
        kind: JobKind::Extended,
        exponent: Exponent::MIN,
        extranonce_prefix: &prefix,
        extranonce_length: 20,
        payee,
        version_mask: work.version_mask(),
    };
    let share = |nonce| ShareFields {
        extranonce: &[7; 13],
        ntime: tip.min_ntime(),
        nonce,
        version: work.version(),
    };
    (0..TRIES)
        .map(share)
        .find(|share| judge(work, tip, &job, share).is_ok_and(|judged| judged.is_block))
        .and_then(|share| solution(work, tip, &job, &share))
        .unwrap()
}

/// The claim with other coinbase bytes, and a header that commits to them and still proves work.
fn mined_again(
    work: &WorkTemplate,
    tip: &TipWork,
    claim: &Solution,
    coinbase: &[u8],
) -> ClaimError {
    use bitcoin::hashes::{Hash as _, sha256d};
    let transaction: bitcoin::Transaction = bitcoin::consensus::deserialize(coinbase).unwrap();
    let leaf = transaction.compute_txid().to_raw_hash();
    let root = work
        .merkle_path()
        .iter()
        .fold(leaf, |left, right| sha256d::Hash::hash(&[left.to_byte_array(), *right].concat()));
    let mut header = claim.header;
    header[36..68].copy_from_slice(&root.to_byte_array());
    (0..1_000_u32)
        .map(|nonce| {
            header[76..80].copy_from_slice(&nonce.to_le_bytes());
            check_claim(work, tip, &header, coinbase).unwrap_err()
        })
        .find(|error| *error != ClaimError::ProofOfWork)
        .unwrap()
}

#[test]
fn a_claim_that_holds_says_what_core_says_of_the_block() {
    let (work, tip) = (work(&template()), tip(&template(), EASY));
    let payee = *miner(SIGNET_P2WPKH).payee();
    let solution = solved(&work, &tip, &payee);
    let claimed = solution.claimed(NodeId::core(), &work);
    let checked = check_claim(&work, &tip, &claimed.header.0, &claimed.coinbase.0).unwrap();
    assert_eq!(checked.finder, payee);
    assert_eq!(checked.split.finder, sats(4_321_987));
    assert_eq!(checked.solution.solved(&work), solution.solved(&work));
    assert_eq!(solution.solved(&work).hash, claimed.hash);
}

#[test]
fn a_claim_that_does_not_hold_is_refused_by_name() {
    let (work, tip) = (work(&template()), tip(&template(), EASY));
    let payee = *miner(SIGNET_P2WPKH).payee();
    let claim = solved(&work, &tip, &payee);
    let refused = |work: &WorkTemplate, tip: &TipWork, header: &[u8], coinbase: &[u8]| {
        check_claim(work, tip, header, coinbase).unwrap_err()
    };
    assert_eq!(refused(&work, &tip, &claim.header[1..], &claim.coinbase), ClaimError::Header);
    let harder = crate::fixtures::tip(&template(), 0x1b00_ffff);
    assert_eq!(refused(&work, &harder, &claim.header, &claim.coinbase), ClaimError::ProofOfWork);
    let elsewhere = crate::fixtures::tip(&template(), 0x207f_fffe);
    assert_eq!(refused(&work, &elsewhere, &claim.header, &claim.coinbase), ClaimError::Tip);
    let other = solved(&work, &tip, &Payee::commitment(b"other"));
    assert_eq!(refused(&work, &tip, &claim.header, &other.coinbase), ClaimError::MerkleRoot);
    for broken in [&[], &claim.coinbase[..60], &[claim.coinbase.as_slice(), &[0]].concat()] {
        assert_eq!(refused(&work, &tip, &claim.header, broken), ClaimError::Coinbase);
    }
}

#[test]
fn a_proven_block_that_pays_somebody_else_is_none_of_ours() {
    let (work, tip) = (work(&template()), tip(&template(), EASY));
    let claim = solved(&work, &tip, miner(SIGNET_P2WPKH).payee());
    let transaction: bitcoin::Transaction =
        bitcoin::consensus::deserialize(&claim.coinbase).unwrap();
    let thefts: [fn(&mut bitcoin::Transaction); 5] = [
        |coinbase| coinbase.output[0].script_pubkey = coinbase.output[1].script_pubkey.clone(),
        |coinbase| {
            coinbase.output[0].value -= bitcoin::Amount::ONE_SAT;
            coinbase.output[1].value += bitcoin::Amount::ONE_SAT;
        },
        |coinbase| coinbase.output.swap(0, 1),
        |coinbase| coinbase.output.truncate(2),
        |coinbase| coinbase.lock_time = bitcoin::absolute::LockTime::ZERO,
    ];
    for theft in thefts {
        let mut coinbase = transaction.clone();
        theft(&mut coinbase);
        let coinbase = bitcoin::consensus::serialize(&coinbase);
        assert_eq!(mined_again(&work, &tip, &claim, &coinbase), ClaimError::Coinbase);
    }
}

proptest! {
    #[test]
    fn every_solution_is_a_claim_that_holds(new in any_template(), payee in any_payee()) {
        let (work, tip) = (work(&new), tip(&new, EASY));
        let claim = solved(&work, &tip, &payee);
        let checked = check_claim(&work, &tip, &claim.header, &claim.coinbase);
        prop_assert_eq!(checked.map(|checked| (checked.finder, checked.solution)), Ok((payee, claim)));
    }

    #[test]
    fn no_coinbase_of_a_stranger_fails_badly(
        cut in 0..400_usize, at in 0..400_usize, flip: u8, junk in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let new = New { merkle_path: Vec::new(), ..template() };
        let (work, tip) = (work(&new), tip(&new, EASY));
        let claim = solved(&work, &tip, miner(SIGNET_P2WPKH).payee());
        let mut coinbase = claim.coinbase.clone();
        if let Some(byte) = coinbase.get_mut(at) {
            *byte ^= flip;
        }
        coinbase.truncate(cut);
        coinbase.extend(junk);
        let same = coinbase == claim.coinbase;
        prop_assert_eq!(check_claim(&work, &tip, &claim.header, &coinbase).is_ok(), same);
    }
}
