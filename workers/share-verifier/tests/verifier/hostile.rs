//! A node that forges shares: nothing is credited, and each is refused by name.

use crate::{
    chain::{ALICE, BOB, Ingress, payee, twin, work},
    desk::Desk,
};
use mining::{Job, ShareFields, TipWork, WorkTemplate, judge};
use subjects::{
    Exponent, Lane,
    shares::{Extranonce, Reason},
};

/// What a share is worth if the node may say so afterwards.
#[test]
fn a_target_chosen_after_the_hash() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let honest = ingress.job(&work, ALICE, 1);
    // The luckiest of many hashes, and the hardest target that it happens to meet.
    let lucky = ingress.mine_block(&work, &honest);
    let dearer = subjects::shares::Job {
        exponent: Exponent::new(crate::chain::EXPONENT + 8).unwrap(),
        ..honest.clone()
    };
    let said = desk.submit(&ingress.batch(&[(dearer, lucky)]));
    assert_eq!((said.credited(), said.reasons()), (0, vec![(0, Reason::DifficultyTooLow)]));
    // At the price in its coinbase it counts.
    assert_eq!(desk.submit(&ingress.batch(&[(honest, lucky)])).credited(), 1);
}

#[test]
fn credit_moved_to_another_miner() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let alices = ingress.job(&work, ALICE, 1);
    let share = ingress.mine(&work, &alices);
    let stolen = subjects::shares::Job { identity: BOB.to_owned(), ..alices };
    let said = desk.submit(&ingress.batch(&[(stolen, share)]));
    assert_eq!((said.credited(), said.reasons()), (0, vec![(0, Reason::DifficultyTooLow)]));
}

#[test]
fn a_replay_under_a_new_batch_number() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let batch = ingress.honest(&work, ALICE, 3);
    assert_eq!(desk.submit(&batch).credited(), 3);
    let mut replay = batch;
    replay.batch = ingress.next_batch;
    let said = desk.submit(&replay);
    assert_eq!(said.credited(), 0);
    assert!(said.reasons().iter().all(|(_, reason)| *reason == Reason::DuplicateShare));
    assert_eq!(said.reasons().len(), 3);
}

#[test]
fn a_replay_of_the_very_batch_is_not_said_again() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let batch = ingress.honest(&work, ALICE, 2);
    assert_eq!(desk.submit(&batch).credited(), 2);
    let again = desk.submit(&batch);
    assert!(again.is_silent());
    assert_eq!(again.tally.repeated, 1);
}

/// A proof is the hash of its header, so a template under two numbers credits it once.
#[test]
fn a_replay_under_a_twin_of_its_template() {
    let work = work(100);
    let twin = twin(&work);
    let (mut desk, mut ingress) = (Desk::new(&[&work, &twin]), Ingress::new("n1", 300));
    let job = ingress.job(&work, ALICE, 1);
    let share = ingress.mine(&work, &job);
    let again = ingress.job(&twin, ALICE, 1);
    let said = desk.submit(&ingress.batch(&[(job, share), (again, share)]));
    assert_eq!((said.credited(), said.reasons()), (1, vec![(1, Reason::DuplicateShare)]));
}

/// Rolled zeros or a longer prefix make the same extranonce, so they make the same proof.
#[test]
fn a_header_only_proof_handed_in_as_an_extended_one() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let standard = ingress.standard_job(&work, ALICE, 1);
    let share = ingress.mine(&work, &standard);
    let extended = ingress.job(&work, ALICE, 1);
    let mut rolled = share;
    rolled.extranonce = Extranonce::new(&[0; 13]).unwrap();
    let said = desk.submit(&ingress.batch(&[(standard, share), (extended, rolled)]));
    assert_eq!((said.credited(), said.reasons()), (1, vec![(1, Reason::DuplicateShare)]));
}

