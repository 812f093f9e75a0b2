//! On the simulated bus: whatever befalls the calculators, the statements are the same.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;

use common::{Block, Fact, History, Slice, history, settings};
use payout_calculator::Payouts;
use std::collections::BTreeMap;
use subjects::{
    blocks::BlockResult,
    payouts::{RewardRule, Statement},
};
use worker_runtime::{
    metric::Metrics,
    outcome::Publication,
    sim::{self, Bus, Mood},
};

const RULES: [RewardRule; 2] = [RewardRule::Window { factor: 2 }, RewardRule::Round];

fn slices() -> Vec<Slice> {
    let slice = |number: u8| {
        let results = [BlockResult::Confirmed, BlockResult::Orphaned, BlockResult::Confirmed];
        let block = Block {
            finder: number % 4,
            subsidy: 5_000_000_000 + u64::from(number),
            fees: u64::from(number) * 1_000,
            pays_finder: number.is_multiple_of(2),
            result: results[usize::from(number) % 3],
        };
        Slice {
            lines: (0..number % 4 + 1).map(|miner| (miner, u128::from(number) + 1)).collect(),
            network_work: 30,
            block: (number % 4 == 3).then_some(block),
        }
    };
    (0..24).map(slice).collect()
}

/// A bus on which everything has happened, and calculators that hear of it.
fn bus(seed: u64, mood: Mood, rule: RewardRule, calculators: &[&'static str]) -> Bus {
    let mut bus = Bus::new(seed, mood);
    bus.stream("BLOCKS", &["blocks.>"]).stream("ROUNDS", &["rounds.>"]);
    bus.stream("PAYOUTS", &["payouts.statement.*.*"]).stream("PARKED", &["parked.>"]);
    for name in calculators {
        let make = move || Payouts::new(settings(rule), &Metrics::default());
        let sources =
            vec![sim::source("BLOCKS", &Payouts::BLOCKS), sim::source("ROUNDS", &Payouts::ROUNDS)];
        bus.attach(name, make, sources);
    }
    let History { rounds, blocks, lines } = history(&slices());
    for fact in rounds.iter().chain(&blocks) {
        if let Fact::Slice(slice, _) = fact {
            for part in &lines[&slice.slice] {
                bus.publish(&Publication::once(part)).unwrap();
            }
        }
        match fact {
            Fact::Solved(solved) => bus.publish(&Publication::once(solved)),
            Fact::Outcome(outcome) => bus.publish(&Publication::once(outcome)),
            Fact::Slice(slice, at) => {
                let stored = bus.publish(&Publication::once(slice));
                stored.inspect(|sequence| assert_eq!(sequence, at))
            }
        }
        .unwrap();
    }
    bus
}

/// The statements, whatever order they were said in.
fn statements(bus: &Bus) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
    let mut story = bus.story();
    story.retain(|subject, _| subject.starts_with("payouts."));
    story
}

#[test]
fn the_statements_do_not_depend_on_the_mood() {
    for rule in RULES {
        let mut calm = bus(0, Mood::calm(), rule, &["payout-calculator"]);
        calm.run();
        assert_eq!(calm.stopped(), BTreeMap::new());
        assert_eq!(calm.all::<Statement>().len(), 4);
        for seed in 0..25 {
            let mut foul = bus(seed, Mood::foul(), rule, &["payout-calculator"]);
            foul.run();
            assert_eq!(foul.stopped(), BTreeMap::new(), "{}", foul.incidents());
            assert_eq!(statements(&foul), statements(&calm), "{seed}: {}", foul.incidents());
        }
    }
}

/// A calculator that does not know that it lost its lease does no harm.
#[test]
fn two_calculators_at_once_say_the_same() {
    for rule in RULES {
        let mut calm = bus(0, Mood::calm(), rule, &["payout-calculator"]);
        calm.run();
        for seed in 0..10 {
            let mut both = bus(seed, Mood::foul(), rule, &["payout-calculator", "zombie"]);
            both.run();
            assert_eq!(both.stopped(), BTreeMap::new(), "{}", both.incidents());
            assert_eq!(statements(&both), statements(&calm), "{seed}: {}", both.incidents());
        }
    }
}
