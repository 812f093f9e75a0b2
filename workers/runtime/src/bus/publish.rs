//! Publishing so that nothing is lost and nothing is doubled.
//!
//! A message has one id for all its sendings. It is sent again until its stream answers; the
//! stream stores an id once within its window, and beyond the window a `Once` or `Chained`
//! expectation does the same for ever. One failing burst backs off once, not once per message.

mod attempt;
mod batch;
mod burst;
mod chain;

use super::{Bus, BusConfig, Delivery, matches};
use crate::{
    context::Shell,
    metric::{Counter, Gauge, Histogram, Name},
    outcome::{Expect, Publication},
    trace::TraceParent,
};
use burst::Burst;
use chain::Tip;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use subjects::Message;
use tokio::sync::Semaphore;

pub(super) use attempt::{Attempt, Verdict};
pub(crate) use chain::{Chains, Heard};

pub use batch::Traced;

/// A message that a stream has stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The stream.
    pub stream: String,
    /// The message's sequence there.
    pub sequence: u64,
    /// Whether the stream had it before this call.
    pub duplicate: bool,
}

/// A message that will not be stored, however often it is sent.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A fact that exists once exists already, with other bytes. A person must find out which is
    /// true before anything goes on.
    #[error(
        "`{subject}` says something else already ({stream} sequence {sequence}): stop, compare both messages, and correct the one who is wrong"
    )]
    Contradiction {
        /// The fact's subject.
        subject: String,
        /// The stream.
        stream: String,
        /// Sequence of what is there.
        sequence: u64,
    },
    /// Another writer went on with the chain: this one lost its lease and must stop.
    #[error(
        "another writer has taken over `{subject}` ({stream} sequence {sequence}, not {expected}): this one must stop"
    )]
    Fenced {
        /// The chain's subject.
        subject: String,
        /// The stream.
        stream: String,
        /// Sequence of the last link that is there.
        sequence: u64,
        /// Sequence of the last link that this writer knows.
        expected: u64,
    },
    /// The server will never take this message.
    #[error("`{subject}` is refused: {reason}")]
    Refused {
        /// The message's subject.
        subject: String,
        /// Why.
        reason: String,
    },
    /// Nobody said which stream keeps this subject.
    #[error("no stream is known for `{subject}`: add a route for it")]
    Unrouted {
        /// The message's subject.
        subject: String,
    },
    /// The process ended before the stream answered. The message may be stored; the same message
    /// must be published again after a restart.
    #[error("the process ended before `{subject}` was stored")]
    Stopped {
        /// The message's subject.
        subject: String,
    },
}

/// The publishing side of one connection.
pub(super) struct Publisher {
    routes: Mutex<BTreeMap<String, String>>,
    room: Semaphore,
    /// Room for batches that are open.
    batches: Semaphore,
    /// Back-offs by stream, so that a full stream holds up nobody else's messages.
    gates: Mutex<BTreeMap<String, Arc<Burst>>>,
    /// Streams that have not taken anything for a while.
    failing: Mutex<BTreeSet<String>>,
    /// The back-off of buckets.
    pub(super) keys: Burst,
    pub(super) chains: Chains,
    pub(super) ack_timeout: Duration,
    figures: Figures,
}

struct Figures {
    in_flight: Gauge,
    ack_ms: Histogram,
}

impl Publisher {
    pub(super) fn new(shell: &Shell, config: &BusConfig) -> Self {
        Self {
            routes: Mutex::new(config.streams.clone()),
            room: Semaphore::new(config.max_in_flight.clamp(1, MAX_IN_FLIGHT)),
            batches: Semaphore::new(batch::MAX_OPEN),
            gates: Mutex::default(),
            failing: Mutex::default(),
            keys: Burst::default(),
            chains: Chains::default(),
            ack_timeout: Duration::from_millis(config.ack_timeout_ms.max(1)),
            figures: Figures {
                in_flight: shell.metrics.gauge(Name::BusPublishInFlight),
                ack_ms: shell.metrics.histogram(Name::BusPublishAckMs),
            },
        }
    }

    /// How long an acknowledgement is awaited where one message is in flight.
    pub(super) fn wait_for_one(&self) -> Duration {
        self.ack_timeout / WAITS_FOR_ONE
    }

    pub(super) fn route(&self, filter: &str, stream: &str) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(filter.to_owned(), stream.to_owned());
    }

    /// The back-off of a stream; of all unrouted subjects together for `None`.
    fn gate(&self, stream: Option<&str>) -> Arc<Burst> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(stream.unwrap_or_default().to_owned()).or_default())
    }

    /// Whether a route leads to this stream.
    pub(super) fn keeps(&self, stream: &str) -> bool {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.values().any(|kept| kept == stream)
    }

    /// The stream that must take the subject. The longest filter wins.
    pub(super) fn stream_of(&self, subject: &str) -> Option<String> {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let matching = routes.iter().filter(|(filter, _)| matches(filter, subject));
        matching.max_by_key(|(filter, _)| filter.len()).map(|(_, stream)| stream.clone())
    }
}

