//! One example of every reason that Core refuses a share for.

use crate::{
    chain::{ALICE, Ingress, Work, prevhash, twin, work, work_of},
    desk::{Desk, Said, rules},
};
use share_verifier::domain::Rules;
use subjects::{
    BootEpoch, Exponent, Lane, TemplateId,
    shares::{Extranonce, Job, Reason, Share, Submitted, WorkSource},
};

/// Submits one share, good but for what `change` does to it.
fn refused_after(change: impl FnOnce(&mut Job, &mut Share)) -> Reason {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let mut job = ingress.job(&work, ALICE, 1);
    let mut share = ingress.mine(&work, &job);
    change(&mut job, &mut share);
    only(&desk.submit(&ingress.batch(&[(job, share)])))
}

/// Submits one good share in a batch that `change` spoils.
fn refused_batch(change: impl FnOnce(&mut Submitted)) -> Reason {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let mut batch = ingress.honest(&work, ALICE, 1);
    change(&mut batch);
    only(&desk.submit_on("shares.submitted.n1.300", &batch))
}

fn only(said: &Said) -> Reason {
    assert_eq!(said.credited(), 0);
    let reasons = said.reasons();
    let [(0, reason)] = reasons.as_slice() else { panic!("one refusal: {reasons:?}") };
    assert_eq!(said.tally.refused.get(reason), Some(&1));
    *reason
}

#[test]
fn duplicate_share() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let job = ingress.job(&work, ALICE, 1);
    let share = ingress.mine(&work, &job);
    let twice = [(job.clone(), share), (job.clone(), share)];
    let said = desk.submit(&ingress.batch(&twice));
    assert_eq!((said.credited(), said.reasons()), (1, vec![(1, Reason::DuplicateShare)]));
    let again = desk.submit(&ingress.batch(&[(job, share)]));
    assert_eq!(only(&again), Reason::DuplicateShare);
}

#[test]
fn difficulty_too_low() {
    let reason = refused_after(|_, share| share.nonce ^= 1);
    assert_eq!(reason, Reason::DifficultyTooLow);
}

#[test]
fn a_target_that_the_network_does_not_take_is_too_low() {
    let work = work(100);
    let min_exponent = Exponent::new(-20).unwrap();
    let mut desk = Desk::with_rules(Rules { min_exponent, ..rules() }, &[&work]);
    let batch = Ingress::new("n1", 300).honest(&work, ALICE, 1);
    assert_eq!(only(&desk.submit(&batch)), Reason::DifficultyTooLow);
}

#[test]
fn a_lane_that_fills_its_memory_of_proofs_mines_too_easily() {
    let work = work(100);
    let mut desk = Desk::with_rules(Rules { max_proofs: 2, ..rules() }, &[&work]);
    let said = desk.submit(&Ingress::new("n1", 300).honest(&work, ALICE, 3));
    assert_eq!((said.credited(), said.reasons()), (2, vec![(2, Reason::DifficultyTooLow)]));
}

#[test]
fn bad_extranonce_size() {
    let reason = refused_after(|_, share| share.extranonce = Extranonce::new(&[1; 12]).unwrap());
    assert_eq!(reason, Reason::BadExtranonceSize);
}

#[test]
fn invalid_version() {
    let reason = refused_after(|_, share| share.version ^= 1);
    assert_eq!(reason, Reason::InvalidVersion);
    let reason = refused_after(|job, _| job.version_mask = u32::MAX);
    assert_eq!(reason, Reason::InvalidVersion);
}

#[test]
fn invalid_ntime() {
    let before = refused_after(|_, share| share.ntime = 1_699_999_999);
    let after = refused_after(|_, share| share.ntime = 1_700_007_201);
    assert_eq!((before, after), (Reason::InvalidNtime, Reason::InvalidNtime));
}

#[test]
fn unknown_template() {
    let reason = refused_after(|job, _| {
        let WorkSource::Template { prevhash, .. } = job.source else { panic!() };
        job.source = WorkSource::Template { template: TemplateId([9; 16]), prevhash };
    });
    assert_eq!(reason, Reason::UnknownTemplate);
}

#[test]
fn wrong_prevhash() {
    let elsewhere = |hash| {
        refused_after(move |job, _| {
            let WorkSource::Template { template, .. } = job.source else { panic!() };
            job.source = WorkSource::Template { template, prevhash: hash };
        })
    };
    assert_eq!(elsewhere(prevhash(5)), Reason::WrongPrevhash);
}

#[test]
fn a_template_counts_on_its_own_tip_only() {
    let (first, second) = (work(100), work(101));
    let (mut desk, mut ingress) = (Desk::new(&[&first, &second]), Ingress::new("n1", 300));
    let mut job = ingress.job(&first, ALICE, 1);
    let share = ingress.mine(&first, &job);
    job.source = WorkSource::Template { template: first.new.id(), prevhash: second.tip.prevhash };
    assert_eq!(only(&desk.submit(&ingress.batch(&[(job, share)]))), Reason::WrongPrevhash);
}

/// A template that was prepared before its tip was known.
fn prepared(height: u32) -> Work {
    let mut work = work(height);
    work.new.prevhash = None;
    work.tip.template = work.new.id();
    work
}

#[test]
fn a_prepared_template_counts_where_a_tip_activated_it() {
    let (known, next) = (work(99), prepared(100));
    let (mut desk, mut ingress) = (Desk::new(&[&known]), Ingress::new("n1", 300));
    desk.publish_template(&next);
    let early = ingress.honest(&next, ALICE, 1);
    assert_eq!(only(&desk.submit(&early)), Reason::WrongPrevhash);
    desk.publish_tip(&next);
    assert_eq!(desk.submit(&ingress.honest(&next, ALICE, 1)).credited(), 1);
}

