//! Facts in, facts out: where slices and rounds begin and end.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod common;

use common::{Did, EASY, batch, miner};
use proptest::prelude::*;
use round_tracker::{
    domain::{Fault, Place, Tracker},
    entry::Entry,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use subjects::{
    BlockHash, MinerId, Payload, Timestamp, Work,
    rounds::{Closed, SliceClosed, SliceLines},
    shares::Accepted,
};
use worker_runtime::outcome::{Expect, Publication};

/// 1/64 of the expected hashes of a block at [`common::EASY`], rounded up.
const FULL: u128 = 67_109_889;
/// When `SHARES` was created.
const RECORD: u64 = 1_700_000_000_000;

fn entry(number: u64, shares: &[Did]) -> Entry {
    Entry::read(&batch(number, shares, EASY, None).encode())
}

fn solving(number: u64, shares: &[Did]) -> Entry {
    Entry::read(&batch(number, shares, EASY, Some(BlockHash([number as u8; 32]))).encode())
}

fn at(sequence: u64) -> Place {
    Place { incarnation: RECORD, sequence }
}

fn decode<P: Payload>(facts: &[Publication]) -> Vec<P> {
    let of_type = facts.iter().filter(|fact| fact.message.kind == P::TYPE);
    of_type.map(|fact| P::decode(&fact.message.body).unwrap()).collect()
}

fn subjects(facts: &[Publication]) -> Vec<&str> {
    facts.iter().map(|fact| fact.message.subject.as_str()).collect()
}

/// Counts everything in a row.
fn count_all(tracker: &mut Tracker, entries: &[Entry]) -> Vec<Publication> {
    let mut count = |(index, entry): (usize, &Entry)| tracker.count(entry, at(1 + index as u64));
    entries.iter().enumerate().flat_map(|pair| count(pair).unwrap()).collect()
}

#[test]
fn a_slice_ends_with_the_message_that_fills_it() {
    let mut tracker = Tracker::new();
    // 2^25 is half of what a slice needs: 2^26 is 67 108 864, just below 1/64 of the block's work.
    assert_eq!(tracker.count(&entry(0, &[(1, 25)]), at(1)), Ok(vec![]));
    assert_eq!(tracker.count(&entry(1, &[(2, 25)]), at(2)), Ok(vec![]));
    let facts = tracker.count(&entry(2, &[(1, 10), (3, 10)]), at(3)).unwrap();
    assert_eq!(subjects(&facts), ["rounds.slice.lines.1.0", "rounds.slice.closed.1"]);
    assert!(facts.iter().all(|fact| fact.expect == Expect::Once));
    let [slice] = &decode::<SliceClosed>(&facts)[..] else { panic!("one slice") };
    let range = (slice.first_sequence, slice.last_sequence, slice.incarnation);
    assert_eq!(range, (1, 3, RECORD));
    assert_eq!((slice.miners, slice.parts, slice.shares), (3, 1, 4));
    assert_eq!(slice.work, Work::new((1 << 26) + (1 << 11)));
    assert_eq!(slice.block, None);
    let lines = &decode::<SliceLines>(&facts)[0].lines;
    assert_eq!(lines[0].miner, miner(1));
    assert_eq!((lines[0].work, lines[0].shares), (Work::new((1 << 25) + (1 << 10)), 2));
}

/// On the easiest chain a block takes 2 hashes, so 1/64 of one, rounded up, is 1.
#[test]
fn a_slice_is_full_when_its_work_is_exactly_enough() {
    let entry = Entry::read(&batch(0, &[(1, 0)], 0x207f_ffff, None).encode());
    let facts = Tracker::new().count(&entry, at(1)).unwrap();
    let slice = &decode::<SliceClosed>(&facts)[0];
    assert_eq!((slice.work, slice.network_work), (Work::new(1), Work::new(2)));
}

#[test]
fn a_solving_share_ends_slice_and_round() {
    let mut tracker = Tracker::new();
    let facts = count_all(
        &mut tracker,
        &[entry(0, &[(1, 27)]), solving(1, &[(2, 3)]), entry(2, &[(1, 1)]), solving(3, &[(1, 1)])],
    );
    let slices = decode::<SliceClosed>(&facts);
    assert_eq!(slices.iter().map(|slice| slice.round).collect::<Vec<_>>(), [1, 1, 2]);
    let rounds = decode::<Closed>(&facts);
    insta::assert_snapshot!(serde_json::to_string_pretty(&rounds).unwrap());
    let order = [
        "rounds.slice.lines.1.0",
        "rounds.slice.closed.1",
        "rounds.slice.lines.2.0",
        "rounds.slice.closed.2",
        "rounds.closed.1",
        "rounds.slice.lines.3.0",
        "rounds.slice.closed.3",
        "rounds.closed.2",
    ];
    assert_eq!(subjects(&facts), order);
}

#[test]
fn a_message_that_nobody_can_read_is_a_link_of_the_chain_and_credits_nothing() {
    let garbage = Entry::read(b"\xff\xff");
    assert!(garbage.content.is_err());
    let mut tracker = Tracker::new();
    let facts = count_all(&mut tracker, &[garbage, solving(1, &[(1, 1)])]);
    let slice = &decode::<SliceClosed>(&facts)[0];
    assert_eq!((slice.first_sequence, slice.last_sequence, slice.shares), (1, 2, 1));
    let digest = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(bytes).into() };
    let first = digest(&[[0; 32], digest(b"\xff\xff")].concat());
    let payload = batch(1, &[(1, 1)], EASY, Some(BlockHash([1; 32]))).encode();
    assert_eq!(slice.chain_end.0, digest(&[first, digest(&payload)].concat()));
}

