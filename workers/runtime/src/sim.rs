//! A bus in memory: `JetStream`'s promises without its sockets.
//!
//! It runs the very transforms that production runs, through the same steps as
//! [`drive`](crate::drive()), in a mood that is drawn from a seed: acknowledgements and settlements
//! get lost, workers crash between any two effects and are rebuilt from the streams, streams run
//! ahead of one another, clocks jump. *The facts must not depend on the mood.*
//!
//! ```
//! use worker_runtime::sim::{self, Bus, Mood};
//! # use worker_runtime::{outcome::Outcome, transform::{Position, Transform}};
//! # use subjects::{DecodeError, Timestamp};
//! # #[derive(Default)] struct Ear;
//! # impl Transform for Ear {
//! #     type Input = String;
//! #     fn decode(_: &str, _: &str, body: &[u8]) -> Result<String, DecodeError> {
//! #         Ok(String::from_utf8_lossy(body).into_owned())
//! #     }
//! #     fn recall(&mut self, _: String, _: &Position) {}
//! #     fn handle(&mut self, _: Timestamp, _: String, _: &Position) -> Outcome { Outcome::settle() }
//! # }
//! let mut bus = Bus::new(7, Mood::foul());
//! bus.stream("WORDS", &["words.>"]).stream("PARKED", &["parked.>"]);
//! bus.attach("ear", Ear::default, vec![sim::source("WORDS", &["words.>"])]);
//! bus.inject("words.said", "example", "word-1", b"hello");
//! bus.run();
//! assert_eq!(bus.transcript(), "test -> words.said [word-1]");
//! ```

mod actor;
mod mood;
mod store;

pub use mood::Mood;
pub use store::{Fact, SimError};

use crate::{bus::matches, outcome::Publication, transform::Transform};
use actor::{Actor, ActorOf, Step};
use mood::Fate;
use std::{collections::BTreeMap, fmt, time::Duration};
use store::Store;
use subjects::{Payload, Timestamp};

/// Who published what no worker did.
const OUTSIDE: &str = "test";

/// When the simulated bus begins: 2023-11-14 22:13:20 UTC.
const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

/// Steps after which a run is taken for endless.
const MAX_STEPS: u32 = 2_000_000;

/// Retries in a row, without anything else happening, after which a run ends: what waits then
/// waits for something that nobody will say.
const MAX_IDLE_RETRIES: u32 = 20_000;

/// A part of a stream that a worker hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    stream: String,
    filters: Vec<String>,
    queue: bool,
}

/// A part of a stream, heard in order from where the transform says.
pub fn source(stream: &str, filters: &[&str]) -> Source {
    Source { stream: stream.to_owned(), filters: owned(filters), queue: false }
}

/// A part of a work queue: a message comes again until it is settled.
pub fn queue(stream: &str, filters: &[&str]) -> Source {
    Source { stream: stream.to_owned(), filters: owned(filters), queue: true }
}

/// The simulated bus with its streams and workers.
pub struct Bus {
    world: World,
    actors: Vec<Box<dyn Actor>>,
}

/// What all workers share.
struct World {
    store: Store,
    fate: Fate,
    /// The servers' clock, in milliseconds since 1970. It never goes backwards.
    time: Timestamp,
    incidents: Vec<String>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("facts", &self.world.store.facts().len())
            .finish_non_exhaustive()
    }
}

impl Bus {
    /// A bus without streams. The same seed, mood and story give the same run.
    pub fn new(seed: u64, mood: Mood) -> Self {
        let world = World {
            store: Store::default(),
            fate: Fate::new(seed, mood),
            time: BEGIN,
            incidents: Vec::new(),
        };
        Self { world, actors: Vec::new() }
    }

    /// Declares a stream that keeps what it stores.
    pub fn stream(&mut self, name: &str, subjects: &[&str]) -> &mut Self {
        self.world.store.declare(name, owned(subjects), false);
        self
    }

    /// Declares a stream that keeps a message until it is settled.
    pub fn queue(&mut self, name: &str, subjects: &[&str]) -> &mut Self {
        self.world.store.declare(name, owned(subjects), true);
        self
    }

    /// Stores the messages of a stream under other subjects, as a subject transform does.
    pub fn map_subjects(&mut self, stream: &str, map: fn(&str) -> String) -> &mut Self {
        self.world.store.map_subjects(stream, map);
        self
    }

