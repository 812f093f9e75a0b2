//! The life of a share, told by the workers themselves on the simulated bus: from the template to
//! the signed statement.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod story;

use mining::Network;
use payout_calculator::{Payouts, domain::Settings, signature::StatementKey};
use proptest::prelude::*;
use share_verifier::domain::{OWNERS, Rules, Verifier};
use std::collections::{BTreeMap, BTreeSet};
use story::{ALICE, BOB, LANE, Wanted, World, node};
use subjects::{
    Exponent, Payload, Work,
    blocks::{BlockResult, Outcome, Solved},
    payouts::{FeesPaidBy, RewardRule, Statement},
    rounds::{SliceClosed, SliceLines},
    shares::{Accepted, Reason, Refused, Submitted},
    templates,
};
use worker_runtime::{
    metric::Metrics,
    sim::{Bus, Mood, queue, source},
    transform::Start,
};

fn bus(seed: u64, mood: Mood) -> Bus {
    let mut bus = Bus::new(seed, mood);
    bus.stream(streams::TEMPLATES, &["templates.new.*", "templates.tip.*"]);
    bus.stream(OWNERS, &["$KV.LANE_OWNERS.>"]);
    bus.queue(streams::SHARES_SUBMITTED, &["shares.submitted.>"]);
    bus.map_subjects(streams::SHARES_SUBMITTED, stored_subject);
    bus.stream(streams::SHARES, &["shares.accepted.>"]);
    bus.stream(streams::SHARES_REFUSED, &["shares.refused.>"]);
    bus.stream(streams::BLOCKS, &["blocks.solved.*", "blocks.submitted.>", "blocks.outcome.*"]);
    bus.stream(streams::ROUNDS, &["rounds.slice.>", "rounds.closed.*"]);
    bus.stream(streams::PAYOUTS, &["payouts.statement.*.*"]);
    bus.stream(streams::PARKED, &["parked.*"]);
    let filter: &'static str =
        Box::leak(streams::partition_filter(streams::partition_of(LANE)).into_boxed_str());
    bus.attach(
        "share-verifier",
        || Verifier::new(rules()),
        vec![
            source(streams::TEMPLATES, &[templates::New::FILTER, templates::Tip::FILTER]),
            source(OWNERS, &[]),
            queue(streams::SHARES_SUBMITTED, &[filter]),
        ],
    );
    bus.attach(
        "round-tracker",
        || round_tracker::Rounds::new(Start::First, &Metrics::default()),
        vec![source(streams::SHARES, &[Accepted::FILTER])],
    );
    bus.attach(
        "payout-calculator",
        || Payouts::new(settings(), &Metrics::default()),
        vec![source(streams::BLOCKS, &Payouts::BLOCKS), source(streams::ROUNDS, &Payouts::ROUNDS)],
    );
    bus.inject(&format!("$KV.LANE_OWNERS.{LANE}"), "", "owner", node().as_str().as_bytes());
    bus
}

/// The subject transform of `SHARES_SUBMITTED`.
fn stored_subject(subject: &str) -> String {
    let (node, lane) = Submitted::parse_subject(subject).expect("only batches are submitted");
    format!("shares.submitted.p.{}.{node}.{lane}", streams::partition_of(lane))
}

fn settings() -> Settings {
    Settings {
        rule: RewardRule::Window { factor: 2 },
        key: StatementKey::parse(&"07".repeat(32).into()).unwrap(),
        valid_days: 30,
        max_message_bytes: 1 << 20,
    }
}

fn rules() -> Rules {
    Rules {
        network: Network::Signet,
        late_tips: 6,
        min_exponent: Exponent::MIN,
        max_proofs: 10_000,
    }
}

/// Two batches: the second holds a copied proof, a weak share and one that solves a block, with a
/// good one after it.
fn batches(world: &World) -> Vec<Submitted> {
    let first =
        world.batch(0, &[(ALICE, Wanted::Plain), (BOB, Wanted::Plain), (ALICE, Wanted::Plain)]);
    let mut second = world.batch(
        1,
        &[
            (BOB, Wanted::Plain),
            (ALICE, Wanted::Weak),
            (BOB, Wanted::Block),
            (ALICE, Wanted::Plain),
        ],
    );
    let copied = first.shares[0];
    second.shares.insert(1, copied);
    vec![first, second]
}

