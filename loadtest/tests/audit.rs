//! Books that balance, and every way in which they may not.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do: by panicking")]

mod facts;

use facts::{key, message, refused, slice};
use loadtest::audit::{self, Books, Report};
use proptest::prelude::*;
use subjects::{ShareId, shares::Reason};

const INCARNATION: u64 = 1_700_000_000_000;

const fn id(sequence: u64, index: u32) -> ShareId {
    ShareId { incarnation: INCARNATION, sequence, index }
}

/// Six shares in four messages, two slices, the last message in the open one.
fn balanced() -> Books {
    let mut books = Books::default();
    for (sequence, shares) in [(1, [10, 11].as_slice()), (2, &[12]), (3, &[13, 14]), (4, &[15])] {
        books.stored(INCARNATION, sequence, &message(0, shares));
        for (index, share) in (0..).zip(shares) {
            books.acknowledged(key(*share));
            books.recorded(key(*share), id(sequence, index));
        }
    }
    books.slice(&slice(INCARNATION, 1, (1, 2), 3));
    books.slice(&slice(INCARNATION, 2, (3, 3), 2));
    books
}

fn named(books: &Books) -> Vec<String> {
    let report = books.report();
    let named: Vec<String> = report.named.iter().map(ToString::to_string).collect();
    assert_eq!(report.violations, u64::try_from(named.len()).unwrap());
    named
}

#[test]
fn books_that_balance_say_how_far_each_share_came() {
    let report = balanced().report();
    assert!(report.is_clean());
    assert_eq!(
        report,
        Report {
            acknowledged: 6,
            stored: 6,
            recorded: 6,
            in_slices: 5,
            in_open_slice: 1,
            slices: 2,
            ..Report::default()
        }
    );
}

#[test]
fn a_lost_share_is_named_and_a_late_one_counted() {
    let mut books = balanced();
    books.acknowledged(key(98));
    books.acknowledged(key(99));
    assert_eq!(
        named(&books),
        [
            "share 300 2 7 98 was acknowledged and is not in the stream",
            "share 300 2 7 99 was acknowledged and is not in the stream",
        ]
    );
    books.refused(&refused(98, Reason::TooLate));
    books.refused(&refused(99, Reason::DuplicateShare));
    assert_eq!(
        named(&books),
        ["share 300 2 7 99 was acknowledged and then refused: duplicate-share"]
    );
    assert_eq!(books.report().refused_late.get(&Reason::TooLate), Some(&1));
}

#[test]
fn a_share_that_counts_twice_is_named() {
    let mut books = balanced();
    books.stored(INCARNATION, 5, &message(0, &[10]));
    books.recorded(key(10), id(5, 0));
    let places = format!("{INCARNATION}/1/0, {INCARNATION}/5/0");
    assert_eq!(
        named(&books),
        [format!("share 300 2 7 10 is in the stream more than once: {places}")]
    );
}

#[test]
fn a_share_acknowledged_twice_is_named() {
    let mut books = balanced();
    books.acknowledged(key(10));
    assert_eq!(named(&books), ["share 300 2 7 10 was acknowledged twice"]);
}

#[test]
fn the_database_holds_what_the_stream_holds_and_nothing_else() {
    let mut books = balanced();
    books.stored(INCARNATION, 5, &message(0, &[16, 17]));
    books.recorded(key(18), id(5, 1));
    books.recorded(key(19), id(6, 0));
    books.recorded(key(12), id(2, 0));
    assert_eq!(
        named(&books),
        [
            format!(
                "share 300 2 7 12, {INCARNATION}/2/0 in the stream, is in the database 2 times"
            ),
            format!("share 300 2 7 16, {INCARNATION}/5/0 in the stream, is not in the database"),
            format!(
                "the database has share 300 2 7 18 as {INCARNATION}/5/1, the stream has 300 2 7 17"
            ),
            format!(
                "the database has share 300 2 7 19 as {INCARNATION}/6/0, where the stream has none"
            ),
        ]
    );
    assert_eq!(books.report().unacknowledged, 2);
}

