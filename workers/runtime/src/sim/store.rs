//! Streams in memory: sequences, ids, expectations.

use crate::{
    bus::{matches, subject::is_concrete},
    outcome::{Expect, Publication},
    transform::{Replay, Start},
};
use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    time::Duration,
};
use subjects::Timestamp;

/// How long a stream remembers ids, as the declared streams do.
const DEDUP_WINDOW: Duration = Duration::from_secs(120);

/// When every simulated stream was created, in milliseconds since 1970.
pub(super) const INCARNATION: u64 = 1_700_000_000_000;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The stream that took it.
    pub stream: String,
    /// Its sequence there.
    pub sequence: u64,
    /// Its subject, as stored.
    pub subject: String,
    /// Its type.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: Vec<u8>,
    /// The worker that published it, `test` for what came from outside.
    pub said_by: String,
    /// When it was stored, by the servers' clock.
    pub stored_at: Timestamp,
    /// Sequence of the message before it on its subject, as its writer expected it.
    predecessor: Option<u64>,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} [{}]", self.said_by, self.subject, self.id)
    }
}

/// A publication that the simulated bus does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// No declared stream takes the subject.
    #[error("no stream takes `{0}`")]
    NoStream(String),
    /// A fact that exists once exists already, with other bytes.
    #[error("`{0}` says something else already")]
    Contradiction(String),
    /// Another writer went on with the chain.
    #[error("another writer has taken over `{0}`")]
    Fenced(String),
    /// The worker says that something which must hold does not.
    #[error("{0}")]
    Stopped(String),
}

/// The last link that a writer knows of each chain: sequence, id, body.
pub(super) type Chains = BTreeMap<String, Option<Link>>;

/// A link of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    sequence: u64,
    id: String,
    body: Vec<u8>,
}

impl Link {
    pub(super) fn of(fact: &Fact) -> Self {
        Self { sequence: fact.sequence, id: fact.id.clone(), body: fact.body.clone() }
    }
}

/// All streams and everything that was ever stored in them.
#[derive(Default)]
pub(super) struct Store {
    streams: BTreeMap<String, Stream>,
    facts: Vec<Fact>,
}

struct Stream {
    subjects: Vec<String>,
    is_queue: bool,
    map: Option<fn(&str) -> String>,
    last: u64,
    /// What it holds: sequence to index in `facts`.
    held: BTreeMap<u64, usize>,
    ids: BTreeMap<String, (u64, Timestamp)>,
    last_of: BTreeMap<String, u64>,
}

impl Stream {
    /// The sequence under which this id was stored within the window.
    fn remembered(&self, fact: &Fact) -> Option<u64> {
        let window = u64::try_from(DEDUP_WINDOW.as_millis()).unwrap_or(u64::MAX);
        let (sequence, stored) = self.ids.get(&fact.id).filter(|_| !fact.id.is_empty())?;
        (fact.stored_at.millis_since(*stored) < window).then_some(*sequence)
    }
}

/// What a stream says to a message.
enum Taken {
    Stored(u64),
    Duplicate(u64),
    WrongSequence,
}

impl Store {
    pub(super) fn declare(&mut self, name: &str, subjects: Vec<String>, is_queue: bool) {
        let stream = Stream {
            subjects,
            is_queue,
            map: None,
            last: 0,
            held: BTreeMap::new(),
            ids: BTreeMap::new(),
            last_of: BTreeMap::new(),
        };
        self.streams.insert(name.to_owned(), stream);
    }

    pub(super) fn map_subjects(&mut self, name: &str, map: fn(&str) -> String) {
        if let Some(stream) = self.streams.get_mut(name) {
            stream.map = Some(map);
        }
    }

    pub(super) fn facts(&self) -> &[Fact] {
        &self.facts
    }

    pub(super) fn held(&self, stream: &str) -> usize {
        self.streams.get(stream).map_or(0, |stream| stream.held.len())
    }

