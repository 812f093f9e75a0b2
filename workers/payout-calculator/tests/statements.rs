//! Facts in, statements out.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;
#[path = "common/hearing.rs"]
mod hearing;

use common::{
    Block, Fact, History, RECORD, Slice, hash_of, height_of, history, miner, sats, settings,
};
use hearing::{calculator, hear, run};
use payout_calculator::{
    book::BookError,
    domain::{Calculator, Fault},
    gather::GatherError,
    signature::verify,
    slices::SliceError,
    statement::{Unbalanced, check},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use subjects::{
    Payload, Sats, Work,
    blocks::{BlockResult, Outcome},
    payouts::{BlockStatement, FeesPaidBy, RewardRule, Statement},
};

const WINDOW: RewardRule = RewardRule::Window { factor: 2 };

fn slice(lines: &[(u8, u128)]) -> Slice {
    Slice { lines: lines.iter().copied().collect(), network_work: 64, block: None }
}

fn ending(lines: &[(u8, u128)], result: BlockResult) -> Slice {
    let subsidy = 312_500_000;
    let block = Block { finder: lines[0].0, subsidy, fees: 4_321_987, pays_finder: true, result };
    Slice { block: Some(block), ..slice(lines) }
}

fn confirmed(lines: &[(u8, u128)]) -> Slice {
    ending(lines, BlockResult::Confirmed)
}

fn all(history: &History) -> impl Iterator<Item = &Fact> {
    history.rounds.iter().chain(&history.blocks)
}

fn bodies(rule: RewardRule, slices: &[Slice]) -> BTreeMap<u32, BlockStatement> {
    let history = history(slices);
    let statements = run(rule, all(&history), &history.lines);
    let key = settings(rule).key.public();
    let body = |(height, signed): (_, Statement)| (height, verify(&signed, &key).unwrap().body);
    statements.into_iter().map(body).collect()
}

fn amounts(body: &BlockStatement) -> Vec<u64> {
    body.payees.iter().map(|payee| payee.amount.to_u64()).collect()
}

#[test]
fn the_example_of_the_money_rules_is_a_statement() {
    let bodies = bodies(WINDOW, &[confirmed(&[(1, 5), (2, 3), (3, 2)])]);
    let body = &bodies[&height_of(1)];
    assert_eq!((body.treasury, body.nodes), (sats(1_562_500), sats(1_562_500)));
    assert_eq!(amounts(body), [154_687_500, 92_812_500, 61_875_000]);
    assert_eq!((body.finder.amount, body.finder.paid_by), (sats(4_321_987), FeesPaidBy::Coinbase));
    insta::assert_snapshot!(serde_json::to_string_pretty(body).unwrap());
}

#[test]
fn a_window_is_the_smallest_run_of_whole_slices_that_is_enough() {
    // Twice the network work is 128: slices 4, 3 and 2 hold 138, slices 4 and 3 only 98.
    let slices = [slice(&[(1, 50)]), slice(&[(1, 40)]), slice(&[(2, 48)]), confirmed(&[(3, 50)])];
    let body = &bodies(WINDOW, &slices)[&height_of(4)];
    let window = &body.window;
    assert_eq!((window.first_slice, window.last_slice), (2, 4));
    assert_eq!((window.first_sequence, window.last_sequence), (11, 40));
    assert_eq!((window.work, window.incarnation), (Work::new(138), RECORD));
    assert_eq!(window.lines_roots.len(), 3);
    assert_eq!(body.payees.len(), 3);
    assert_eq!(
        bodies(RewardRule::Window { factor: 3 }, &slices)[&height_of(4)].window.first_slice,
        1
    );
    let one = bodies(RewardRule::Window { factor: 0 }, &slices);
    assert_eq!(one[&height_of(4)].window.first_slice, 4, "never less than the block's own slice");
}

#[test]
fn a_window_that_is_exactly_enough_takes_no_slice_more() {
    let slices = [slice(&[(1, 10)]), slice(&[(2, 64)]), confirmed(&[(3, 64)])];
    let window = &bodies(WINDOW, &slices)[&height_of(3)].window;
    assert_eq!((window.first_slice, window.work), (2, Work::new(128)));
}

#[test]
fn while_history_is_short_a_window_is_all_there_is() {
    let slices = [slice(&[(1, 1)]), confirmed(&[(2, 1)]), confirmed(&[(3, 1)])];
    let bodies = bodies(WINDOW, &slices);
    assert_eq!(bodies[&height_of(3)].window.first_slice, 1, "across the block before");
}

#[test]
fn a_round_is_everything_since_the_previous_confirmed_block() {
    let slices = [
        slice(&[(1, 1)]),
        confirmed(&[(1, 1)]),
        slice(&[(2, 1)]),
        ending(&[(2, 1)], BlockResult::Orphaned),
        ending(&[(3, 1)], BlockResult::Refused),
        confirmed(&[(3, 1)]),
        confirmed(&[(4, 1)]),
    ];
    let bodies = bodies(RewardRule::Round, &slices);
    let runs: Vec<_> =
        bodies.values().map(|body| (body.window.first_slice, body.window.last_slice)).collect();
    assert_eq!(runs, [(1, 2), (3, 6), (7, 7)]);
}

#[test]
fn rounds_settle_strictly_in_the_order_of_slices() {
    let history = history(&[confirmed(&[(1, 1)]), confirmed(&[(2, 1)])]);
    let mut calculator = calculator(RewardRule::Round);
    let mut told = |fact: &Fact| hear(&mut calculator, fact, &history.lines).unwrap();
    let [solved_1, outcome_1, solved_2, outcome_2] = &history.blocks[..] else { panic!() };
    for fact in history.rounds.iter().chain([solved_1, solved_2, outcome_2]) {
        assert_eq!(told(fact), [], "the first block's outcome is open");
    }
    let both: Vec<_> = told(outcome_1).iter().map(|statement| statement.id.height).collect();
    assert_eq!(both, [height_of(1), height_of(2)]);
}

#[test]
fn a_window_waits_for_nobody() {
    let history = history(&[confirmed(&[(1, 1)]), confirmed(&[(2, 1)])]);
    let mut calculator = calculator(WINDOW);
    let blocks = &history.blocks[2..];
    let said: Vec<_> = history
        .rounds
        .iter()
        .chain(blocks)
        .flat_map(|fact| hear(&mut calculator, fact, &history.lines).unwrap())
        .collect();
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].id.height, height_of(2));
}