    /// Adds a worker. It is made anew by `make` after each crash.
    pub fn attach<T, F>(&mut self, name: &'static str, make: F, sources: Vec<Source>) -> &mut Self
    where
        T: Transform,
        F: Fn() -> T + 'static,
    {
        let actor = ActorOf::start(name, make, sources, &mut self.world);
        self.actors.push(Box::new(actor));
        self
    }

    /// Publishes a fact from outside, and returns its sequence.
    pub fn publish(&mut self, publication: &Publication) -> Result<u64, SimError> {
        let World { store, time, .. } = &mut self.world;
        store.publish(OUTSIDE, publication, &mut BTreeMap::new(), *time)
    }

    /// Publishes facts from outside of which repetitions are absorbed.
    pub fn say<P: Payload>(&mut self, payload: &P) -> Result<u64, SimError> {
        self.publish(&Publication::any(payload))
    }

    /// Puts any bytes on any subject, e.g. a message that nobody can read.
    pub fn inject(&mut self, subject: &str, kind: &str, id: &str, body: &[u8]) -> Option<u64> {
        let World { store, time, .. } = &mut self.world;
        store.inject(OUTSIDE, subject, kind, id, body, *time)
    }

    /// Sets a key of a bucket, whose stream `KV_<bucket>` must be declared.
    pub fn put(&mut self, bucket: &str, key: &str, value: &[u8]) -> Option<u64> {
        self.inject(&format!("$KV.{bucket}.{key}"), "", "", value)
    }

    /// Runs until nothing moves: everything is handled, or waits for what nobody will say.
    pub fn run(&mut self) {
        let mut idle_retries = 0;
        for _ in 0..MAX_STEPS {
            let ready: Vec<usize> = (0..self.actors.len())
                .filter(|actor| {
                    self.actors.get(*actor).is_some_and(|actor| actor.has_work(&self.world))
                })
                .collect();
            let Some(chosen) = self.world.fate.pick(&ready) else {
                if self.sleep_until_retry() {
                    continue;
                }
                return;
            };
            let Some(actor) = self.actors.get_mut(chosen) else { return };
            self.world.time = self.world.time.plus_millis(1);
            match actor.step(&mut self.world) {
                Step::Moved => idle_retries = 0,
                Step::Retried => idle_retries += 1,
            }
            if idle_retries > MAX_IDLE_RETRIES {
                return;
            }
        }
        self.world.note(format!("gave up after {MAX_STEPS} steps"));
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.world.time = self.world.time.plus_millis(millis);
    }

    /// The time by the servers' clock.
    pub const fn now(&self) -> Timestamp {
        self.world.time
    }

    /// Crashes a worker and starts it again, also one that had stopped with an error.
    pub fn crash(&mut self, name: &str) {
        for actor in self.actors.iter_mut().filter(|actor| actor.name() == name) {
            actor.crash(&mut self.world);
        }
    }

    /// Every fact ever stored whose subject lies in `filter`, in the order in which it was stored.
    pub fn facts(&self, filter: &str) -> Vec<&Fact> {
        self.world.store.facts().iter().filter(|fact| matches(filter, &fact.subject)).collect()
    }

    /// Every fact of one type, decoded, in the order in which it was stored. One that does not
    /// decode is left out.
    pub fn all<P: Payload>(&self) -> Vec<P> {
        let facts = self.world.store.facts().iter();
        facts
            .filter(|fact| fact.kind == P::TYPE)
            .filter_map(|fact| P::decode(&fact.body).ok())
            .collect()
    }

    /// The facts of each subject, in order, as id and body: what must not depend on the mood.
    pub fn story(&self) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
        let mut story = BTreeMap::<_, Vec<_>>::new();
        for fact in self.world.store.facts() {
            let told = (fact.id.clone(), fact.body.clone());
            story.entry(fact.subject.clone()).or_default().push(told);
        }
        story
    }

    /// What was said, one line per fact: by whom, where, and under which id.
    pub fn transcript(&self) -> String {
        let lines: Vec<String> = self.world.store.facts().iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    /// What befell the workers, one line per incident: for the reader of a failing seed.
    pub fn incidents(&self) -> String {
        self.world.incidents.join("\n")
    }

    /// Workers that stopped with an error, and the error.
    pub fn stopped(&self) -> BTreeMap<&'static str, String> {
        let told = |actor: &dyn Actor| Some((actor.name(), actor.stopped()?.to_string()));
        self.actors.iter().filter_map(|actor| told(actor.as_ref())).collect()
    }

    /// Messages that a work queue still holds.
    pub fn unsettled(&self, stream: &str) -> usize {
        self.world.store.held(stream)
    }

    /// Moves time to the end of the next retry's pause; whether there was one.
    fn sleep_until_retry(&mut self) -> bool {
        let next = self.actors.iter().filter_map(|actor| actor.next_retry()).min();
        let Some(next) = next else { return false };
        self.world.time = self.world.time.max(next);
        true
    }
}

impl World {
    fn note(&mut self, incident: String) {
        self.incidents.push(incident);
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests;