    /// Carries a publication out, with the meaning of [`Expect`].
    pub(super) fn publish(
        &mut self,
        by: &str,
        publication: &Publication,
        chains: &mut Chains,
        now: Timestamp,
    ) -> Result<u64, SimError> {
        let message = &publication.message;
        let subject = message.subject.as_str();
        let stream =
            self.stream_of(subject).ok_or_else(|| SimError::NoStream(subject.to_owned()))?;
        let fact = Fact {
            stream,
            sequence: 0,
            subject: subject.to_owned(),
            kind: message.kind.to_owned(),
            id: message.id.clone(),
            body: message.body.clone(),
            said_by: by.to_owned(),
            stored_at: now,
            predecessor: None,
        };
        match publication.expect {
            Expect::Any => match self.take(fact, None) {
                Taken::Stored(sequence) | Taken::Duplicate(sequence) => Ok(sequence),
                Taken::WrongSequence => Err(SimError::Fenced(subject.to_owned())),
            },
            Expect::Once => self.publish_once(fact),
            Expect::Chained => self.publish_chained(fact, chains),
        }
    }

    /// Stores any bytes, whoever may read them.
    pub(super) fn inject(
        &mut self,
        by: &str,
        subject: &str,
        kind: &str,
        id: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Option<u64> {
        let fact = Fact {
            stream: self.stream_of(subject)?,
            sequence: 0,
            subject: subject.to_owned(),
            kind: kind.to_owned(),
            id: id.to_owned(),
            body: body.to_vec(),
            said_by: by.to_owned(),
            stored_at: now,
            predecessor: None,
        };
        match self.take(fact, None) {
            Taken::Stored(sequence) | Taken::Duplicate(sequence) => Some(sequence),
            Taken::WrongSequence => None,
        }
    }

    fn publish_once(&mut self, fact: Fact) -> Result<u64, SimError> {
        let (stream, subject, body) =
            (fact.stream.clone(), fact.subject.clone(), fact.body.clone());
        if let Taken::Stored(sequence) = self.take(fact, Some(0)) {
            return Ok(sequence);
        }
        match self.last(&stream, &subject) {
            Some(there) if there.body == body => Ok(there.sequence),
            Some(_) | None => Err(SimError::Contradiction(subject)),
        }
    }

    fn publish_chained(&mut self, fact: Fact, chains: &mut Chains) -> Result<u64, SimError> {
        let (stream, subject) = (fact.stream.clone(), fact.subject.clone());
        let (id, body) = (fact.id.clone(), fact.body.clone());
        let known = match chains.get(&subject) {
            Some(known) => known.clone(),
            None => self.last(&stream, &subject).map(Link::of),
        };
        if let Some(known) = known.as_ref().filter(|known| known.id == id) {
            let same = known.body == body;
            return if same { Ok(known.sequence) } else { Err(SimError::Contradiction(subject)) };
        }
        let expected = known.map_or(0, |known| known.sequence);
        match self.take(fact, Some(expected)) {
            Taken::Stored(sequence) => {
                chains.insert(subject, Some(Link { sequence, id, body }));
                return Ok(sequence);
            }
            Taken::Duplicate(sequence) if sequence <= expected => return Ok(sequence),
            Taken::Duplicate(_) | Taken::WrongSequence => {}
        }
        let is_ours = |there: &Fact| {
            there.id == id && there.body == body && there.predecessor == Some(expected)
        };
        match self.last(&stream, &subject) {
            Some(there) if is_ours(there) => {
                let link = Link::of(there);
                let sequence = link.sequence;
                chains.insert(subject, Some(link));
                Ok(sequence)
            }
            Some(_) | None => {
                chains.remove(&subject);
                Err(SimError::Fenced(subject))
            }
        }
    }

    fn take(&mut self, mut fact: Fact, expected: Option<u64>) -> Taken {
        let stored_subject = self.stored_subject(&fact);
        let last_of_subject =
            self.last(&fact.stream, &stored_subject).map_or(0, |last| last.sequence);
        let index = self.facts.len();
        let Some(stream) = self.streams.get_mut(&fact.stream) else { return Taken::WrongSequence };
        if let Some(sequence) = stream.remembered(&fact) {
            return Taken::Duplicate(sequence);
        }
        if expected.is_some_and(|expected| expected != last_of_subject) {
            return Taken::WrongSequence;
        }
        stream.last += 1;
        let sequence = stream.last;
        stream.held.insert(sequence, index);
        stream.ids.insert(fact.id.clone(), (sequence, fact.stored_at));
        stream.last_of.insert(stored_subject.clone(), sequence);
        fact.sequence = sequence;
        fact.predecessor = expected;
        fact.subject = stored_subject;
        self.facts.push(fact);
        Taken::Stored(sequence)
    }

    fn stored_subject(&self, fact: &Fact) -> String {
        let map = self.streams.get(&fact.stream).and_then(|stream| stream.map);
        map.map_or_else(|| fact.subject.clone(), |map| map(&fact.subject))
    }

    fn stream_of(&self, subject: &str) -> Option<String> {
        let takes = |stream: &Stream| stream.subjects.iter().any(|filter| matches(filter, subject));
        self.streams.iter().find(|(_, stream)| takes(stream)).map(|(name, _)| name.clone())
    }

    fn last(&self, stream: &str, subject: &str) -> Option<&Fact> {
        // A settled message is gone from its queue; nobody writes chains there.
        self.get(stream, *self.streams.get(stream)?.last_of.get(subject)?)
    }

    pub(super) fn get(&self, stream: &str, sequence: u64) -> Option<&Fact> {
        self.facts.get(*self.streams.get(stream)?.held.get(&sequence)?)
    }

    /// The first message that the stream holds at or after `sequence`, within the filters.
    pub(super) fn at_or_after(
        &self,
        stream: &str,
        filters: &[String],
        sequence: u64,
    ) -> Option<u64> {
        let held = self.streams.get(stream)?.held.range(sequence..);
        held.filter_map(|(sequence, index)| Some((sequence, self.facts.get(*index)?)))
            .find(|(_, fact)| within(filters, &fact.subject))
            .map(|(sequence, _)| *sequence)
    }

    /// The sequences to read first, and the sequence to go on from.
    pub(super) fn begin(
        &self,
        stream: &str,
        filters: &[String],
        from: Start,
    ) -> (VecDeque<u64>, u64) {
        let end = self.streams.get(stream).map_or(1, |stream| stream.last + 1);
        match from {
            Start::First => (VecDeque::new(), 1),
            Start::Sequence(sequence) => (VecDeque::new(), sequence),
            Start::New => (VecDeque::new(), end),
            Start::LastPerSubject => (self.last_per_subject(stream, filters), end),
            Start::Time(time) => {
                let later = self.facts.iter().filter(|fact| fact.stream == stream);
                let first =
                    later.filter(|fact| fact.stored_at >= time).map(|fact| fact.sequence).min();
                (VecDeque::new(), first.unwrap_or(end))
            }
        }
    }

    fn last_per_subject(&self, stream: &str, filters: &[String]) -> VecDeque<u64> {
        let mut last = BTreeMap::new();
        let mut next = 1;
        while let Some(sequence) = self.at_or_after(stream, filters, next) {
            if let Some(fact) = self.get(stream, sequence) {
                last.insert(fact.subject.as_str(), sequence);
            }
            next = sequence + 1;
        }
        let mut sequences: Vec<u64> = last.into_values().collect();
        sequences.sort_unstable();
        sequences.into()
    }

    /// Settles a message: a work queue lets it go.
    pub(super) fn settle(&mut self, stream: &str, sequence: u64) {
        if let Some(stream) = self.streams.get_mut(stream).filter(|stream| stream.is_queue) {
            stream.held.remove(&sequence);
        }
    }
}

/// Continues chains from where a replay has seen them, as the real bus does.
pub(super) fn continue_chains(chains: &mut Chains, replay: &Replay, heard: BTreeMap<String, Link>) {
    if replay.is_whole() {
        for filter in replay.filters.iter().filter(|filter| is_concrete(filter)) {
            chains.entry(filter.clone()).or_insert(None);
        }
    }
    for (subject, link) in heard {
        let known = chains.entry(subject).or_insert(None);
        if known.as_ref().is_none_or(|known| known.sequence < link.sequence) {
            *known = Some(link);
        }
    }
}

pub(super) fn within(filters: &[String], subject: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| matches(filter, subject))
}
