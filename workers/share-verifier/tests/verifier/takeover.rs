//! Another verifier takes over: it knows what the streams know, no more and no less.

use crate::{
    chain::{ALICE, Ingress, Work, prevhash, work, work_of},
    desk::{Desk, Said},
};
use subjects::shares::{Reason, Share, Submitted};

fn desk_and_ingress(work: &Work) -> (Desk, Ingress) {
    (Desk::new(&[work]), Ingress::new("n1", 300))
}

#[test]
fn proofs_of_the_tip_are_recalled() {
    let work = work(100);
    let (mut desk, mut ingress) = desk_and_ingress(&work);
    let first = ingress.honest(&work, ALICE, 3);
    desk.submit(&first);
    desk.submit(&ingress.honest(&work, ALICE, 3));
    desk.take_over();
    let mut replay = first;
    replay.batch = ingress.next_batch;
    let said = desk.submit(&replay);
    assert_eq!((said.credited(), said.reasons().len()), (0, 3));
    assert!(said.reasons().iter().all(|(_, reason)| *reason == Reason::DuplicateShare));
}

#[test]
fn a_closed_tip_stays_closed() {
    let (old, new) = (work(100), work(101));
    let mut desk = Desk::new(&[&old, &new]);
    let mut ingress = Ingress::new("n1", 300);
    desk.submit(&ingress.honest(&new, ALICE, 1));
    desk.take_over();
    let back = ingress.honest(&old, ALICE, 1);
    assert_eq!(desk.submit(&back).reasons(), [(0, Reason::TipClosed)]);
}

#[test]
fn an_epoch_that_is_over_stays_over() {
    let work = work(100);
    let (mut desk, mut ingress) = desk_and_ingress(&work);
    let late = ingress.honest(&work, ALICE, 1);
    ingress.restart();
    desk.submit(&ingress.honest(&work, ALICE, 1));
    desk.take_over();
    assert_eq!(desk.submit(&late).reasons(), [(0, Reason::OldEpoch)]);
}

/// Shares and how the record deals with each: as often as it is in there.
fn record_of(desk: &Desk, batch: &Submitted) -> Vec<usize> {
    let record = desk.record();
    let recorded: Vec<Share> =
        record.iter().flat_map(|message| &message.shares).map(|share| share.share).collect();
    let times = |share: &Share| recorded.iter().filter(|it| it.nonce == share.nonce).count();
    batch.shares.iter().map(times).collect()
}

/// A batch with two blocks and a bad share, so that its answer has as many facts as can be.
fn eventful(ingress: &mut Ingress, work: &Work) -> Submitted {
    let job = ingress.job(work, ALICE, 1);
    let shares = [
        ingress.mine(work, &job),
        ingress.mine_block(work, &job),
        ingress.mine(work, &job),
        ingress.mine_block(work, &job),
        ingress.mine(work, &job),
        ingress.mine(work, &job),
    ];
    let mut batch = ingress.batch(&shares.map(|share| (job.clone(), share)));
    batch.shares[4].nonce ^= 1;
    batch
}

#[test]
fn a_crash_after_any_fact_loses_and_doubles_nothing() {
    let work = work(100);
    let (_, mut ingress) = desk_and_ingress(&work);
    let before = ingress.honest(&work, ALICE, 1);
    let batch = eventful(&mut ingress, &work);
    let after = ingress.honest(&work, ALICE, 2);
    for facts in 0..=6 {
        let mut desk = Desk::new(&[&work]);
        desk.submit(&before);
        let first = desk.submit_and_crash(&batch, facts);
        assert_eq!(first.order.len(), 6, "2 blocks, 1 refused, 3 accepted");
        let again: Said = desk.submit(&batch);
        assert_eq!(record_of(&desk, &batch), [1, 1, 1, 1, 0, 1], "after {facts} facts");
        let refused_again = usize::from(facts < 3);
        assert_eq!(again.refused.len(), refused_again, "after {facts} facts");
        let parts: Vec<u32> =
            desk.record().iter().filter(|it| it.batch == 1).map(|it| it.part).collect();
        assert_eq!(parts, [0, 1, 2], "after {facts} facts");
        let said = desk.submit(&after);
        assert_eq!((said.credited(), said.tally.missing_before), (2, 0), "after {facts} facts");
        assert!(desk.submit(&batch).is_silent());
    }
}

