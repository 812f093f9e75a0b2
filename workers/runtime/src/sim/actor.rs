//! A worker on the simulated bus: the steps of the real loop, and its deaths.

use super::{
    Fact, SimError, Source, World,
    store::{Chains, INCARNATION, Link, continue_chains},
};
use crate::{
    drive::parked,
    outcome::{Disposition, Expect, Outcome, Publication},
    transform::{MAX_REPLAYS, Position, Replay, Start, Transform},
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use subjects::Timestamp;

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Moved,
    Retried,
}

/// A worker without its type.
pub(super) trait Actor {
    fn name(&self) -> &'static str;
    fn stopped(&self) -> Option<&SimError>;
    fn has_work(&self, world: &World) -> bool;
    fn next_retry(&self) -> Option<Timestamp>;
    fn step(&mut self, world: &mut World) -> Step;
    fn crash(&mut self, world: &mut World);
}

/// A worker and where it stands in its sources.
pub(super) struct ActorOf<T, F> {
    name: &'static str,
    make: F,
    transform: T,
    sources: Vec<Reader>,
    chains: Chains,
    /// By how much its wall clock is off, in milliseconds.
    clock_error_ms: i64,
    stopped: Option<SimError>,
}

struct Reader {
    source: Source,
    backlog: VecDeque<u64>,
    next: u64,
    waiting: Option<(u64, Timestamp)>,
    caught_up: bool,
}

/// How handling one delivery ended.
enum Handled {
    Settled,
    Waits(Duration),
    Died,
}

impl<T: Transform, F: Fn() -> T> ActorOf<T, F> {
    pub(super) fn start(
        name: &'static str,
        make: F,
        sources: Vec<Source>,
        world: &mut World,
    ) -> Self {
        let reader = |source| Reader {
            source,
            backlog: VecDeque::new(),
            next: 1,
            waiting: None,
            caught_up: false,
        };
        let mut actor = Self {
            name,
            transform: make(),
            make,
            sources: sources.into_iter().map(reader).collect(),
            chains: Chains::new(),
            clock_error_ms: 0,
            stopped: None,
        };
        actor.rebuild(world);
        actor
    }

    /// Makes the worker anew: it has nothing but the streams.
    fn rebuild(&mut self, world: &World) {
        self.transform = (self.make)();
        self.chains = Chains::new();
        self.stopped = None;
        for replay in self.transform.history() {
            self.recall(&replay, world);
        }
        for reader in &mut self.sources {
            let Source { stream, filters, queue } = &reader.source;
            let start = if *queue { Start::First } else { self.transform.start(stream) };
            (reader.backlog, reader.next) = world.store.begin(stream, filters, start);
            reader.waiting = None;
            reader.caught_up = false;
        }
    }

    fn recall(&mut self, replay: &Replay, world: &World) {
        let Replay { stream, filters, from } = replay;
        let (mut backlog, mut next) = world.store.begin(stream, filters, *from);
        let mut heard = BTreeMap::new();
        while let Some(sequence) =
            backlog.pop_front().or_else(|| world.store.at_or_after(stream, filters, next))
        {
            next = next.max(sequence + 1);
            let Some(fact) = world.store.get(stream, sequence) else { continue };
            heard.insert(fact.subject.clone(), Link::of(fact));
            if let Ok(past) = T::decode(&fact.subject, &fact.kind, &fact.body) {
                self.transform.recall(past, &position(fact));
            }
        }
        continue_chains(&mut self.chains, replay, heard);
    }

    /// Readers that could hand out something now.
    fn ready(&self, world: &World) -> Vec<usize> {
        let readers = self.sources.iter().enumerate();
        readers.filter(|(_, reader)| reader.is_ready(world)).map(|(index, _)| index).collect()
    }

    fn now(&self, world: &World) -> Timestamp {
        Timestamp(world.time.0.saturating_add_signed(self.clock_error_ms))
    }

    /// Tells the transform of streams whose end it has reached.
    fn tell_milestones(&mut self, world: &World) {
        let now = self.now(world);
        let waits = self.sources.iter().any(|reader| reader.waiting.is_some());
        for reader in self.sources.iter_mut().filter(|reader| !reader.source.queue) {
            let at_end = reader.waiting.is_none() && reader.peek(world).is_none();
            if at_end && (waits || !reader.caught_up) {
                reader.caught_up = true;
                self.transform.caught_up(&reader.source.stream, now);
            }
        }
    }

