use super::*;
use proptest::prelude::*;
use subjects::BlockHash;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Patience = Patience {
    unreachable: Duration::from_secs(10),
    behind: Duration::from_secs(20),
    recovered: Duration::from_secs(60),
};

fn good(now: u32, blocks: u32) -> View {
    let state = NodeState {
        chain: "signet".to_owned(),
        blocks,
        headers: blocks,
        best: BlockHash([7; 32]),
        time: 0,
        median_time: 0,
        initial_block_download: false,
        signet_challenge: None,
        next_nbits: 0,
        mempool_transactions: 0,
    };
    View {
        standing: Standing::Good,
        state: Some(state),
        answered_at: SECOND * now,
        ..View::default()
    }
}

fn failed(view: &View) -> View {
    View { standing: Standing::Failed("connection refused".to_owned()), ..view.clone() }
}

fn refused(view: &View) -> View {
    let refusal = NodeRefusal::InitialBlockDownload { height: 3 };
    View { standing: Standing::Refused(refusal), ..view.clone() }
}

fn selection(providers: usize) -> Selection {
    Selection::new(PATIENCE, providers, Duration::ZERO)
}

fn problem_of(verdicts: &[Verdict], index: usize) -> String {
    verdicts[index].problem.as_ref().map_or_else(String::new, ToString::to_string)
}

#[test]
fn at_the_start_a_better_one_is_waited_for_but_not_for_ever() {
    let mut selection = selection(2);
    selection.look(SECOND, &[View::default(), good(1, 100)]);
    assert_eq!(selection.active(), None);
    selection.look(2 * SECOND, &[good(2, 100), good(2, 100)]);
    assert_eq!(selection.active(), Some(0));

    let mut selection = self::selection(2);
    selection.look(10 * SECOND, &[View::default(), good(10, 100)]);
    assert_eq!(selection.active(), Some(1));
}

#[test]
fn a_better_one_that_fails_at_the_start_is_not_waited_for() {
    let mut selection = selection(2);
    let verdicts = selection.look(SECOND, &[failed(&View::default()), good(1, 100)]);
    assert_eq!(selection.active(), Some(1));
    assert!(problem_of(&verdicts, 0).contains("connection refused"));
}

#[test]
fn silence_is_borne_for_a_while_then_the_next_one_takes_over_and_gives_back_later() {
    let mut selection = selection(2);
    let answered = good(0, 100);
    selection.look(Duration::ZERO, &[answered.clone(), good(0, 100)]);
    selection.look(9 * SECOND, &[failed(&answered), good(9, 100)]);
    assert_eq!(selection.active(), Some(0));
    let verdicts = selection.look(10 * SECOND, &[failed(&answered), good(10, 100)]);
    assert_eq!(selection.active(), Some(1));
    assert_eq!(problem_of(&verdicts, 0), "it has not answered for 10 s: connection refused");
    selection.look(20 * SECOND, &[good(20, 100), good(20, 100)]);
    selection.look(79 * SECOND, &[good(79, 100), good(79, 100)]);
    assert_eq!(selection.active(), Some(1), "not before it has recovered");
    selection.look(80 * SECOND, &[good(80, 100), good(80, 100)]);
    assert_eq!(selection.active(), Some(0));
}

#[test]
fn a_call_that_hangs_is_silence_too() {
    let mut selection = selection(2);
    selection.look(Duration::ZERO, &[good(0, 100), good(0, 100)]);
    selection.look(10 * SECOND, &[good(0, 100), good(10, 100)]);
    assert_eq!(selection.active(), Some(1));
}

#[test]
fn a_refused_one_is_left_at_once() {
    let mut selection = selection(2);
    selection.look(Duration::ZERO, &[good(0, 100), good(0, 100)]);
    let verdicts = selection.look(SECOND, &[refused(&good(1, 100)), good(1, 100)]);
    assert_eq!(selection.active(), Some(1));
    assert_eq!(problem_of(&verdicts, 0), "it is in initial block download at height 3");
}

#[test]
fn one_that_stays_behind_is_left() {
    let mut selection = selection(2);
    selection.look(SECOND, &[good(1, 100), good(1, 101)]);
    let verdicts = selection.look(20 * SECOND, &[good(20, 100), good(20, 101)]);
    assert_eq!((selection.active(), verdicts[0].lag_blocks), (Some(0), 1));
    let verdicts = selection.look(21 * SECOND, &[good(21, 100), good(21, 102)]);
    assert_eq!(selection.active(), Some(1));
    assert_eq!(problem_of(&verdicts, 0), "its tip has been 2 blocks behind for 20 s");
}

#[test]
fn headers_without_blocks_are_a_lag_of_the_only_one_too() {
    let mut selection = selection(1);
    let mut behind = good(0, 100);
    behind.state.as_mut().unwrap().headers = 103;
    selection.look(Duration::ZERO, &[behind.clone()]);
    behind.answered_at = 20 * SECOND;
    let verdicts = selection.look(20 * SECOND, &[behind]);
    assert_eq!((selection.active(), verdicts[0].lag_blocks), (None, 3));
}

#[test]
fn a_node_on_another_chain_puts_nobody_behind() {
    let mut selection = selection(2);
    for now in [0, 30] {
        let verdicts =
            selection.look(SECOND * now, &[good(now, 100), refused(&good(now, 900_000))]);
        assert_eq!((selection.active(), verdicts[0].lag_blocks), (Some(0), 0));
    }
}

proptest! {
    /// Whatever happens: nobody unusable is followed, and while anybody has been usable for as
    /// long as one may be silent at the start, somebody is.
    #[test]
    fn the_followed_one_is_usable(
        looks in prop::collection::vec((prop::collection::vec((0_u8..4, 0_u32..3), 3), 0_u32..30), 1..40),
    ) {
        let mut selection = selection(3);
        let mut views = vec![View::default(); 3];
        let mut now = 0;
        for (news, later) in looks {
            now += later;
            for (view, (kind, blocks)) in views.iter_mut().zip(news) {
                match kind {
                    0 => {}
                    1 => *view = failed(view),
                    2 => *view = refused(view),
                    _ => *view = good(now, 100 + blocks),
                }
            }
            let verdicts = selection.look(SECOND * now, &views);
            if let Some(active) = selection.active() {
                prop_assert_eq!(&verdicts[active].problem, &None);
            } else if SECOND * now >= PATIENCE.unreachable {
                prop_assert!(verdicts.iter().all(|verdict| verdict.problem.is_some()));
            }
        }
    }
}