#[test]
fn fees_that_the_coinbase_did_not_pay_are_the_ledgers() {
    let mut owed = confirmed(&[(1, 1)]);
    owed.block.as_mut().unwrap().pays_finder = false;
    let body = &bodies(WINDOW, &[owed])[&height_of(1)];
    assert_eq!(body.finder.paid_by, FeesPaidBy::Ledger);
}

#[test]
fn orphans_and_refused_blocks_pay_nothing() {
    let lost = [BlockResult::Orphaned, BlockResult::Refused].map(|end| ending(&[(1, 1)], end));
    assert_eq!(bodies(WINDOW, &lost), BTreeMap::new());
    assert_eq!(bodies(RewardRule::Round, &lost), BTreeMap::new());
}

#[test]
fn the_first_outcome_of_a_block_is_its_outcome() {
    for rule in [WINDOW, RewardRule::Round] {
        let history = history(&[ending(&[(1, 1)], BlockResult::Orphaned)]);
        let mut calculator = calculator(rule);
        for fact in all(&history) {
            assert_eq!(hear(&mut calculator, fact, &history.lines).unwrap(), []);
        }
        let (hash, height) = (hash_of(1), height_of(1));
        let late = Fact::Outcome(Outcome { hash, height, result: BlockResult::Confirmed });
        assert_eq!(hear(&mut calculator, &late, &history.lines).unwrap(), []);
        assert_eq!(calculator.waiting(), 0);
    }
}

#[test]
fn a_fact_that_comes_again_has_its_statement_said_again() {
    for rule in [WINDOW, RewardRule::Round] {
        let history = history(&[confirmed(&[(1, 1)]), confirmed(&[(2, 1), (1, 4)])]);
        let mut calculator = calculator(rule);
        let first: Vec<_> = all(&history)
            .flat_map(|fact| hear(&mut calculator, fact, &history.lines).unwrap())
            .collect();
        assert_eq!(first.len(), 2);
        for fact in all(&history) {
            let again = hear(&mut calculator, fact, &history.lines).unwrap();
            assert_eq!(again.len(), 1);
            assert!(first.contains(&again[0]));
        }
    }
}