fn live(seed: u64, mood: Mood) -> Bus {
    let world = World::new(1_000);
    let mut bus = bus(seed, mood);
    bus.say(&world.template).unwrap();
    bus.say(&world.tip).unwrap();
    for batch in batches(&world) {
        bus.say(&batch).unwrap();
    }
    bus.run();
    for Solved { hash, height, .. } in bus.all() {
        bus.say(&Outcome { hash, height, result: BlockResult::Confirmed }).unwrap();
    }
    bus.run();
    bus
}

/// What was said, but for a statement's envelope: that is dated by the server's clock.
fn timeless(bus: &Bus) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut story = bus.story();
    story.retain(|subject, _| Statement::parse_subject(subject).is_err());
    for statement in bus.all::<Statement>() {
        let told = vec![(statement.id.to_string(), statement.payload.into_bytes())];
        story.insert("statement".to_owned(), told);
    }
    story
}

/// What one story has on a subject and the other one has otherwise.
fn differences(
    one: &BTreeMap<String, Vec<(String, Vec<u8>)>>,
    other: &BTreeMap<String, Vec<(String, Vec<u8>)>>,
) -> Vec<String> {
    let subjects: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let told = |story: &BTreeMap<String, Vec<(String, Vec<u8>)>>, subject: &String| {
        let facts = story.get(subject).map_or(&[][..], Vec::as_slice);
        let text =
            |(id, body): &(String, Vec<u8>)| format!("{id} {}", String::from_utf8_lossy(body));
        facts.iter().map(text).collect::<Vec<_>>()
    };
    subjects
        .into_iter()
        .filter(|subject| one.get(*subject) != other.get(*subject))
        .map(|subject| {
            format!("{subject}: {:#?} and {:#?}", told(one, subject), told(other, subject))
        })
        .collect()
}

#[test]
fn a_share_lives() {
    let bus = live(1, Mood::calm());
    insta::assert_snapshot!(bus.transcript());
    assert!(bus.stopped().is_empty(), "{:?}", bus.stopped());
}

#[test]
fn every_share_is_in_the_record_once_or_refused_by_name() {
    let bus = live(1, Mood::calm());
    let accepted: usize = bus.all::<Accepted>().iter().map(|message| message.shares.len()).sum();
    let refused: Vec<Reason> = bus
        .all::<Refused>()
        .into_iter()
        .flat_map(|message| message.refusals)
        .map(|refusal| refusal.reason)
        .collect();
    assert_eq!(accepted, 6);
    assert_eq!(refused, [Reason::DuplicateShare, Reason::DifficultyTooLow]);
}

#[test]
fn the_slice_ends_with_the_block_and_credits_what_was_hashed() {
    let bus = live(1, Mood::calm());
    let slices = bus.all::<SliceClosed>();
    assert_eq!(slices.len(), 1, "the share after the block opens the next slice");
    assert_eq!(slices[0].shares, 5);
    assert!(slices[0].block.is_some());
    let mut work = BTreeMap::new();
    for line in bus.all::<SliceLines>().into_iter().flat_map(|part| part.lines) {
        work.insert(line.miner.to_string(), line.work);
    }
    assert_eq!(work.len(), 2);
    assert_eq!(work.values().map(|work| work.to_u128()).sum::<u128>(), 5 * 16);
    assert_eq!(slices[0].work, Work::new(5 * 16));
}

#[test]
fn the_block_pays_its_slices_to_the_satoshi() {
    let bus = live(1, Mood::calm());
    let statements = bus.all::<Statement>();
    assert_eq!(statements.len(), 1);
    let body = statements[0].body().unwrap();
    assert_eq!(body.treasury.to_u64(), 25_000_000);
    assert_eq!(body.nodes.to_u64(), 25_000_000);
    assert_eq!(body.miners.to_u64(), 4_950_000_000);
    // Alice has two of the window's five shares of equal price, Bob three.
    let mut amounts: Vec<u64> = body.payees.iter().map(|payee| payee.amount.to_u64()).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [1_980_000_000, 2_970_000_000]);
    assert_eq!((body.finder.identity.as_str(), body.fees.to_u64()), (BOB, 12_345));
    assert_eq!(body.finder.paid_by, FeesPaidBy::Coinbase);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Redelivery, lost acknowledgements, crashes, clocks and order between streams change nothing
    /// of what was said.
    #[test]
    fn a_foul_mood_changes_nothing(seed in any::<u64>()) {
        let foul = live(seed, Mood::foul());
        prop_assert!(foul.stopped().is_empty(), "{:?}\n{}", foul.stopped(), foul.incidents());
        let differences = differences(&timeless(&foul), &timeless(&live(1, Mood::calm())));
        prop_assert!(differences.is_empty(), "{:#?}\n{}", differences, foul.incidents());
    }
}
