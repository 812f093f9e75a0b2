//! Whatever happens to templates, tips and targets: a share that meets what its client was told is
//! taken, at the price that its own coinbase commits to.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::testing::work::{ADDRESS, Chain, HARD, at, rules};
use proptest::prelude::*;
use std::collections::BTreeMap;
use stratum_core::{
    bitcoin::Target,
    parsers_sv2::{AnyMessageOwned, MiningOwned},
};
use subjects::Exponent;
use support::{
    client::{
        ANY_TARGET, Channel, Job, hash_rate, open_extended, setup, setup_message, submit, update,
    },
    transcript::Conversation,
};

/// Its hardest exponent is -24.
const EASY: u32 = 0x2000_ffff;

#[derive(Clone, Copy, Debug)]
enum Step {
    Refresh,
    Prepare,
    Block { nbits: u32 },
    Update { k: i32 },
    Share { job: usize },
    Silence { secs: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Refresh),
        1 => Just(Step::Prepare),
        1 => prop_oneof![Just(HARD), Just(EASY)].prop_map(|nbits| Step::Block { nbits }),
        1 => (-27..-20).prop_map(|k| Step::Update { k }),
        4 => (0..9_usize).prop_map(|job| Step::Share { job }),
        1 => (1..40_u64).prop_map(|secs| Step::Silence { secs }),
    ]
}

fn target_of(k: i8) -> Target {
    let bytes = mining::Target::of(Exponent::new(k.into()).unwrap()).to_le_bytes();
    Target::from_le_bytes(bytes)
}

/// A client that applies each message at once never works at a target that its job does not take.
/// Jobs of a tip that the same burst ends do not count: their shares are stale already.
fn check_each(client: &mut Channel, told: &[AnyMessageOwned]) -> Result<(), TestCaseError> {
    let is_tip = |message: &AnyMessageOwned| {
        matches!(message, AnyMessageOwned::Mining(MiningOwned::SetNewPrevHash(_)))
    };
    let new_tip = told.iter().rposition(is_tip).unwrap_or(0);
    for (place, message) in told.iter().enumerate() {
        client.hear(message);
        if let AnyMessageOwned::Mining(MiningOwned::SubmitSharesError(error)) = message {
            return Err(TestCaseError::fail(format!("refused: {error}")));
        }
        if let Some(job) = client.active.last().filter(|_| place >= new_tip) {
            let committed = target_of(job.exponent().unwrap());
            prop_assert!(client.target.unwrap() <= committed, "job {} is too hard", job.id);
        }
    }
    Ok(())
}

/// The jobs on the tip whose shares count, newest first, by when each started.
fn retained<'a>(client: &'a Channel, started: &BTreeMap<u32, u64>, now: u64) -> Vec<&'a Job> {
    let mut successor = None;
    let newest_first = client.active.iter().rev();
    newest_first
        .take_while(|job| {
            let over = successor.is_some_and(|secs| now - secs >= 16);
            successor = Some(started[&job.id]);
            !over
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_share_that_meets_what_the_client_was_told_is_refused(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut chain = Chain::new(HARD);
        let mut talk = Conversation::new(rules(), chain.work(), at(0));
        let mut told = talk.say(setup_message(setup()), at(0));
        let (mut secs, mut nonce) = (1, 0_u32);
        told.extend(talk.say(open_extended(1, ADDRESS, -22), at(secs)));
        let mut client = Channel::default();
        check_each(&mut client, &told)?;
        let mut started = BTreeMap::from([(client.current().id, secs)]);
        for step in steps {
            secs += 2;
            let told = match step {
                Step::Refresh => talk.follow(chain.refresh(), at(secs)),
                Step::Prepare => talk.follow(chain.prepare(), at(secs)),
                Step::Block { nbits } => {
                    chain.set_nbits(nbits);
                    talk.follow(chain.next_block(), at(secs))
                }
                Step::Update { k } => talk.say(update(2, hash_rate(k), ANY_TARGET), at(secs)),
                Step::Silence { secs: silence } => {
                    secs += silence;
                    talk.tick(at(secs))
                }
                Step::Share { job } => {
                    // One that is retained; its own target may be easier than the present one.
                    let retained: Vec<_> = retained(&client, &started, secs);
                    let job = retained[job % retained.len()].clone();
                    let mut miner = client.clone();
                    miner.target = Some(target_of(job.exponent().unwrap()));
                    nonce += 1 << 20;
                    let before = talk.desk.taken.len();
                    let told = talk.say(submit(miner.mine(&job, nonce)), at(secs));
                    prop_assert_eq!(talk.desk.taken.len(), before + 1, "{}", talk.text);
                    let taken = talk.desk.taken.last().unwrap();
                    prop_assert_eq!(taken.job.exponent.to_i8(), job.exponent().unwrap());
                    prop_assert_eq!(taken.job.source.prevhash().0, client.prevhash);
                    talk.stored(1);
                    told
                }
            };
            check_each(&mut client, &told)?;
            for job in &client.active {
                started.entry(job.id).or_insert(secs);
            }
            let ids: std::collections::BTreeSet<u32> =
                client.active.iter().chain(&client.future).map(|job| job.id).collect();
            prop_assert_eq!(ids.len(), client.active.len() + client.future.len());
        }
    }
}