#[test]
fn a_statement_that_exists_is_not_made_again() {
    let history = history(&[confirmed(&[(1, 1)]), confirmed(&[(2, 1)])]);
    for rule in [WINDOW, RewardRule::Round] {
        let whole = run(rule, all(&history), &history.lines);
        let mut calculator = calculator(rule);
        calculator.exists(&whole[&height_of(1)]).unwrap();
        let said: Vec<_> = all(&history)
            .flat_map(|fact| hear(&mut calculator, fact, &history.lines).unwrap())
            .collect();
        assert_eq!(said.iter().map(|signed| signed.id.height).collect::<Vec<_>>(), [height_of(2)]);
        assert_eq!(calculator.waiting(), 0);
        assert_eq!(said[0], whole[&height_of(2)]);
    }
}

#[test]
fn a_confirmed_block_whose_share_was_never_accepted_is_seen_to_wait() {
    let history = history(&[confirmed(&[(1, 1)])]);
    let mut calculator = calculator(WINDOW);
    for fact in &history.blocks {
        assert_eq!(hear(&mut calculator, fact, &history.lines).unwrap(), []);
    }
    assert_eq!(calculator.waiting(), 1);
    hear(&mut calculator, &history.rounds[0], &history.lines).unwrap();
    assert_eq!(calculator.waiting(), 0);
}

#[test]
fn a_window_of_thousands_of_slices_is_read_a_few_at_a_time() {
    let mut slices: Vec<_> = (0..1_000_u16).map(|index| slice(&[((index % 7) as u8, 1)])).collect();
    slices.push(confirmed(&[(9, 1)]));
    slices[1_000].network_work = 1_000_000;
    let body = &bodies(WINDOW, &slices)[&height_of(1_001)];
    assert_eq!((body.window.first_slice, body.window.work), (1, Work::new(1_001)));
    assert_eq!(body.payees.len(), 8);
}

fn fault(slices: &[Slice], spoil: impl FnOnce(&mut History)) -> Fault {
    let mut history = history(slices);
    spoil(&mut history);
    let mut calculator = calculator(WINDOW);
    let mut faults = all(&history).map(|fact| hear(&mut calculator, fact, &history.lines));
    faults.find_map(Result::err).expect("a fault")
}

#[test]
fn lines_that_are_not_their_slices_stop_the_payouts() {
    let slices = [slice(&[(1, 1), (2, 1), (3, 1)]), confirmed(&[(1, 1)])];
    let lost = fault(&slices, |history| drop(history.lines.get_mut(&1).unwrap().pop()));
    assert!(matches!(lost, Fault::Gather(GatherError::NotWhole { slice: 1, .. })), "{lost}");
    let first = fault(&slices, |history| drop(history.lines.get_mut(&1).unwrap().remove(0)));
    assert!(matches!(first, Fault::Gather(GatherError::NotWhole { slice: 1, .. })), "{first}");
    let more = fault(&slices, |history| {
        history.lines.get_mut(&1).unwrap()[0].lines[0].work = Work::new(2);
    });
    assert!(matches!(more, Fault::Gather(GatherError::NotWhole { slice: 1, .. })), "{more}");
    let twice = fault(&slices, |history| {
        history.lines.get_mut(&1).unwrap()[1].lines[0].miner = miner(2);
    });
    assert!(matches!(twice, Fault::Gather(GatherError::Order(1))), "{twice}");
}

#[test]
fn lines_that_are_read_twice_count_once() {
    let slices = [slice(&[(1, 1), (2, 1), (3, 1)]), confirmed(&[(1, 1)])];
    let plain = history(&slices);
    let mut doubled = history(&slices);
    for parts in doubled.lines.values_mut() {
        *parts = parts.iter().flat_map(|part| [part.clone(), part.clone()]).collect();
    }
    let statements = |history: &History| run(WINDOW, all(history), &history.lines);
    assert_eq!(statements(&plain), statements(&doubled));
}

#[test]
fn facts_that_contradict_one_another_stop_the_payouts() {
    let slices = [slice(&[(1, 1)]), confirmed(&[(1, 1)])];
    let gap = fault(&slices, |history| drop(history.rounds.remove(0)));
    let expected = SliceError::Gap { expected: 1, found: 2 };
    assert!(matches!(gap, Fault::Book(BookError::Slice(error)) if error == expected), "{gap}");
    let chain = fault(&slices, |history| {
        let Fact::Slice(slice, _) = &mut history.rounds[1] else { panic!() };
        slice.chain_start.0[0] ^= 1;
    });
    let expected = SliceError::Contradiction(2);
    assert!(matches!(chain, Fault::Book(BookError::Slice(error)) if error == expected), "{chain}");
    let height = fault(&slices, |history| {
        let Fact::Outcome(outcome) = &mut history.blocks[1] else { panic!() };
        outcome.height += 1;
    });
    assert!(matches!(height, Fault::Book(BookError::Height(hash)) if hash == hash_of(2)));
    let coinbase = fault(&slices, |history| {
        let Fact::Solved(solved) = &mut history.blocks[0] else { panic!() };
        solved.fees = sats(1);
    });
    assert!(matches!(coinbase, Fault::Book(BookError::Coinbase { .. })), "{coinbase}");
}