    /// Handles one delivery: decode, decide, publish, settle; and dies where fate says.
    fn handle(
        &mut self,
        stream: &str,
        sequence: u64,
        world: &mut World,
    ) -> Result<Handled, SimError> {
        let Some(fact) = world.store.get(stream, sequence).cloned() else {
            return Ok(Handled::Settled);
        };
        let at = position(&fact);
        let now = self.now(world);
        let outcome = match T::decode(&fact.subject, &fact.kind, &fact.body) {
            Ok(input) => {
                self.recall_before(&input, world)?;
                self.transform.handle(now, input, &at)
            }
            Err(error) => Outcome::park(format!("unreadable: {error}")),
        };
        let Outcome { mut publish, disposition } = outcome;
        let wait = match disposition {
            Disposition::Settle => None,
            Disposition::Retry { after } => Some(after),
            Disposition::Stop { reason } => return Err(SimError::Stopped(reason)),
            Disposition::Park { reason } => {
                let (subject, kind, body) = (&fact.subject, &fact.kind, &fact.body);
                let message = parked(self.name, &at, subject, kind, body, &reason, now);
                publish.push(Publication { message, expect: Expect::Any });
                None
            }
        };
        let dies_before = world.fate.crash_before(publish.len());
        for (index, publication) in publish.iter().enumerate() {
            if dies_before == Some(index) {
                return Ok(Handled::Died);
            }
            self.publish(publication, world)?;
        }
        match wait {
            _ if dies_before.is_some() => Ok(Handled::Died),
            Some(after) => Ok(Handled::Waits(after)),
            None => Ok(Handled::Settled),
        }
    }

    fn recall_before(&mut self, input: &T::Input, world: &World) -> Result<(), SimError> {
        for _ in 0..MAX_REPLAYS {
            let Some(replay) = self.transform.before(input) else { return Ok(()) };
            self.recall(&replay, world);
            self.transform.recalled(input);
        }
        Err(SimError::Stopped(format!("asks for more than {MAX_REPLAYS} replays")))
    }

    fn publish(&mut self, publication: &Publication, world: &mut World) -> Result<(), SimError> {
        // What the writer knew before it sent: a lost acknowledgement teaches it nothing.
        let mut known = self.chains.clone();
        world.store.publish(self.name, publication, &mut self.chains, world.time)?;
        if world.fate.loses_publish_ack() {
            let id = &publication.message.id;
            world.incidents.push(format!("{}: acknowledgement of [{id}] lost", self.name));
            world.store.publish(self.name, publication, &mut known, world.time)?;
            self.chains = known;
        }
        Ok(())
    }
}

impl<T: Transform, F: Fn() -> T> Actor for ActorOf<T, F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn stopped(&self) -> Option<&SimError> {
        self.stopped.as_ref()
    }

    fn has_work(&self, world: &World) -> bool {
        self.stopped.is_none() && !self.ready(world).is_empty()
    }

    fn next_retry(&self) -> Option<Timestamp> {
        if self.stopped.is_some() {
            return None;
        }
        self.sources.iter().filter_map(|reader| reader.waiting.map(|(_, until)| until)).min()
    }

    fn step(&mut self, world: &mut World) -> Step {
        if let Some(error_ms) = world.fate.clock_jump() {
            self.clock_error_ms = error_ms;
            world.note(format!("{}: the clock is off by {error_ms} ms", self.name));
        }
        self.tell_milestones(world);
        let ready = self.ready(world);
        let Some(chosen) = world.fate.pick(&ready) else { return Step::Moved };
        let Some(reader) = self.sources.get_mut(chosen) else { return Step::Moved };
        let Some(sequence) = reader.take(world) else { return Step::Moved };
        let stream = reader.source.stream.clone();
        let handled = self.handle(&stream, sequence, world);
        let Some(reader) = self.sources.get_mut(chosen) else { return Step::Moved };
        match handled {
            Ok(Handled::Settled) if reader.source.queue && world.fate.loses_settlement() => {
                world.note(format!("{}: settlement of {stream}/{sequence} lost", self.name));
                reader.backlog.push_front(sequence);
            }
            Ok(Handled::Settled) => world.store.settle(&stream, sequence),
            Ok(Handled::Waits(after)) => {
                let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                reader.waiting = Some((sequence, world.time.plus_millis(millis)));
                return Step::Retried;
            }
            Ok(Handled::Died) => self.crash(world),
            Err(error) => {
                world.note(format!("{}: stopped: {error}", self.name));
                self.stopped = Some(error);
            }
        }
        Step::Moved
    }

    fn crash(&mut self, world: &mut World) {
        world.note(format!("{}: crashed and started again", self.name));
        self.rebuild(world);
    }
}

impl Reader {
    fn peek(&self, world: &World) -> Option<u64> {
        let Source { stream, filters, .. } = &self.source;
        let backlog = self.backlog.front().copied();
        backlog.or_else(|| world.store.at_or_after(stream, filters, self.next))
    }

    fn is_ready(&self, world: &World) -> bool {
        match self.waiting {
            Some((_, until)) => until <= world.time,
            None => self.peek(world).is_some(),
        }
    }

    fn take(&mut self, world: &World) -> Option<u64> {
        if let Some((sequence, _)) = self.waiting.take() {
            return Some(sequence);
        }
        let sequence = self.peek(world)?;
        self.backlog.pop_front();
        self.next = self.next.max(sequence + 1);
        Some(sequence)
    }
}

fn position(fact: &Fact) -> Position {
    Position {
        stream: fact.stream.clone(),
        incarnation: INCARNATION,
        sequence: fact.sequence,
        stored_at: fact.stored_at,
    }
}