#[test]
fn a_batch_of_which_nothing_counted_is_not_missed() {
    let work = work(100);
    let (mut desk, mut ingress) = desk_and_ingress(&work);
    desk.submit(&ingress.honest(&work, ALICE, 1));
    let mut bad = ingress.honest(&work, ALICE, 1);
    bad.shares[0].nonce ^= 1;
    desk.submit(&bad);
    desk.take_over();
    assert!(desk.submit(&bad).is_silent(), "what was refused is not refused again");
    let said = desk.submit(&ingress.honest(&work, ALICE, 1));
    assert_eq!((said.credited(), said.tally.missing_before), (1, 0));
}

/// A lane with 30 old messages, one just before its tip, and three of its tip, of which the last
/// stands apart; other lanes write in between.
fn long_past(before: usize, between: usize) -> (Desk, Submitted) {
    let (old, tip) = (work(100), work(101));
    let mut desk = Desk::new(&[&old, &tip]);
    let mut ingress = Ingress::new("n1", 300);
    for _ in 0..30 {
        desk.submit(&ingress.honest(&old, ALICE, 1));
    }
    desk.others_write(before);
    desk.submit(&ingress.honest(&old, ALICE, 1));
    let first = ingress.honest(&tip, ALICE, 1);
    desk.submit(&first);
    desk.submit(&ingress.honest(&tip, ALICE, 1));
    desk.others_write(between);
    desk.submit(&ingress.honest(&tip, ALICE, 1));
    desk.take_over();
    desk.recalled = 0;
    (desk, Submitted { batch: ingress.next_batch, ..first })
}

#[test]
fn a_long_past_is_read_back_only_as_far_as_the_tip_reaches() {
    let (mut desk, replay) = long_past(20_000, 10_000);
    assert_eq!(desk.submit(&replay).reasons(), [(0, Reason::DuplicateShare)]);
    // The last message twice, and four in one stretch.
    assert_eq!(desk.recalled, 6);
}

#[test]
fn a_tip_that_reaches_far_back_is_read_in_longer_stretches() {
    let (mut desk, replay) = long_past(200_000, 20_000);
    assert_eq!(desk.submit(&replay).reasons(), [(0, Reason::DuplicateShare)]);
    // The last message twice, one in the first stretch, four in the second.
    assert_eq!(desk.recalled, 7);
}

/// Only when the lane has been recalled is anything decided; the stream of templates comes first.
#[test]
fn a_lane_that_stands_on_an_unheard_tip_waits() {
    let (old, new) = (work(100), work(101));
    let mut desk = Desk::new(&[&old]);
    let mut ingress = Ingress::new("n1", 300);
    let kept = ingress.honest(&old, ALICE, 1);
    // A predecessor that had heard more accepted a share of a later tip.
    let mut predecessor = Desk::new(&[&old, &new]);
    let newest = ingress.honest(&new, ALICE, 1);
    let said = predecessor.submit(&newest);
    desk.adopt(&said);
    desk.publish_ahead(&new);
    let mut late = kept;
    late.batch = ingress.next_batch;
    assert_eq!(desk.submit(&late).reasons(), [(0, Reason::TipClosed)]);
    assert!(desk.waits > 0);
}

/// It is found when the lane is looked up again, here because its tip returned.
#[test]
fn what_another_verifier_wrote_meanwhile_is_recalled_too() {
    let (main, rival) = (work(100), work_of("main", 100, prevhash(7_777)));
    let (mut desk, mut other) = (Desk::new(&[&main]), Desk::new(&[&main, &rival]));
    let mut ingress = Ingress::new("n1", 300);
    desk.submit(&ingress.honest(&main, ALICE, 1));
    desk.publish(&rival);
    desk.submit(&ingress.honest(&rival, ALICE, 1));
    let theirs = ingress.honest(&rival, ALICE, 1);
    let said = other.submit(&theirs);
    desk.adopt(&said);
    desk.publish_tip(&main);
    let job = ingress.job(&main, ALICE, 1);
    let share = ingress.mine(&main, &job);
    let replay = (theirs.jobs[0].clone(), theirs.shares[0]);
    let said = desk.submit(&ingress.batch(&[replay, (job, share)]));
    assert_eq!((said.credited(), said.reasons()), (1, vec![(0, Reason::DuplicateShare)]));
}
