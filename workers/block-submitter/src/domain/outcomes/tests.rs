use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use subjects::{HexBytes, Sats, TemplateId, Timestamp};

const DEPTH: NonZeroU32 = NonZeroU32::new(6).unwrap();

fn hash(number: u8) -> BlockHash {
    BlockHash([number; 32])
}

fn solved(number: u8, height: u32) -> Fact {
    solved_on(number ^ 0xff, number, height)
}

fn solved_on(parent: u8, number: u8, height: u32) -> Fact {
    Fact::Solved(Solved {
        hash: hash(number),
        height,
        header: HexBytes([vec![0; 4], vec![parent; 32], vec![0; 44]].concat()),
        coinbase: HexBytes(vec![]),
        template: TemplateId([0; 16]),
        provider: "a".parse().unwrap(),
        subsidy: Sats::ZERO,
        fees: Sats::ZERO,
    })
}

fn said(number: u8, provider: &str, answer: Answer) -> Fact {
    Fact::Submitted(Submitted {
        hash: hash(number),
        provider: provider.parse().unwrap(),
        answer,
        detail: None,
        at: Timestamp(0),
        latency_ms: 0,
    })
}

fn outcome(number: u8, height: u32, result: BlockResult) -> Outcome {
    Outcome { hash: hash(number), height, result }
}

fn chain(tip_height: u32, blocks: &[(u32, u8)]) -> Chain {
    let blocks = blocks.iter().map(|(height, number)| (*height, hash(*number))).collect();
    Chain { tip_height, blocks }
}

fn book(facts: impl IntoIterator<Item = Fact>) -> Book {
    let mut book = Book::new(DEPTH);
    facts.into_iter().for_each(|fact| book.hear(fact));
    book
}

fn results(book: &Book, chain: &Chain) -> Vec<BlockResult> {
    book.decide(chain).into_iter().map(|outcome| outcome.result).collect()
}

#[test]
fn an_outcome_is_final_at_the_depth_and_not_before() {
    let book = book([solved(1, 100), solved(1, 100), said(1, "a", Answer::Accepted)]);
    assert_eq!(book.heights(104), Vec::<u32>::new());
    assert_eq!(book.decide(&chain(104, &[(100, 1)])), []);
    assert_eq!(book.heights(105), [100]);
    let confirmed = outcome(1, 100, BlockResult::Confirmed);
    assert_eq!(book.decide(&chain(105, &[(100, 1)])), [confirmed]);
    assert_eq!(results(&book, &chain(105, &[(100, 2)])), [BlockResult::Orphaned]);
}

#[test]
fn a_block_above_the_tip_waits() {
    let book = book([solved(1, 100)]);
    for tip_height in [0, 50, 99] {
        assert_eq!(book.decide(&chain(tip_height, &[(100, 1)])), []);
    }
}

#[test]
fn a_height_that_was_not_looked_at_decides_nothing() {
    let book = book([solved(1, 100)]);
    assert_eq!(book.decide(&chain(200, &[])), []);
}

#[test]
fn a_block_that_nobody_took_was_refused_unless_it_is_there() {
    let mut book = book([said(1, "a", Answer::Rejected), solved(1, 100)]);
    assert_eq!(results(&book, &chain(105, &[(100, 2)])), [BlockResult::Refused]);
    assert_eq!(results(&book, &chain(105, &[(100, 1)])), [BlockResult::Confirmed]);
    for taken in [Answer::Accepted, Answer::Duplicate, Answer::Inconclusive] {
        book.hear(said(1, "b", taken));
        assert_eq!(results(&book, &chain(105, &[(100, 2)])), [BlockResult::Orphaned]);
    }
}

#[test]
fn two_blocks_of_ours_at_one_height_end_differently() {
    let facts = [1, 2].map(|number| [solved(number, 100), said(number, "a", Answer::Accepted)]);
    let book = book(facts.into_iter().flatten());
    let ends = results(&book, &chain(110, &[(100, 2)]));
    assert_eq!(ends, [BlockResult::Orphaned, BlockResult::Confirmed]);
}

#[test]
fn a_provider_is_asked_until_it_answered() {
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    assert!(!book([]).awaits(hash(1), &a), "not heard of");
    let mut book = book([solved(1, 100), said(1, "a", Answer::Rejected)]);
    assert!(!book.awaits(hash(1), &a) && book.awaits(hash(1), &b));
    book.hear(Fact::Outcome(outcome(1, 100, BlockResult::Confirmed)));
    assert!(!book.awaits(hash(1), &b) && book.is_decided(hash(1)));
}

#[test]
fn the_parent_of_an_open_block_is_read_from_its_header() {
    let book = book([solved(1, 100)]);
    assert_eq!(book.open_parents(), [(hash(1), BlockHash([0xfe; 32]))]);
}

/// A bitcoind crashed and forgot two blocks of ours, one on top of the other, that nobody else had
/// heard of. The chain goes on without them, and so do outcomes.
#[test]
fn a_block_on_a_lost_block_of_ours_does_not_hold_up_outcomes() {
    let (first, second) = (solved_on(9, 1, 100), solved_on(1, 2, 101));
    let parents = |facts: &[Fact]| -> Vec<_> {
        let parents = book(facts.iter().cloned()).open_parents();
        parents.into_iter().map(|(_, parent)| parent).collect()
    };
    let both = [first, second.clone()];
    assert_eq!(parents(&both), [hash(9)], "what the first one builds on stands for both");
    assert_eq!(results(&book(both), &chain(110, &[(100, 8), (101, 7)])).len(), 2);
    let ended = |result| Fact::Outcome(outcome(1, 100, result));
    for lost in [BlockResult::Orphaned, BlockResult::Refused] {
        assert_eq!(parents(&[ended(lost), second.clone()]), []);
    }
    // A confirmed one is on our chain, if any is.
    assert_eq!(parents(&[ended(BlockResult::Confirmed), second]), [hash(1)]);
}