#[test]
fn a_statement_that_the_bus_does_not_take_stops_the_payouts_and_says_what_to_do() {
    let history = history(&[confirmed(&[(1, 1)])]);
    let with_room = |bytes| {
        let settings =
            payout_calculator::domain::Settings { max_message_bytes: bytes, ..settings(WINDOW) };
        let mut calculator = Calculator::new(settings);
        let answers: Result<Vec<_>, Fault> =
            all(&history).map(|fact| hear(&mut calculator, fact, &history.lines)).collect();
        answers.map(|said| said.into_iter().flatten().collect::<Vec<_>>())
    };
    let stated = with_room(8_000_000).unwrap();
    let exactly = stated[0].encode().len();
    assert_eq!(with_room(exactly).unwrap(), stated);
    let fault = with_room(exactly - 1).unwrap_err();
    assert!(
        matches!(fault, Fault::TooLarge { bytes, most, .. } if bytes == exactly && most == exactly - 1)
    );
    assert!(fault.to_string().contains("raise `max_payload`"), "{fault}");
}

#[test]
fn whatever_does_not_add_up_is_told() {
    let good =
        bodies(WINDOW, &[confirmed(&[(1, 5), (2, 3), (3, 2)])]).remove(&height_of(1)).unwrap();
    assert_eq!(check(&good), Ok(()));
    let bad = |change: fn(&mut BlockStatement)| {
        let mut body = good.clone();
        change(&mut body);
        check(&body).unwrap_err()
    };
    assert_eq!(bad(|body| body.treasury = sats(1_562_499)), Unbalanced::Parts);
    assert_eq!(bad(|body| body.miners = Sats::ZERO), Unbalanced::Parts);
    assert_eq!(bad(|body| body.fees = sats(1)), Unbalanced::Fees);
    assert_eq!(bad(|body| body.height += 1), Unbalanced::Id);
    assert_eq!(bad(|body| body.payees.swap(0, 1)), Unbalanced::Order);
    assert_eq!(bad(|body| body.payees.truncate(2)), Unbalanced::Work);
    let moved = |body: &mut BlockStatement| {
        body.payees[0].amount = sats(body.payees[0].amount.to_u64() - 1);
        body.payees[1].amount = sats(body.payees[1].amount.to_u64() + 1);
    };
    assert_eq!(bad(moved), Unbalanced::Amounts, "the sum is right, the shares are not");
    assert_eq!(bad(|body| drop(body.window.lines_roots.pop())), Unbalanced::Roots);
}

/// A second, plain implementation: the rules read as they are written, over plain numbers.
fn naive(rule: RewardRule, slices: &[Slice]) -> BTreeMap<u32, (u64, u64, Vec<(u8, u128, u64)>)> {
    let mut statements = BTreeMap::new();
    let mut previous = 0;
    for (index, slice) in slices.iter().enumerate() {
        let Some(block) = slice.block.as_ref() else { continue };
        if block.result != BlockResult::Confirmed {
            continue;
        }
        let mut first = index;
        match rule {
            RewardRule::Round => first = previous,
            RewardRule::Window { factor } => {
                let work = |from: usize| -> u128 {
                    slices[from..=index].iter().flat_map(|slice| slice.lines.values()).sum()
                };
                while first > 0 && work(first) < slice.network_work * u128::from(factor) {
                    first -= 1;
                }
            }
        }
        previous = index + 1;
        let mut works = BTreeMap::new();
        for (miner, work) in slices[first..=index].iter().flat_map(|slice| &slice.lines) {
            *works.entry(*miner).or_insert(0_u128) += work;
        }
        let parts = block.subsidy * 5 / 1_000;
        let miners = block.subsidy - parts - parts;
        let total: u128 = works.values().sum();
        let mut payees: Vec<(u8, u128, u64)> = works
            .iter()
            .map(|(miner, work)| (*miner, *work, (u128::from(miners) * work / total) as u64))
            .collect();
        // One satoshi at a time to the largest remainder that has not had one.
        let mut had = BTreeSet::new();
        while payees.iter().map(|payee| payee.2).sum::<u64>() < miners {
            let remainder = |work: u128| u128::from(miners) * work % total;
            let best = (0..payees.len())
                .filter(|payee| !had.contains(payee))
                .max_by_key(|payee| (remainder(payees[*payee].1), std::cmp::Reverse(*payee)))
                .unwrap();
            payees[best].2 += 1;
            had.insert(best);
        }
        let number = index as u64 + 1;
        statements.insert(height_of(number), (first as u64 + 1, number, payees));
    }
    statements
}

