//! A toy worker with everything that real ones have: a chain, a fact that exists once, a reference
//! stream that it may have to wait for, and a state that it rebuilds from its own facts.

use super::*;
use crate::{
    outcome::{Outcome, Publication},
    transform::{Position, Replay, Start},
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use subjects::{
    BlockHash, BootEpoch, DecodeError, Lane, NodeId,
    blocks::{BlockResult, Outcome as BlockOutcome},
    shares::Rejected,
};

#[derive(Clone)]
enum Heard {
    /// The dictionary has this word.
    Entry(String),
    /// Somebody said a word on a lane, as the n-th there.
    Said { lane: u16, number: u64, word: String },
    /// The toy's own past.
    Past(Rejected),
}

/// Confirms words of the dictionary, in order per lane, and each word once ever.
#[derive(Default)]
struct Toy {
    forgetful: bool,
    dictionary: BTreeSet<String>,
    dictionary_as_of: Option<Timestamp>,
    lanes: BTreeMap<u16, Option<u64>>,
    waiting_since: BTreeMap<(u16, u64), Timestamp>,
}

fn chain_link(lane: u16, number: u64) -> Rejected {
    Rejected {
        node: NodeId::core(),
        lane: Lane(lane),
        boot_epoch: BootEpoch(1),
        sequence: number,
        minute: Timestamp(0),
        counts: Vec::new(),
    }
}

fn confirmed(word: &str) -> BlockOutcome {
    let mut hash = [0; 32];
    for (byte, letter) in hash.iter_mut().zip(word.bytes()) {
        *byte = letter;
    }
    BlockOutcome { hash: BlockHash(hash), height: 1, result: BlockResult::Confirmed }
}

impl Transform for Toy {
    type Input = Heard;

    fn decode(subject: &str, kind: &str, body: &[u8]) -> Result<Heard, DecodeError> {
        if kind == Rejected::TYPE {
            return Rejected::decode(body).map(Heard::Past);
        }
        let text = std::str::from_utf8(body).map_err(|error| DecodeError::field("body", error))?;
        if subject.starts_with("dictionary.") {
            return Ok(Heard::Entry(text.to_owned()));
        }
        let mut parts = text.split(' ');
        let mut next = || parts.next().ok_or_else(|| DecodeError::field("body", "too short"));
        let lane = next()?.parse().map_err(|error| DecodeError::field("lane", error))?;
        let number = next()?.parse().map_err(|error| DecodeError::field("number", error))?;
        Ok(Heard::Said { lane, number, word: next()?.to_owned() })
    }

    fn start(&self, _: &str) -> Start {
        Start::First
    }

    fn before(&self, input: &Heard) -> Option<Replay> {
        match input {
            Heard::Said { lane, .. } if !self.forgetful && !self.lanes.contains_key(lane) => {
                Some(Replay {
                    stream: "CONFIRMED".to_owned(),
                    filters: vec![format!("shares.rejected.core.{lane}")],
                    from: Start::LastPerSubject,
                })
            }
            Heard::Said { .. } | Heard::Entry(_) | Heard::Past(_) => None,
        }
    }

    fn recall(&mut self, past: Heard, _: &Position) {
        if let Heard::Past(link) = past {
            self.lanes.insert(link.lane.0, Some(link.sequence));
        }
    }

    fn recalled(&mut self, input: &Heard) {
        if let Heard::Said { lane, .. } = input {
            self.lanes.entry(*lane).or_default();
        }
    }

    fn caught_up(&mut self, stream: &str, as_of: Timestamp) {
        if stream == "DICTIONARY" {
            self.dictionary_as_of = Some(as_of);
        }
    }

    fn handle(&mut self, now: Timestamp, input: Heard, _: &Position) -> Outcome {
        match input {
            Heard::Entry(word) => {
                self.dictionary.insert(word);
                Outcome::settle()
            }
            Heard::Past(_) => Outcome::park("a past that was not asked for"),
            Heard::Said { lane, number, word } => self.judge(now, lane, number, &word),
        }
    }
}

impl Toy {
    fn judge(&mut self, now: Timestamp, lane: u16, number: u64, word: &str) -> Outcome {
        let last = self.lanes.entry(lane).or_default();
        if last.is_some_and(|last| number <= last) {
            return Outcome::settle();
        }
        let known = self.dictionary.contains(word);
        let heard = *self.waiting_since.entry((lane, number)).or_insert(now);
        if !known && self.dictionary_as_of.is_none_or(|as_of| as_of < heard) {
            return Outcome::retry(Duration::from_millis(50));
        }
        *last = Some(number);
        let link = Publication::chained(&chain_link(lane, number));
        if known {
            Outcome::facts(vec![Publication::once(&confirmed(word)), link])
        } else {
            Outcome::facts(vec![link])
        }
    }
}

fn bus(seed: u64, mood: Mood, forgetful: bool) -> Bus {
    let mut bus = Bus::new(seed, mood);
    bus.stream("DICTIONARY", &["dictionary.>"])
        .queue("SAID", &["said.>"])
        .stream("CONFIRMED", &["shares.rejected.>", "blocks.outcome.>"])
        .stream("PARKED", &["parked.>"]);
    let make = move || Toy { forgetful, ..Toy::default() };
    bus.attach("toy", make, vec![source("DICTIONARY", &[]), queue("SAID", &["said.>"])]);
    bus
}

/// Words `a` to `e` are in the dictionary; `x` never is.
fn tell(bus: &mut Bus, said: &[(u16, char)]) {
    for word in ["a", "b", "c", "d", "e"] {
        bus.inject(&format!("dictionary.{word}"), "entry", word, word.as_bytes()).unwrap();
    }
    let mut numbers = BTreeMap::<u16, u64>::new();
    for (lane, word) in said {
        let number = numbers.entry(*lane).or_default();
        let body = format!("{lane} {number} {word}");
        bus.inject(&format!("said.{lane}"), "said", &body, body.as_bytes()).unwrap();
        *number += 1;
    }
    bus.run();
}

#[test]
fn a_calm_bus_tells_the_story_in_order() {
    let mut bus = bus(0, Mood::calm(), false);
    tell(&mut bus, &[(1, 'a'), (2, 'x'), (1, 'a')]);
    bus.inject("said.1", "said", "broken", b"\xff").unwrap();
    bus.run();
    let transcript: Vec<String> = bus
        .transcript()
        .lines()
        .filter(|line| line.starts_with("toy"))
        .map(str::to_owned)
        .collect();
    insta::assert_snapshot!(transcript.join("\n"), @r"
    toy -> blocks.outcome.0000000000000000000000000000000000000000000000000000000000000061 [outcome/0000000000000000000000000000000000000000000000000000000000000061]
    toy -> shares.rejected.core.1 [rejected/core/1/1/0]
    toy -> shares.rejected.core.2 [rejected/core/2/1/0]
    toy -> shares.rejected.core.1 [rejected/core/1/1/1]
    toy -> parked.toy [parked/toy/SAID/4]
    ");
    assert_eq!(bus.unsettled("SAID"), 0);
    assert!(bus.stopped().is_empty());
    assert_eq!(bus.all::<Rejected>().len(), 3);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut bus = bus(seed, Mood::foul(), false);
        tell(&mut bus, &[(1, 'a'), (2, 'b'), (1, 'c'), (2, 'x'), (3, 'd')]);
        (bus.transcript(), bus.incidents())
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42).1, run(43).1);
}

