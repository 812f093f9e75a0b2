//! The order of a lane: tips, epochs, numbers, and what has to be waited for.

use crate::{
    chain::{ALICE, Ingress, prevhash, twin, work, work_of},
    desk::Desk,
};
use subjects::shares::{Reason, Submitted};

#[test]
fn a_template_that_is_on_its_way_is_waited_for() {
    let (known, coming) = (work(100), work(101));
    let (mut desk, mut ingress) = (Desk::new(&[&known]), Ingress::new("n1", 300));
    let batch = ingress.honest(&coming, ALICE, 1);
    desk.publish_ahead(&coming);
    assert_eq!(desk.submit(&batch).credited(), 1);
    assert!(desk.waits > 0);
}

/// What was credited before a tip went is not credited again after it came back.
fn credits_nothing_again(desk: &mut Desk, ingress: &Ingress, credited: Submitted) {
    let replay = Submitted { batch: ingress.next_batch, ..credited };
    let said = desk.submit(&replay);
    let duplicate = Reason::DuplicateShare;
    assert_eq!((said.credited(), said.reasons()), (0, vec![(0, duplicate), (1, duplicate)]));
}

#[test]
fn a_reorganisation_and_back_costs_no_honest_share() {
    let (main, rival) = (work(100), work_of("main", 100, prevhash(7_777)));
    let (mut desk, mut ingress) = (Desk::new(&[&main]), Ingress::new("n1", 300));
    let before = ingress.honest(&main, ALICE, 2);
    assert_eq!(desk.submit(&before).credited(), 2);
    desk.publish(&rival);
    assert_eq!(desk.submit(&ingress.honest(&rival, ALICE, 1)).credited(), 1);
    desk.publish_tip(&main);
    assert_eq!(desk.submit(&ingress.honest(&main, ALICE, 1)).credited(), 1);
    credits_nothing_again(&mut desk, &ingress, before);
}

/// So does a bitcoind that lost its last blocks in a crash.
#[test]
fn a_tip_that_returns_after_long_costs_no_honest_share_and_no_wait() {
    let main = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&main]), Ingress::new("n1", 300));
    let before = ingress.honest(&main, ALICE, 2);
    assert_eq!(desk.submit(&before).credited(), 2);
    for height in 101..161 {
        let work = work(height);
        desk.publish(&work);
        assert_eq!(desk.submit(&ingress.honest(&work, ALICE, 1)).credited(), 1);
    }
    // The template on which the tip was mined first is long forgotten.
    let again = twin(&main);
    desk.publish(&again);
    assert_eq!(desk.submit(&ingress.honest(&again, ALICE, 1)).credited(), 1);
    assert_eq!(desk.waits, 0, "nothing more will be heard that could be waited for");
    credits_nothing_again(&mut desk, &ingress, before);
}

/// What was credited on it could only be known by reading more than anybody should.
#[test]
fn a_tip_that_returns_after_far_too_long_is_closed_for_those_who_mined_on_it() {
    let main = work(100);
    let mut desk = Desk::new(&[&main]);
    let (mut old, mut new) = (Ingress::new("n1", 300), Ingress::new("n1", 301));
    assert_eq!(desk.submit(&old.honest(&main, ALICE, 2)).credited(), 2);
    desk.much_is_published(40_000);
    for height in 101..161 {
        let work = work(height);
        desk.publish(&work);
        assert_eq!(desk.submit(&old.honest(&work, ALICE, 1)).credited(), 1);
    }
    let again = twin(&main);
    desk.publish(&again);
    let before = desk.recalled;
    let said = desk.submit(&old.honest(&again, ALICE, 2));
    assert_eq!(said.reasons(), [(0, Reason::TipClosed), (1, Reason::TipClosed)]);
    assert_eq!(desk.submit(&new.honest(&again, ALICE, 1)).credited(), 1);
    assert!(desk.recalled - before < 100, "{} messages were read", desk.recalled - before);
    assert_eq!(desk.waits, 0, "nobody waits for what will not be read");
    let next = work(161);
    desk.publish(&next);
    assert_eq!(desk.submit(&old.honest(&next, ALICE, 1)).credited(), 1);
}

#[test]
fn a_slow_second_provider_reopens_nothing() {
    let (old, new) = (work(100), work(101));
    let (mut desk, mut ingress) = (Desk::new(&[&old, &new]), Ingress::new("n1", 300));
    assert_eq!(desk.submit(&ingress.honest(&new, ALICE, 1)).credited(), 1);
    desk.publish(&work_of("slow", 100, prevhash(100)));
    let back = ingress.honest(&old, ALICE, 1);
    assert_eq!(desk.submit(&back).reasons(), [(0, Reason::TipClosed)]);
    assert_eq!(desk.submit(&ingress.honest(&new, ALICE, 1)).credited(), 1);
}

#[test]
fn a_new_boot_epoch_counts_from_zero() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    for _ in 0..3 {
        desk.submit(&ingress.honest(&work, ALICE, 1));
    }
    ingress.restart();
    let said = desk.submit(&ingress.honest(&work, ALICE, 1));
    assert_eq!((said.credited(), said.tally.missing_before), (1, 0));
}

#[test]
fn a_gap_is_counted_and_what_follows_counts() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    desk.submit(&ingress.honest(&work, ALICE, 1));
    ingress.next_batch += 2;
    let said = desk.submit(&ingress.honest(&work, ALICE, 1));
    assert_eq!((said.credited(), said.tally.missing_before), (1, 2));
    let said = desk.submit(&ingress.honest(&work, ALICE, 1));
    assert_eq!((said.credited(), said.tally.missing_before), (1, 0));
}

#[test]
fn lanes_do_not_disturb_one_another() {
    let (old, new) = (work(100), work(101));
    let mut desk = Desk::new(&[&old, &new]);
    let (mut one, mut other) = (Ingress::new("n1", 300), Ingress::new("n1", 301));
    assert_eq!(desk.submit(&one.honest(&new, ALICE, 1)).credited(), 1);
    assert_eq!(desk.submit(&other.honest(&old, ALICE, 1)).credited(), 1);
}