fn scenario() -> impl Strategy<Value = Vec<Slice>> {
    let result = prop_oneof![
        4 => Just(BlockResult::Confirmed),
        1 => Just(BlockResult::Orphaned),
        1 => Just(BlockResult::Refused),
    ];
    let block = (0_u8..6, 0_u64..5_000_000_000, 0_u64..100_000_000, any::<bool>(), result)
        .prop_map(|(finder, subsidy, fees, pays_finder, result)| Block {
            finder,
            subsidy,
            fees,
            pays_finder,
            result,
        });
    let lines = proptest::collection::btree_map(0_u8..6, 1_u128..1 << 40, 1..6);
    let slice = (lines, 1_u128..1 << 42, proptest::option::weighted(0.4, block));
    let slice = slice.prop_map(|(lines, network_work, block)| Slice { lines, network_work, block });
    proptest::collection::vec(slice, 1..25)
}

fn rules() -> impl Strategy<Value = RewardRule> {
    prop_oneof![
        (1_u32..4).prop_map(|factor| RewardRule::Window { factor }),
        Just(RewardRule::Round)
    ]
}

proptest! {
    /// The statements are what a second, plain implementation says.
    #[test]
    fn statements_are_what_a_plain_reading_of_the_rules_says(slices in scenario(), rule in rules()) {
        let found: BTreeMap<_, _> = bodies(rule, &slices)
            .into_iter()
            .map(|(height, body)| {
                let payees = body.payees.iter().map(|payee| {
                    (payee.miner.as_bytes()[0], payee.work.to_u128(), payee.amount.to_u64())
                });
                (height, (body.window.first_slice, body.window.last_slice, payees.collect()))
            })
            .collect();
        prop_assert_eq!(found, naive(rule, &slices));
    }

    /// Invariant: every interleaving of the facts gives the same bytes.
    #[test]
    fn every_interleaving_gives_the_same_bytes(
        slices in scenario(),
        rule in rules(),
        order in any::<proptest::sample::Index>(),
        keys in proptest::collection::vec(any::<u64>(), 120),
        repeats in proptest::collection::vec(proptest::bool::weighted(0.2), 120),
    ) {
        let history = history(&slices);
        let expected: BTreeMap<_, _> = run(rule, all(&history), &history.lines)
            .into_iter().map(|(height, statement)| (height, statement.encode())).collect();
        // BLOCKS in any order, ROUNDS in its own, merged in any way.
        let mut blocks: Vec<_> = history.blocks.iter().zip(&keys).collect();
        blocks.sort_by_key(|(_, key)| **key);
        let mut blocks = blocks.into_iter().map(|(fact, _)| fact).peekable();
        let mut rounds = history.rounds.iter().peekable();
        let mut calculator = calculator(rule);
        let mut found = BTreeMap::new();
        for turn in 0.. {
            let prefer_blocks = (keys[(turn + order.index(120)) % 120] & 1) == 1;
            let fact = match (blocks.peek(), rounds.peek()) {
                (None, None) => break,
                (Some(_), None) => blocks.next(),
                (None, Some(_)) => rounds.next(),
                (Some(_), Some(_)) if prefer_blocks => blocks.next(),
                (Some(_), Some(_)) => rounds.next(),
            }.unwrap();
            let times = 1 + usize::from(repeats[turn % 120]);
            for _ in 0..times {
                for statement in hear(&mut calculator, fact, &history.lines).unwrap() {
                    let bytes = statement.encode();
                    let before = found.insert(statement.id.height, bytes.clone());
                    prop_assert!(before.is_none_or(|before| before == bytes), "said differently");
                }
            }
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(calculator.waiting(), 0);
    }
}