/// Part of the acknowledgement's time after which a message is sent again whose subject has one in
/// flight. Its acknowledgement may have gone with a server that was told to end; sending one message
/// twice costs little, sending all that are in flight would cost a slow server its last breath.
const WAITS_FOR_ONE: u32 = 4;

/// Most publications in flight that a configuration may ask for; the server's own queue per
/// stream holds 100 000.
const MAX_IN_FLIGHT: usize = 65_536;

/// Publishes one message, whatever is expected of it.
pub(super) async fn publish(bus: &Bus, publication: &Publication) -> Result<Stored, PublishError> {
    let publisher = &bus.inner.publisher;
    let message = &publication.message;
    let subject = message.subject.as_str();
    let stopped = || PublishError::Stopped { subject: subject.to_owned() };
    let halted = bus.inner.shell.halt.cancelled();
    let publishing = async {
        // The semaphore is never closed.
        let _room = publisher.room.acquire().await.map_err(|_| stopped())?;
        publisher.figures.in_flight.inc();
        let _gone = InFlight(&publisher.figures.in_flight);
        match publication.expect {
            Expect::Any => any(bus, message).await,
            Expect::Once => once(bus, message).await,
            Expect::Chained => chained(bus, message).await,
        }
    };
    tokio::select! {
        stored = publishing => stored,
        () = halted => Err(stopped()),
    }
}

/// Publishes facts of one stream in their order.
pub(super) async fn in_order(bus: &Bus, facts: &[Traced]) -> Result<(), PublishError> {
    tokio::select! {
        stored = batch::in_order(bus, facts) => stored,
        () = bus.inner.shell.halt.cancelled() => Err(PublishError::Stopped {
            subject: facts.first().map_or_else(String::new, |fact| fact.message.subject.to_string()),
        }),
    }
}

/// Counts a publication out, however it ends.
struct InFlight<'a>(&'a Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn any(bus: &Bus, message: &Message) -> Result<Stored, PublishError> {
    let stream = bus.inner.publisher.stream_of(message.subject.as_str());
    match deliver(bus, message, stream.as_deref(), None).await? {
        Outcome::Stored(stored) => Ok(stored),
        Outcome::WrongSequence => Err(refused(message, "wrong sequence without an expectation")),
    }
}

async fn once(bus: &Bus, message: &Message) -> Result<Stored, PublishError> {
    let stream = routed(bus, message)?;
    loop {
        match deliver(bus, message, Some(&stream), Some(0)).await? {
            Outcome::Stored(stored) if !stored.duplicate => return Ok(stored),
            // The server compares ids only; whether the fact is the same, its bytes say.
            Outcome::Stored(_) | Outcome::WrongSequence => {}
        }
        match last(bus, &stream, message).await {
            Some(there) if there.body == message.body => return Ok(existing(there)),
            Some(there) => {
                return Err(PublishError::Contradiction {
                    subject: there.subject,
                    stream,
                    sequence: there.position.sequence,
                });
            }
            // Removed between the two questions: it is new again.
            None => start_again(bus, &stream).await,
        }
    }
}

async fn chained(bus: &Bus, message: &Message) -> Result<Stored, PublishError> {
    let stream = routed(bus, message)?;
    let link = bus.inner.publisher.chains.of(message.subject.as_str());
    let mut tip = link.lock().await;
    if tip.is_none() {
        let there = last(bus, &stream, message).await;
        *tip = Some(there.as_ref().map_or_else(Tip::default, Tip::of));
    }
    loop {
        let known = tip.get_or_insert_default();
        if known.message_id == message.id {
            return repeated(message, &stream, known);
        }
        let expected = known.sequence;
        match deliver(bus, message, Some(&stream), Some(expected)).await? {
            Outcome::Stored(stored) if !stored.duplicate => {
                *known = Tip::published(message, stored.sequence);
                return Ok(stored);
            }
            // An old link said again: the chain has gone on since.
            Outcome::Stored(stored) if stored.sequence <= expected => return Ok(stored),
            Outcome::Stored(_) | Outcome::WrongSequence => {}
        }
        match last(bus, &stream, message).await {
            // Our own message: only its acknowledgement was lost. The same words behind another
            // predecessor are another writer's, whose state has more in it than ours.
            Some(there) if is_ours(&there, message, expected) => {
                *known = Tip::of(&there);
                return Ok(existing(there));
            }
            Some(there) => {
                *tip = None;
                return Err(PublishError::Fenced {
                    subject: there.subject,
                    stream,
                    sequence: there.position.sequence,
                    expected,
                });
            }
            None => {
                tracing::warn!(
                    subject = message.subject.as_str(),
                    expected,
                    "the chain's past is gone: it begins anew"
                );
                *known = Tip::default();
                start_again(bus, &stream).await;
            }
        }
    }
}

/// Whether a link is the very one that we sent.
fn is_ours(there: &Delivery, message: &Message, expected: u64) -> bool {
    there.message_id == message.id
        && there.body == message.body
        && there.predecessor == Some(expected)
}