#[test]
fn two_facts_with_one_name_and_different_bytes_stop_the_worker() {
    let mut bus = bus(0, Mood::calm(), false);
    let other = BlockOutcome { height: 2, ..confirmed("a") };
    bus.publish(&Publication::once(&other)).unwrap();
    tell(&mut bus, &[(1, 'a')]);
    assert!(bus.stopped()["toy"].contains("says something else already"));
    assert_eq!(bus.unsettled("SAID"), 1);
}

#[test]
fn a_writer_whose_chain_went_on_without_it_is_fenced() {
    let mut bus = bus(0, Mood::calm(), false);
    tell(&mut bus, &[(1, 'a')]);
    let stranger = Publication::chained(&chain_link(1, 7));
    bus.publish(&stranger).unwrap();
    bus.inject("said.1", "said", "late", b"1 1 b").unwrap();
    bus.run();
    assert!(bus.stopped()["toy"].contains("taken over"));
    // Started again it sees the stranger's link, and goes on behind it.
    bus.crash("toy");
    bus.inject("said.1", "said", "later", b"1 8 c").unwrap();
    bus.run();
    assert!(bus.stopped().is_empty());
    assert_eq!(bus.all::<Rejected>().last().unwrap().sequence, 8);
}

#[test]
fn the_same_words_behind_another_predecessor_are_another_writers() {
    let mut store = Store::default();
    store.declare("CONFIRMED", owned(&["shares.rejected.>"]), false);
    let (mut zombie, mut heir) = (BTreeMap::new(), BTreeMap::new());
    let mut say = |chains: &mut _, number| {
        store.publish("toy", &Publication::chained(&chain_link(1, number)), chains, BEGIN)
    };
    assert_eq!(say(&mut zombie, 0), Ok(1));
    assert_eq!((say(&mut heir, 1), say(&mut heir, 2)), (Ok(2), Ok(3)));
    assert!(matches!(say(&mut zombie, 2), Err(SimError::Fenced(_))));
}

fn words() -> impl Strategy<Value = Vec<(u16, char)>> {
    prop::collection::vec(
        (1_u16..4, prop::sample::select(vec!['a', 'b', 'c', 'd', 'e', 'x'])),
        1..24,
    )
}

proptest! {
    #[test]
    fn the_facts_do_not_depend_on_the_mood(said in words(), seed in any::<u64>()) {
        let mut calm = bus(0, Mood::calm(), false);
        tell(&mut calm, &said);
        let mut foul = bus(seed, Mood::foul(), false);
        tell(&mut foul, &said);
        prop_assert_eq!(foul.stopped(), BTreeMap::new(), "{}", foul.incidents());
        prop_assert_eq!(foul.unsettled("SAID"), 0);
        prop_assert_eq!(foul.story(), calm.story(), "{}", foul.incidents());
    }
}

/// The simulation finds a worker that keeps its state only in memory: ids absorb repetitions for
/// a while, and then the same words are confirmed a second time.
#[test]
fn a_forgetful_worker_is_found_out() {
    let links = |forgetful| {
        let mut bus = bus(0, Mood::calm(), forgetful);
        tell(&mut bus, &[(1, 'a'), (1, 'b'), (1, 'c')]);
        bus.crash("toy");
        bus.advance(Duration::from_secs(300));
        bus.inject("said.1", "said", "again", b"1 1 b").unwrap();
        bus.run();
        bus.all::<Rejected>().len()
    };
    assert_eq!((links(false), links(true)), (3, 4));
}
