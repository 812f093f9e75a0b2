//! On the simulated bus: whatever befalls the trackers, the facts are the same.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Did, EASY, batch};
use round_tracker::Rounds;
use std::collections::BTreeMap;
use subjects::{
    BlockHash,
    parked::Parked,
    rounds::{Closed, SliceClosed},
};
use worker_runtime::{
    metric::Metrics,
    sim::{self, Bus, Mood},
    transform::Start,
};

const MESSAGES: u8 = 60;

/// A bus on which all shares have been accepted, one of them in a message that nobody can read.
fn bus(seed: u64, mood: Mood, trackers: &[&'static str]) -> Bus {
    let mut bus = Bus::new(seed, mood);
    bus.stream("SHARES", &["shares.accepted.>"]);
    bus.stream("ROUNDS", &["rounds.slice.>", "rounds.closed.*"]).stream("PARKED", &["parked.>"]);
    for tracker in trackers {
        let make = || Rounds::new(Start::First, &Metrics::default());
        bus.attach(tracker, make, vec![sim::source("SHARES", &["shares.accepted.*.*"])]);
    }
    for number in 0..MESSAGES {
        if number == 17 {
            let kind = "hyperhash.shares.v1.accepted";
            bus.inject("shares.accepted.core.1", kind, "garbage", b"\xff").unwrap();
        }
        let did: [Did; 3] = [(1, 23), (2, 22), (1, 24)];
        let (did, _) = did.split_at(usize::from(number % 3) + 1);
        let solves = (number % 11 == 10).then_some(BlockHash([number; 32]));
        bus.say(&batch(number.into(), did, EASY, solves)).unwrap();
    }
    bus
}

/// What was said about slices and rounds.
fn story(bus: &Bus) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut story = bus.story();
    story.retain(|subject, _| subject.starts_with("rounds."));
    story
}

#[test]
fn the_facts_do_not_depend_on_the_mood() {
    let mut calm = bus(0, Mood::calm(), &["round-tracker"]);
    calm.run();
    assert_eq!(calm.stopped(), BTreeMap::new());
    assert_eq!(calm.all::<Closed>().len(), 5);
    assert!(calm.all::<SliceClosed>().len() > 10);
    let [parked] = &calm.all::<Parked>()[..] else { panic!("one message is set aside") };
    assert_eq!((parked.stream.as_str(), parked.stream_sequence), ("SHARES", 18));
    for seed in 0..40 {
        let mut foul = bus(seed, Mood::foul(), &["round-tracker"]);
        foul.run();
        assert_eq!(foul.stopped(), BTreeMap::new(), "{}", foul.incidents());
        assert_eq!(story(&foul), story(&calm), "seed {seed}: {}", foul.incidents());
    }
}

/// A tracker that does not know that it lost its lease does no harm.
#[test]
fn two_trackers_at_once_say_the_same() {
    let mut calm = bus(0, Mood::calm(), &["round-tracker"]);
    calm.run();
    for seed in 0..20 {
        let mut both = bus(seed, Mood::foul(), &["round-tracker", "zombie"]);
        both.run();
        assert_eq!(both.stopped(), BTreeMap::new(), "{}", both.incidents());
        assert_eq!(story(&both), story(&calm), "seed {seed}: {}", both.incidents());
    }
}
