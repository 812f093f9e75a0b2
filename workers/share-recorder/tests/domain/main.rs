//! What messages add to the book, however they are cut into batches.

#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected has failed")]

#[path = "../port/facts.rs"]
#[expect(dead_code, reason = "these tests need a part of the facts only")]
mod facts;

use facts::{CREATED, MINUTE, accepted, add, refused};
use proptest::prelude::*;
use share_recorder::domain::{Batch, Feed, Heard, NotAdded, ShareRow, Tally};
use std::collections::BTreeMap;
use subjects::{Payload as _, Timestamp, shares::Accepted};

/// A message: when after the first minute it is stored, whose, which worker's, how many shares.
type Said = (u64, u8, &'static str, u32);

fn any_said() -> impl Strategy<Value = Said> {
    let worker = prop_oneof![Just("rig"), Just("shed"), Just("")];
    (0..200_000_u64, 1..4_u8, worker, 0..5_u32)
}

/// A share's row with names in the place of positions.
type Row = (u64, u16, Vec<u8>, String, Timestamp, u32);

#[derive(Debug, Default, PartialEq, Eq)]
struct Book {
    rows: Vec<Row>,
    workers: BTreeMap<(Timestamp, Vec<u8>, String), (u64, u128, u64)>,
    miners: BTreeMap<(Timestamp, Vec<u8>), (u64, u128, u64)>,
    nodes: BTreeMap<Timestamp, (u64, u128, u64)>,
}

fn sum(into: &mut (u64, u128, u64), tally: &Tally) {
    let best = if into.0 == 0 { tally.best_hash_top } else { into.2.min(tally.best_hash_top) };
    *into = (into.0 + tally.shares, into.1 + tally.work, best);
}

impl Book {
    fn record(&mut self, batch: &Batch) {
        let parties = batch.parties();
        let miner = |index: usize| parties.miners().get(index).unwrap().0.as_bytes().to_vec();
        let worker = |index: usize| parties.workers().get(index).unwrap().1.clone();
        let row = |row: &ShareRow| -> Row {
            let (miner, worker) = (miner(row.miner.0), worker(row.worker.0));
            (row.sequence, row.index, miner, worker, row.stored_at, row.channel_sequence)
        };
        self.rows.extend(batch.rows().shares.iter().map(row));
        for ((minute, index), tally) in batch.minutes().by_worker() {
            let owner = parties.workers().get(index.0).unwrap().0;
            let key = (*minute, miner(owner.0), worker(index.0));
            sum(self.workers.entry(key).or_default(), tally);
        }
        for ((minute, index), tally) in &batch.minutes().by_miner(parties) {
            sum(self.miners.entry((*minute, miner(index.0))).or_default(), tally);
        }
        for ((minute, _), tally) in &batch.minutes().by_node() {
            sum(self.nodes.entry(*minute).or_default(), tally);
        }
    }
}

proptest! {
    #[test]
    fn rows_and_sums_do_not_depend_on_how_the_stream_is_cut(
        said in prop::collection::vec(any_said(), 1..30),
        cuts in prop::collection::vec(any::<bool>(), 30),
    ) {
        let (mut whole, mut cut) = (Book::default(), Book::default());
        let mut all = Batch::new(Feed::Shares, CREATED, 0);
        let mut open = Batch::new(Feed::Shares, CREATED, 0);
        for ((sequence, (after, number, worker, shares)), ends) in (1..).zip(&said).zip(&cuts) {
            let message = accepted(sequence, *number, worker, *shares);
            add(&mut all, sequence, MINUTE + after, &message);
            add(&mut open, sequence, MINUTE + after, &message);
            if *ends {
                cut.record(&open);
                prop_assert_eq!(open.following().after(), sequence);
                open = open.following();
            }
        }
        cut.record(&open);
        whole.record(&all);
        prop_assert_eq!(&whole, &cut);
        let shares: u64 = said.iter().map(|(.., shares)| u64::from(*shares)).sum();
        prop_assert_eq!(u64::try_from(whole.rows.len()).unwrap(), shares);
        prop_assert_eq!(whole.nodes.values().map(|sum| sum.0).sum::<u64>(), shares);
    }
}

fn heard(sequence: u64, body: &[u8]) -> Heard<'_> {
    Heard { sequence, stored_at: Timestamp(MINUTE), kind: Accepted::TYPE, body }
}

#[test]
fn what_cannot_be_read_moves_the_position_and_nothing_else() {
    let mut batch = Batch::new(Feed::Shares, CREATED, 4);
    assert!(matches!(batch.add(heard(5, b"garbage")), Err(NotAdded::Unreadable(_))));
    assert!(batch.rows().is_empty() && !batch.is_empty());
    assert_eq!((batch.after(), batch.through()), (4, 5));
}

#[test]
fn a_message_that_was_added_is_not_added_again() {
    let mut batch = Batch::new(Feed::Shares, CREATED, 4);
    let body = accepted(1, 1, "rig", 2).encode();
    batch.add(heard(9, &body)).unwrap();
    for sequence in [4, 9] {
        assert!(matches!(batch.add(heard(sequence, &body)), Err(NotAdded::OutOfOrder(_))));
    }
    assert_eq!((batch.rows().len(), batch.through()), (2, 9));
}

#[test]
fn a_strangers_clock_is_capped() {
    let mut message = accepted(1, 1, "rig", 1);
    message.opened_at = Timestamp(u64::MAX);
    let mut batch = Batch::new(Feed::Shares, CREATED, 0);
    add(&mut batch, 1, MINUTE, &message);
    let year_9999 = Timestamp(253_402_300_799_999);
    assert_eq!(batch.rows().shares.first().unwrap().taken_at, year_9999);
}

#[test]
fn refusals_count_for_the_lane_and_for_nobody_else() {
    let mut batch = Batch::new(Feed::Refusals, CREATED, 0);
    let reasons = [subjects::shares::Reason::TooLate; 3];
    add(&mut batch, 1, MINUTE, &refused(1, &reasons));
    assert_eq!(batch.minutes().by_lane().values().map(|sum| sum.refused).sum::<u64>(), 3);
    assert!(batch.minutes().by_worker().is_empty());
    assert!(batch.parties().miners().is_empty());
}