#[test]
fn a_target_that_no_block_may_have_and_work_beyond_128_bits_are_not_readable() {
    let no_target = Entry::read(&batch(0, &[(1, 1)], 0, None).encode());
    assert!(no_target.content.unwrap_err().contains("nbits"));
    let much = Entry::read(&batch(0, &[(1, 127), (2, 127)], EASY, None).encode());
    assert!(much.content.unwrap_err().contains("overflows"));
}

#[test]
fn the_last_messages_answer_is_repeated_and_older_ones_are_silent() {
    let mut tracker = Tracker::new();
    let closing = solving(0, &[(1, 1)]);
    let said = tracker.count(&closing, at(1)).unwrap();
    assert_eq!(said.len(), 3);
    assert_eq!(tracker.count(&closing, at(1)).unwrap(), said);
    assert_eq!(tracker.count(&entry(1, &[(1, 1)]), at(2)), Ok(vec![]));
    assert_eq!(tracker.count(&closing, at(1)).unwrap(), said, "until the next slice closes");
    tracker.count(&solving(2, &[(1, 1)]), at(3)).unwrap();
    assert_eq!(tracker.count(&closing, at(1)), Ok(vec![]), "the next one shows that it was stored");
    assert_eq!(tracker.count(&entry(1, &[(1, 1)]), at(2)), Ok(vec![]));
}

#[test]
fn a_round_whose_end_may_not_have_been_said_is_said_again_after_a_restart() {
    let entries = [solving(0, &[(1, 1)]), entry(1, &[(1, 1)])];
    let said = Tracker::new().count(&entries[0], at(1)).unwrap();
    let mut again = Tracker::new();
    again.recall(decode::<SliceClosed>(&said).remove(0));
    again.meet_record(RECORD);
    assert_eq!(again.resume_at(), Some(2));
    let first = again.count(&entries[1], at(2)).unwrap();
    assert_eq!(first, [said[2].clone()]);
    assert_eq!(again.count(&entries[1], at(2)).unwrap(), first, "and repeated");
    assert_eq!(again.count(&entry(2, &[(1, 1)]), at(3)), Ok(vec![]));
}

#[test]
fn the_history_may_begin_with_any_slice_that_ended_a_round() {
    let entries: Vec<_> = (0..6).map(|number| solving(number, &[(1, 1)])).collect();
    let mut whole = Tracker::new();
    let facts = count_all(&mut whole, &entries);
    let slices = decode::<SliceClosed>(&facts);
    let mut late = Tracker::new();
    for slice in &slices[3..] {
        late.recall(slice.clone());
    }
    late.meet_record(RECORD);
    let next = solving(6, &[(2, 2)]);
    let repeated = late.count(&next, at(7)).unwrap();
    let expected = whole.count(&next, at(7)).unwrap();
    assert_eq!(repeated[1..], expected, "after the repetition of round 6");
    assert_eq!(decode::<Closed>(&repeated[..1])[0].round, 6);
}

#[test]
fn a_gap_stops_the_accounting_for_good() {
    let mut tracker = Tracker::new();
    tracker.count(&entry(0, &[(1, 1)]), at(5)).unwrap();
    let gap = Err(Fault::Gap { expected: 6, found: 7 });
    assert_eq!(tracker.count(&entry(1, &[(1, 1)]), at(7)), gap);
    assert_eq!(tracker.count(&entry(1, &[(1, 1)]), at(6)), gap);
}

#[test]
fn messages_that_vanished_while_the_tracker_was_down_are_a_gap() {
    let said = Tracker::new().count(&solving(0, &[(1, 1)]), at(1)).unwrap();
    let mut again = Tracker::new();
    again.recall(decode::<SliceClosed>(&said).remove(0));
    again.meet_record(RECORD);
    let gap = Err(Fault::Gap { expected: 2, found: 9 });
    assert_eq!(again.count(&entry(1, &[(1, 1)]), at(9)), gap);
}