#[test]
fn a_prepared_template_does_not_count_on_a_tip_that_activated_another() {
    let (prepared, taken) = (prepared(100), twin(&work(100)));
    let mut desk = Desk::new(&[&taken]);
    desk.publish_template(&prepared);
    let batch = Ingress::new("n1", 300).honest(&prepared, ALICE, 1);
    assert_eq!(only(&desk.submit(&batch)), Reason::WrongPrevhash);
}

#[test]
fn too_late() {
    let works: Vec<Work> = (100..108).map(work).collect();
    let mut desk = Desk::new(&works[..1].iter().collect::<Vec<_>>());
    for later in &works[1..7] {
        desk.publish(later);
    }
    let mut ingress = Ingress::new("n1", 300);
    let six_behind = ingress.honest(&works[0], ALICE, 1);
    assert_eq!(desk.submit(&six_behind).credited(), 1);
    desk.publish(&works[7]);
    let seven_behind = ingress.honest(&works[0], ALICE, 1);
    assert_eq!(only(&desk.submit(&seven_behind)), Reason::TooLate);
}

#[test]
fn a_second_provider_of_the_same_tip_makes_nothing_later() {
    let first = work(100);
    let mut desk = Desk::new(&[&first]);
    for height in 101..=106 {
        desk.publish(&work(height));
        desk.publish(&work_of("second", height, prevhash(height)));
    }
    let batch = Ingress::new("n1", 300).honest(&first, ALICE, 1);
    assert_eq!(desk.submit(&batch).credited(), 1);
}

#[test]
fn tip_closed() {
    let (old, new) = (work(100), work(101));
    let (mut desk, mut ingress) = (Desk::new(&[&old, &new]), Ingress::new("n1", 300));
    assert_eq!(desk.submit(&ingress.honest(&old, ALICE, 1)).credited(), 1);
    assert_eq!(desk.submit(&ingress.honest(&new, ALICE, 1)).credited(), 1);
    let back = ingress.honest(&old, ALICE, 1);
    assert_eq!(only(&desk.submit(&back)), Reason::TipClosed);
}

#[test]
fn a_tip_closes_within_a_batch_too() {
    let (old, new) = (work(100), work(101));
    let (mut desk, mut ingress) = (Desk::new(&[&old, &new]), Ingress::new("n1", 300));
    let proofs: Vec<_> = [&old, &new, &old]
        .map(|work| {
            let job = ingress.job(work, ALICE, 1);
            let share = ingress.mine(work, &job);
            (job, share)
        })
        .into();
    let said = desk.submit(&ingress.batch(&proofs));
    assert_eq!((said.credited(), said.reasons()), (2, vec![(2, Reason::TipClosed)]));
}

#[test]
fn wrong_lane() {
    assert_eq!(refused_batch(|batch| batch.lane = Lane(301)), Reason::WrongLane);
    let other = refused_batch(|batch| batch.node = "n2".parse().unwrap());
    assert_eq!(other, Reason::WrongLane);
}

#[test]
fn lane_not_owned() {
    let work = work(100);
    for (node, lane) in [("n1", 400), ("n1", 999), ("n1", 7), ("core", 300), ("n1", 0)] {
        let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new(node, lane));
        let said = desk.submit(&ingress.honest(&work, ALICE, 1));
        assert_eq!(only(&said), Reason::LaneNotOwned, "{node} on {lane}");
    }
}

#[test]
fn wrong_prefix() {
    let other_lane = refused_after(|job, _| {
        let prefix = Ingress::new("n2", 400).prefix(1).to_sv2();
        job.extranonce_prefix = Extranonce::new(&prefix).unwrap();
    });
    let other_channel = refused_after(|_, share| share.channel = 2);
    let other_epoch = refused_batch(|batch| batch.boot_epoch = BootEpoch(2));
    assert_eq!(
        [other_lane, other_channel, other_epoch],
        [Reason::WrongPrefix, Reason::WrongPrefix, Reason::WrongPrefix]
    );
}

#[test]
fn invalid_identity() {
    let spelled = |identity: &'static str| refused_after(|job, _| job.identity = identity.into());
    let upper = "TB1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KXPJZSX";
    let mainnet = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    let key = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    for identity in ["", "somebody", upper, mainnet, key, "@alias", "tb1qw508.rig"] {
        assert_eq!(spelled(identity), Reason::InvalidIdentity, "{identity}");
    }
}

#[test]
fn declared_jobs_off() {
    let reason = refused_after(|job, _| {
        let prevhash = job.source.prevhash();
        job.source = WorkSource::Declared { job: TemplateId([1; 16]), prevhash };
    });
    assert_eq!(reason, Reason::DeclaredJobsOff);
}

#[test]
fn old_epoch() {
    let work = work(100);
    let (mut desk, mut ingress) = (Desk::new(&[&work]), Ingress::new("n1", 300));
    let late = ingress.honest(&work, ALICE, 1);
    ingress.restart();
    assert_eq!(desk.submit(&ingress.honest(&work, ALICE, 1)).credited(), 1);
    assert_eq!(only(&desk.submit(&late)), Reason::OldEpoch);
}

#[test]
fn every_reason_of_core_has_an_example_here() {
    // The two that only an ingress can say: it knows open channels and jobs, and the current tip.
    let of_ingress = [Reason::InvalidChannelId, Reason::InvalidJobId, Reason::StaleShare];
    let examples = include_str!("refusals.rs");
    for reason in Reason::ALL.iter().filter(|reason| !of_ingress.contains(reason)) {
        assert!(examples.matches(&format!("Reason::{reason:?}")).count() > 0, "{reason:?}");
    }
}