#[test]
fn a_share_of_another_nodes_lane() {
    let work = work(100);
    let mut desk = Desk::new(&[&work]);
    let (mut honest, mut thief) = (Ingress::new("n2", 400), Ingress::new("n1", 300));
    let job = honest.job(&work, BOB, 1);
    let share = honest.mine(&work, &job);
    // On its own lane, on the other's lane, and on the other's lane in the other's name.
    let own = thief.batch(&[(job.clone(), share)]);
    assert_eq!(desk.submit(&own).reasons(), [(0, Reason::WrongPrefix)]);
    let mut foreign = thief.batch(&[(job.clone(), share)]);
    foreign.lane = Lane(400);
    let said = desk.submit_on("shares.submitted.n1.400", &foreign);
    assert_eq!(said.reasons(), [(0, Reason::LaneNotOwned)]);
    foreign.node = "n2".parse().unwrap();
    let said = desk.submit_on("shares.submitted.n1.400", &foreign);
    assert_eq!(said.reasons(), [(0, Reason::WrongLane)]);
    assert_eq!(said.refused[0].node.as_str(), "n1", "told to who sent it");
    // And the owner's proof is still good.
    assert_eq!(desk.submit(&honest.batch(&[(job, share)])).credited(), 1);
}

#[test]
fn a_made_up_template() {
    let (real, mut made_up) = (work(100), work(100));
    made_up.new.coinbase_rule.treasury_script.0[5] ^= 1;
    let (mut desk, mut ingress) = (Desk::new(&[&real]), Ingress::new("n1", 300));
    let said = desk.submit(&ingress.honest(&made_up, ALICE, 2));
    assert_eq!(said.credited(), 0);
    let unknown = Reason::UnknownTemplate;
    assert_eq!(said.reasons(), [(0, unknown), (1, unknown)]);
    assert!(desk.waits >= 2, "the template might have been on its way");
}

#[test]
fn a_coinbase_of_its_own() {
    let (real, mut own) = (work(100), work(100));
    // Mined on a coinbase that pays the treasury's part elsewhere, handed in as the real one.
    own.new.coinbase_rule.treasury_script.0[5] ^= 1;
    let (mut desk, mut ingress) = (Desk::new(&[&real]), Ingress::new("n1", 300));
    let job = ingress.job(&own, ALICE, 1);
    let share = ingress.mine(&own, &job);
    let claimed = ingress.job(&real, ALICE, 1);
    let said = desk.submit(&ingress.batch(&[(claimed, share)]));
    assert_eq!((said.credited(), said.reasons()), (0, vec![(0, Reason::DifficultyTooLow)]));
}

#[test]
fn work_of_an_hour_ago() {
    let old = work(100);
    let mut desk = Desk::new(&[&old]);
    let mut ingress = Ingress::new("n1", 300);
    let kept = ingress.honest(&old, ALICE, 1);
    for height in 101..=107 {
        desk.publish(&work(height));
    }
    assert_eq!(desk.submit(&kept).reasons(), [(0, Reason::TooLate)]);
}

#[test]
fn too_easy() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let job = ingress.job(&work, ALICE, 1);
    let template = WorkTemplate::new(work.new.id(), &work.new).unwrap();
    let tip = TipWork::new(&work.tip).unwrap();
    let payee = payee(ALICE);
    let misses = (0..).map(|nonce| ingress.share(&job, nonce)).find(|share| {
        judge(&template, &tip, &Job::of(&job, &payee), &ShareFields::from(share)).is_err()
    });
    let said = desk.submit(&ingress.batch(&[(job, misses.unwrap())]));
    assert_eq!(said.reasons(), [(0, Reason::DifficultyTooLow)]);
}

#[test]
fn refusals_of_a_stranger_leave_the_honest_part_of_a_batch_alone() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let mut batch = ingress.honest(&work, ALICE, 4);
    batch.shares[1].nonce ^= 1;
    batch.jobs[2].identity = BOB.to_owned();
    let said = desk.submit(&batch);
    let low = Reason::DifficultyTooLow;
    assert_eq!((said.credited(), said.reasons()), (2, vec![(1, low), (2, low)]));
    let kept: Vec<_> = said.accepted[0].shares.iter().map(|share| share.share.nonce).collect();
    assert_eq!(kept, [batch.shares[0].nonce, batch.shares[3].nonce]);
}