/// The last link itself, said again.
fn repeated(message: &Message, stream: &str, tip: &Tip) -> Result<Stored, PublishError> {
    if tip.digest == chain::digest(&message.body) {
        return Ok(Stored { stream: stream.to_owned(), sequence: tip.sequence, duplicate: true });
    }
    Err(PublishError::Contradiction {
        subject: message.subject.as_str().to_owned(),
        stream: stream.to_owned(),
        sequence: tip.sequence,
    })
}

fn existing(there: Delivery) -> Stored {
    let position = there.position;
    Stored { stream: position.stream, sequence: position.sequence, duplicate: true }
}

fn routed(bus: &Bus, message: &Message) -> Result<String, PublishError> {
    let subject = message.subject.as_str();
    let stream = bus.inner.publisher.stream_of(subject);
    stream.ok_or_else(|| PublishError::Unrouted { subject: subject.to_owned() })
}

fn refused(message: &Message, reason: &str) -> PublishError {
    PublishError::Refused {
        subject: message.subject.as_str().to_owned(),
        reason: reason.to_owned(),
    }
}

/// The last message of the subject, asked until somebody answers.
async fn last(bus: &Bus, stream: &str, message: &Message) -> Option<Delivery> {
    let gate = bus.inner.publisher.gate(Some(stream));
    loop {
        let epoch = gate.pass().await;
        match bus.last(stream, message.subject.as_str()).await {
            Ok(there) => return there,
            Err(error) => {
                tracing::warn!(stream, %error, "cannot read the last message of a subject");
                retry(bus, &gate, Some(stream), "unknown-last", epoch).await;
            }
        }
    }
}

/// What became of a message whose expectation may not hold.
enum Outcome {
    Stored(Stored),
    WrongSequence,
}

/// Sends the message until its stream answers.
async fn deliver(
    bus: &Bus,
    message: &Message,
    stream: Option<&str>,
    expected: Option<u64>,
) -> Result<Outcome, PublishError> {
    let Bus { inner } = bus;
    let publisher = &inner.publisher;
    let trace = TraceParent::current().unwrap_or_else(TraceParent::root);
    let wait = if expected.is_some() { publisher.wait_for_one() } else { publisher.ack_timeout };
    let attempt = Attempt::new(message, stream, expected, trace, wait);
    let gate = publisher.gate(stream);
    let began = inner.shell.clock.monotonic();
    loop {
        let connection = inner.link.up().await;
        let epoch = gate.pass().await;
        match attempt.send(&inner.client, &inner.link, connection).await {
            Verdict::Stored(stored) => {
                if gate.succeed() {
                    recovered(bus, stream);
                }
                count(bus, &stored, inner.shell.clock.monotonic().saturating_sub(began));
                return Ok(Outcome::Stored(stored));
            }
            Verdict::WrongSequence => return Ok(Outcome::WrongSequence),
            Verdict::Refused(reason) => return Err(refused(message, &reason)),
            Verdict::Again(reason) => {
                tracing::debug!(subject = message.subject.as_str(), reason, "publishing again");
                retry(bus, &gate, stream, reason, epoch).await;
            }
        }
    }
}

/// Name of the readiness check that fails while a stream takes nothing.
const CHECK: &str = "bus-publish";

/// Failing bursts in a row after which the process is not ready.
const BURSTS_TO_UNREADY: u32 = 3;

async fn retry(bus: &Bus, gate: &Burst, stream: Option<&str>, reason: &'static str, epoch: u64) {
    let Bus { inner } = bus;
    inner.shell.metrics.counter_with(Name::BusPublishRetriesTotal, &[("reason", reason)]).inc();
    if gate.fail(epoch).await == Some(BURSTS_TO_UNREADY) {
        let stream = stream.unwrap_or("?");
        tracing::error!(
            stream,
            reason,
            "nothing can be published: trying until the stream takes it"
        );
        let mut failing = inner.publisher.failing.lock().unwrap_or_else(PoisonError::into_inner);
        failing.insert(stream.to_owned());
        inner.shell.checks.set(CHECK, false, &format!("{stream}: {reason}"));
    }
}

fn recovered(bus: &Bus, stream: Option<&str>) {
    let Bus { inner } = bus;
    let mut failing = inner.publisher.failing.lock().unwrap_or_else(PoisonError::into_inner);
    if failing.remove(stream.unwrap_or("?")) {
        let others: Vec<&str> = failing.iter().map(String::as_str).collect();
        inner.shell.checks.set(CHECK, others.is_empty(), &others.join(", "));
    }
}

/// What was in the way is gone since: waits a moment, so that this cannot spin.
async fn start_again(bus: &Bus, stream: &str) {
    let gate = bus.inner.publisher.gate(Some(stream));
    let epoch = gate.pass().await;
    retry(bus, &gate, Some(stream), "removed", epoch).await;
}

fn count(bus: &Bus, stored: &Stored, took: Duration) {
    let metrics = &bus.inner.shell.metrics;
    let name =
        if stored.duplicate { Name::BusPublishDuplicatesTotal } else { Name::BusPublishedTotal };
    let counter: Counter = metrics.counter_with(name, &[("stream", &stored.stream)]);
    counter.inc();
    bus.inner.publisher.figures.ack_ms.observe(took.as_secs_f64() * 1_000.0);
}
