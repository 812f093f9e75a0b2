//! Honest work counts, in full and at its price.

use crate::{
    chain::{ALICE, BOB, EXPONENT, Ingress, miner, work},
    desk::Desk,
};
use subjects::{
    Exponent, Payload as _,
    blocks::Solved,
    shares::{Accepted, Refused, Submitted},
};

#[test]
fn every_honest_share_is_credited_at_the_price_in_its_coinbase() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let batch = ingress.honest(&work, ALICE, 5);
    let said = desk.submit(&batch);
    assert_eq!((said.credited(), said.tally.accepted), (5, 5));
    let [message] = said.accepted.as_slice() else { panic!("one message") };
    assert_eq!((message.batch, message.part, message.resume_at), (0, 0, 5));
    let price = Exponent::new(EXPONENT).unwrap().work();
    for share in &message.shares {
        let job = message.job_of(share).unwrap();
        assert_eq!((&job.miner, job.height, job.nbits), (&miner(ALICE), 100, work.tip.nbits));
        assert_eq!((share.work, share.block), (price, None));
        assert_eq!(message.worker_of(share), "rig");
    }
    assert_eq!(message.opened_at, batch.opened_at);
    assert!(said.refused.is_empty() && said.solved.is_empty());
}

#[test]
fn cores_own_lane_and_a_header_only_job_count_too() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("core", 7));
    let job = ingress.standard_job(&work, BOB, 9);
    let share = ingress.mine(&work, &job);
    assert_eq!(desk.submit(&ingress.batch(&[(job, share)])).credited(), 1);
}

#[test]
fn only_jobs_and_workers_of_accepted_shares_are_repeated() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let good = ingress.job(&work, ALICE, 2);
    let bad = ingress.job(&work, "nobody", 1);
    let share = ingress.mine(&work, &good);
    let mut batch = ingress.batch(&[(bad, share), (good.clone(), share)]);
    batch.workers = vec!["first".to_owned(), "second".to_owned()];
    batch.shares[1].worker = 1;
    let said = desk.submit(&batch);
    let [message] = said.accepted.as_slice() else { panic!("one message") };
    assert_eq!(message.jobs.iter().map(|job| &job.job).collect::<Vec<_>>(), [&good]);
    assert_eq!(message.workers, ["second"]);
    assert_eq!((message.shares[0].share.job, message.shares[0].share.worker), (0, 0));
    assert_eq!(said.refused[0].refusals[0].worker, "first");
}

#[test]
fn a_message_ends_at_a_block_which_is_told_first() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let job = ingress.job(&work, ALICE, 1);
    let shares = [
        ingress.mine(&work, &job),
        ingress.mine_block(&work, &job),
        ingress.mine(&work, &job),
        ingress.mine(&work, &job),
    ];
    let mut batch = ingress.batch(&shares.map(|share| (job.clone(), share)));
    batch.shares[3].nonce ^= 1;
    let said = desk.submit(&batch);
    assert_eq!(said.order, [Solved::TYPE, Refused::TYPE, Accepted::TYPE, Accepted::TYPE]);
    let parts: Vec<_> = said
        .accepted
        .iter()
        .map(|message| (message.part, message.resume_at, message.shares.len()))
        .collect();
    assert_eq!(parts, [(0, 2, 2), (1, 4, 1)]);
    let block = said.accepted[0].shares[1].block.unwrap();
    let [solved] = said.solved.as_slice() else { panic!("one block") };
    assert_eq!((solved.hash, solved.template, solved.height), (block, work.new.id(), 100));
    assert_eq!((solved.subsidy, solved.fees), (work.new.subsidy, work.new.fees));
}

#[test]
fn a_batch_with_a_block_at_its_end_is_one_message() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let job = ingress.job(&work, ALICE, 1);
    let shares = [ingress.mine(&work, &job), ingress.mine_block(&work, &job)];
    let said = desk.submit(&ingress.batch(&shares.map(|share| (job.clone(), share))));
    assert_eq!((said.accepted.len(), said.accepted[0].resume_at), (1, 2));
}

#[test]
fn an_empty_batch_says_nothing() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let empty: Submitted = ingress.batch(&[]);
    assert!(desk.submit(&empty).is_silent());
    assert_eq!(desk.submit(&ingress.honest(&work, ALICE, 1)).tally.missing_before, 0);
}