#[test]
fn slices_lie_end_to_end_and_count_what_is_there() {
    let mut books = balanced();
    books.stored(INCARNATION, 5, &message(0, &[16]));
    books.recorded(key(16), id(5, 0));
    books.slice(&slice(INCARNATION, 4, (5, 5), 9));
    assert_eq!(
        named(&books),
        [
            format!("share 300 2 7 15, {INCARNATION}/4/0 in the stream, is in no slice"),
            "slice 4 begins at 5, 4 was expected".to_owned(),
            "slice 4 follows slice 2".to_owned(),
            "slice 4 counts 9 shares, the stream has 1 there".to_owned(),
        ]
    );
    let mut overlapping = balanced();
    overlapping.slice(&slice(INCARNATION, 3, (2, 4), 4));
    assert!(named(&overlapping).contains(&"slice 3 begins at 2, 3 was expected".to_owned()));
}

#[tokio::test]
async fn a_line_that_was_cut_short_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("acknowledged");
    std::fs::write(&file, "300 2 7 10\n300 2 7 11\n300 2 7 1").unwrap();
    assert_eq!(audit::acknowledged(std::slice::from_ref(&file)).await.unwrap(), [key(10), key(11)]);
    std::fs::write(&file, "300 2 7 10\nnonsense\n300 2 7 11\n").unwrap();
    assert!(audit::acknowledged(&[file]).await.is_err());
}

/// What a fault may do to the books of a network.
#[derive(Clone, Copy, Debug)]
enum Fault {
    LoseFromStream,
    StoreTwice,
    LoseRow,
    RecordTwice,
    LoseSlice,
}

proptest! {
    /// A network of `sizes` messages, cut into slices of two messages each; one fault at `at`.
    #[test]
    fn no_fault_goes_unseen(
        sizes in prop::collection::vec(1..5_usize, 4..30),
        at in any::<prop::sample::Index>(),
        fault in prop::sample::select(vec![
            Fault::LoseFromStream, Fault::StoreTwice, Fault::LoseRow, Fault::RecordTwice, Fault::LoseSlice,
        ]),
        faulty: bool,
    ) {
        let mut books = Books::default();
        let faulty_message = faulty.then(|| at.index(sizes.len()));
        let mut next = 0_u32;
        let mut slice_shares = 0;
        for (position, size) in sizes.iter().enumerate() {
            let sequence = u64::try_from(position).unwrap() + 1;
            let shares: Vec<u32> = (0..u32::try_from(*size).unwrap()).map(|one| next + one).collect();
            next += u32::try_from(*size).unwrap();
            let here = |wanted: Fault| {
                faulty_message == Some(position)
                    && std::mem::discriminant(&wanted) == std::mem::discriminant(&fault)
            };
            shares.iter().for_each(|share| books.acknowledged(key(*share)));
            if here(Fault::LoseFromStream) {
                books.stored(INCARNATION, sequence, &message(0, &shares[1..]));
            } else {
                books.stored(INCARNATION, sequence, &message(0, &shares));
            }
            if here(Fault::StoreTwice) {
                books.stored(INCARNATION, 1_000, &message(0, &shares[..1]));
                books.recorded(key(shares[0]), id(1_000, 0));
            }
            for (index, share) in (0..).zip(&shares) {
                if !(here(Fault::LoseRow) && index == 0) {
                    books.recorded(key(*share), id(sequence, index));
                }
                if here(Fault::RecordTwice) {
                    books.recorded(key(*share), id(sequence, index));
                }
            }
            slice_shares += u64::try_from(shares.len()).unwrap();
            if position % 2 == 1 {
                // The last slice may be missing without anybody noticing: it is still open.
                let last = position + 2 >= sizes.len();
                let lost = here(Fault::LoseSlice) && !last && position > 1;
                if !lost {
                    books.slice(&slice(INCARNATION, sequence / 2, (sequence - 1, sequence), slice_shares));
                }
                slice_shares = 0;
            }
        }
        let lost_slice = faulty_message.is_some_and(|at| at % 2 == 1 && at > 1 && at + 2 < sizes.len());
        let broken = faulty && (!matches!(fault, Fault::LoseSlice) || lost_slice);
        prop_assert_eq!(books.report().is_clean(), !broken);
    }
}