#[test]
fn a_decided_block_stays_decided_and_its_contradiction_is_told_once() {
    let confirmed = outcome(1, 100, BlockResult::Confirmed);
    let mut book = book([solved(1, 100), Fact::Outcome(confirmed), solved(1, 100)]);
    assert_eq!(book.decide(&chain(110, &[(100, 9)])), []);
    assert_eq!(book.heights(110), [100]);
    assert_eq!(book.compare(&chain(110, &[(100, 1)])), []);
    let gone = Contradiction { hash: hash(1), height: 100, result: BlockResult::Confirmed };
    assert_eq!(book.compare(&chain(110, &[(100, 9)])), [gone]);
    assert_eq!(book.compare(&chain(111, &[(100, 9)])), []);
    assert_eq!(book.compare(&chain(112, &[(100, 1)])), [], "back again");
    assert_eq!(book.compare(&chain(113, &[(100, 9)])), [gone]);
}

#[test]
fn an_orphan_that_comes_back_is_a_contradiction_too() {
    let orphaned = outcome(1, 100, BlockResult::Orphaned);
    let mut book = book([Fact::Outcome(orphaned)]);
    assert_eq!(book.compare(&chain(110, &[(100, 9)])), []);
    assert_eq!(book.compare(&chain(110, &[(100, 1)])).len(), 1);
}

#[test]
fn old_outcomes_are_not_compared_for_ever() {
    let confirmed = outcome(1, 100, BlockResult::Confirmed);
    let book = book([Fact::Outcome(confirmed)]);
    assert_eq!(book.heights(159), [100]);
    assert_eq!(book.heights(160), Vec::<u32>::new());
}

proptest! {
    /// The order and repetition in which facts arrive decide nothing: who took a block once has it,
    /// and one who has it is enough.
    #[test]
    fn every_order_of_facts_ends_the_same(
        facts in Just(vec![
            solved(1, 100),
            solved(1, 100),
            said(1, "a", Answer::Rejected),
            said(1, "b", Answer::Accepted),
            said(1, "b", Answer::Rejected),
            said(1, "c", Answer::Rejected),
        ]).prop_shuffle(),
        on_chain in any::<bool>(),
    ) {
        let book = book(facts);
        let (there, expected) =
            if on_chain { (1, BlockResult::Confirmed) } else { (2, BlockResult::Orphaned) };
        prop_assert_eq!(results(&book, &chain(105, &[(100, there)])), vec![expected]);
    }

    /// Blocks come, are answered, the chain grows and reorganises below the depth, the process
    /// restarts at any time: every block gets exactly one outcome, and it is the chain's.
    #[test]
    fn every_block_gets_exactly_one_outcome(
        steps in prop::collection::vec((0_u8..5, 0_u8..30), 1..120),
    ) {
        let mut stream: Vec<Fact> = Vec::new();
        let mut book = book([]);
        let mut chain: Vec<u8> = vec![0; 100];
        let mut next = 1_u8;
        let mut decided: BTreeSet<BlockHash> = BTreeSet::new();
        let say = |stream: &mut Vec<Fact>, book: &mut Book, fact: Fact| {
            stream.push(fact.clone());
            book.hear(fact);
        };
        for (what, which) in steps {
            match what {
                // A block of ours, on the chain or beside it.
                0 if next < 200 => {
                    let height = u32::try_from(chain.len()).unwrap();
                    say(&mut stream, &mut book, solved(next, height));
                    if which % 3 > 0 {
                        say(&mut stream, &mut book, said(next, "a", Answer::Accepted));
                        chain.push(if which % 3 == 1 { next } else { 0 });
                    }
                    next += 1;
                }
                // A restart: all is rebuilt from the stream.
                1 => book = self::book(stream.clone()),
                // A reorganisation of at most DEPTH - 1 blocks.
                2 => {
                    let keep = chain.len() - usize::from(which % 5);
                    chain.truncate(keep.max(100));
                    chain.extend([0; 6]);
                }
                _ => chain.push(0),
            }
            let tip_height = u32::try_from(chain.len() - 1).unwrap();
            let at = |height: u32| hash(chain[usize::try_from(height).unwrap()]);
            let blocks = book.heights(tip_height).into_iter().map(|height| (height, at(height)));
            let seen = Chain { tip_height, blocks: blocks.collect() };
            prop_assert_eq!(book.compare(&seen), vec![]);
            for outcome in book.decide(&seen) {
                prop_assert!(decided.insert(outcome.hash), "a second outcome");
                let there = at(outcome.height) == outcome.hash;
                prop_assert_eq!(there, outcome.result == BlockResult::Confirmed);
                say(&mut stream, &mut book, Fact::Outcome(outcome));
            }
            let waiting = book.open().filter(|open| open.height + DEPTH.get() <= tip_height + 1);
            prop_assert_eq!(waiting.count(), 0, "a block is due and has no outcome");
        }
    }
}