#[test]
fn a_stream_made_anew_goes_on_with_new_slices_and_loses_only_what_it_lost() {
    let mut tracker = Tracker::new();
    let old = count_all(&mut tracker, &[solving(0, &[(1, 1)]), entry(1, &[(2, 2)])]);
    let anew = Place { incarnation: RECORD + 1, sequence: 1 };
    let remade = Fault::Remade { expected: RECORD, found: RECORD + 1 };
    assert_eq!(tracker.count(&entry(0, &[(3, 3)]), anew), Err(remade));

    let mut again = Tracker::new();
    again.recall(decode::<SliceClosed>(&old).remove(0));
    again.meet_record(RECORD + 1);
    assert_eq!(again.resume_at(), None, "the new stream is read from its first message");
    let facts = again.count(&solving(0, &[(3, 3)]), anew).unwrap();
    let slice = decode::<SliceClosed>(&facts).remove(0);
    assert_eq!((slice.slice, slice.round, slice.incarnation), (2, 2, RECORD + 1));
    assert_eq!((slice.first_sequence, slice.last_sequence), (1, 1));
    assert_eq!(slice.work, Work::new(8), "message 2 of the old stream is in no slice");
    assert_eq!(slice.chain_start, decode::<SliceClosed>(&old)[0].chain_end);
}

#[test]
fn a_history_that_does_not_fit_together_stops_the_accounting() {
    let facts = count_all(&mut Tracker::new(), &[solving(0, &[(1, 1)]), solving(1, &[(1, 1)])]);
    let slices = decode::<SliceClosed>(&facts);
    let broken = |change: fn(&mut SliceClosed)| {
        let mut tracker = Tracker::new();
        let mut second = slices[1].clone();
        change(&mut second);
        tracker.recall(slices[0].clone());
        tracker.recall(second);
        tracker.count(&entry(2, &[(1, 1)]), at(3))
    };
    assert!(broken(|_| ()).is_ok());
    assert!(matches!(broken(|slice| slice.slice = 3), Err(Fault::History { slice: 3, .. })));
    assert!(matches!(broken(|slice| slice.round = 1), Err(Fault::History { .. })));
    assert!(matches!(broken(|slice| slice.chain_start.0[0] ^= 1), Err(Fault::History { .. })));
    let mut headless = Tracker::new();
    headless.recall(SliceClosed { block: None, ..slices[1].clone() });
    assert!(matches!(headless.count(&entry(2, &[]), at(3)), Err(Fault::History { .. })));
}

#[test]
fn work_beyond_128_bits_stops_the_accounting() {
    let hard =
        |number| Entry::read(&batch(number, &[(1, 127)], 0x0100_0001 + (1 << 16), None).encode());
    let mut tracker = Tracker::new();
    assert!(hard(0).content.is_ok());
    // A block of more than 2^127 expected hashes: one such share fills 1/64 of it, so two slices
    // of one round overflow together.
    assert_eq!(decode::<SliceClosed>(&tracker.count(&hard(0), at(1)).unwrap()).len(), 1);
    assert_eq!(tracker.count(&hard(1), at(2)), Err(Fault::Overflow { slice: 2 }));
}

#[test]
fn progress_tells_of_the_open_round() {
    let mut tracker = Tracker::new();
    let empty = tracker.progress(Timestamp(1));
    assert_eq!((empty.round, empty.slice, empty.sequence, empty.shares), (1, 1, 0, 0));
    count_all(&mut tracker, &[solving(0, &[(1, 1)]), entry(1, &[(1, 27)]), entry(2, &[(2, 4)])]);
    let progress = tracker.progress(Timestamp(2));
    assert_eq!((progress.round, progress.slice, progress.sequence), (2, 3, 3));
    assert_eq!((progress.shares, progress.work), (2, Work::new((1 << 27) + 16)));
    assert_eq!(progress.network_work.to_u128().div_ceil(64), FULL);
}

#[test]
fn the_lines_of_a_large_slice_travel_in_parts() {
    let mut tracker = Tracker::new();
    let mut sequence = 0;
    for first in 0..20_u32 {
        let mut large = batch(first.into(), &[(0, 0); 250], EASY, None);
        for (index, job) in large.jobs.iter_mut().enumerate() {
            job.miner = MinerId::new((first * 250 + index as u32).to_be_bytes().to_vec()).unwrap();
        }
        sequence += 1;
        assert_eq!(tracker.count(&Entry::read(&large.encode()), at(sequence)), Ok(vec![]));
    }
    let facts = tracker.count(&solving(99, &[(1, 1)]), at(sequence + 1)).unwrap();
    let order = ["rounds.slice.lines.1.0", "rounds.slice.lines.1.1", "rounds.slice.closed.1"];
    assert_eq!(subjects(&facts)[..3], order);
    assert!(facts.iter().all(|fact| fact.message.body.len() < 1 << 20));
    let lines: Vec<_> =
        decode::<SliceLines>(&facts).into_iter().flat_map(|part| part.lines).collect();
    assert_eq!(lines.len(), 5_001);
    assert!(lines.is_sorted_by(|one, other| one.miner < other.miner));
}

/// What a message of the property tests holds: shares, and whether the last one solves a block.
fn messages() -> impl Strategy<Value = Vec<(Vec<Did>, bool)>> {
    let shares = proptest::collection::vec((0_u8..6, 18_u32..28), 0..6);
    proptest::collection::vec((shares, proptest::bool::weighted(0.1)), 1..60)
}

fn entries(messages: &[(Vec<Did>, bool)]) -> Vec<(Accepted, Entry)> {
    let build = |(number, (shares, solves)): (usize, &(Vec<Did>, bool))| {
        let hash = BlockHash([number as u8 + 1; 32]);
        let batch = batch(number as u64, shares, EASY, solves.then_some(hash));
        let entry = Entry::read(&batch.encode());
        (batch, entry)
    };
    messages.iter().enumerate().map(build).collect()
}

proptest! {
    #[test]
    fn slices_are_what_a_plain_reading_of_the_rule_says(messages in messages()) {
        let entries = entries(&messages);
        let only: Vec<_> = entries.iter().map(|(_, entry)| entry.clone()).collect();
        let facts = count_all(&mut Tracker::new(), &only);
        let (slices, lines) = (decode::<SliceClosed>(&facts), decode::<SliceLines>(&facts));
        let mut next = slices.iter().zip(&lines);
        let (mut work, mut by_miner, mut chain) = (0, BTreeMap::new(), [0_u8; 32]);
        for (index, (batch, _)) in entries.iter().enumerate() {
            let payload: [u8; 32] = Sha256::digest(batch.encode()).into();
            chain = Sha256::digest([chain, payload].concat()).into();
            for share in &batch.shares {
                work += share.work.to_u128();
                *by_miner.entry(batch.job_of(share).unwrap().miner.clone()).or_insert(0) +=
                    share.work.to_u128();
            }
            let solves = batch.shares.last().is_some_and(|share| share.block.is_some());
            if !batch.shares.is_empty() && (solves || work >= FULL) {
                let (slice, lines) = next.next().expect("a slice");
                prop_assert_eq!(slice.last_sequence, 1 + index as u64);
                prop_assert_eq!(slice.work, Work::new(work));
                prop_assert_eq!(slice.block.is_some(), solves);
                prop_assert_eq!(&slice.chain_end.0[..], &chain[..]);
                let lines: BTreeMap<_, _> =
                    lines.lines.iter().map(|line| (line.miner.clone(), line.work.to_u128())).collect();
                prop_assert_eq!(&lines, &by_miner);
                (work, by_miner) = (0, BTreeMap::new());
            }
        }
        prop_assert!(next.next().is_none(), "a slice too many");
        for pair in slices.windows(2) {
            prop_assert_eq!(pair[0].last_sequence + 1, pair[1].first_sequence);
            prop_assert_eq!(&pair[0].chain_end, &pair[1].chain_start);
        }
    }

    /// Stopping anywhere and starting from the closed slices gives the very same facts.
    #[test]
    fn a_restart_changes_nothing(messages in messages(), stops in proptest::collection::vec(any::<bool>(), 60)) {
        let entries = entries(&messages);
        let only: Vec<_> = entries.iter().map(|(_, entry)| entry.clone()).collect();
        let expected = count_all(&mut Tracker::new(), &only);
        let mut tracker = Tracker::new();
        let mut facts: Vec<Publication> = Vec::new();
        for (index, entry) in only.iter().enumerate() {
            if stops[index] {
                tracker = Tracker::new();
                for slice in decode::<SliceClosed>(&facts) {
                    tracker.recall(slice);
                }
                tracker.meet_record(RECORD);
                let from = tracker.resume_at().unwrap_or(1);
                for (sequence, entry) in (1..).zip(&only[..index]).skip(from as usize - 1) {
                    let again = tracker.count(entry, at(sequence)).unwrap();
                    prop_assert!(again.iter().all(|fact| facts.contains(fact)), "said before");
                }
            }
            for fact in tracker.count(entry, at(1 + index as u64)).unwrap() {
                if !facts.contains(&fact) {
                    facts.push(fact);
                }
            }
        }
        prop_assert_eq!(facts, expected);
    }
}
