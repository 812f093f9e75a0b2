//! A worker that turns subjects into other subjects and touches nothing else.

use crate::outcome::Outcome;
use subjects::{DecodeError, Timestamp};

/// Where a message stands in its stream, and since when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The stream's name.
    pub stream: String,
    /// When the stream was created, in milliseconds since 1970: sequences restart with it.
    pub incarnation: u64,
    /// The message's sequence in the stream.
    pub sequence: u64,
    /// When the stream stored it, by the server's clock.
    pub stored_at: Timestamp,
}

/// A part of a stream to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The stream's name.
    pub stream: String,
    /// Subjects wanted, with wildcards; empty means all.
    pub filters: Vec<String>,
    /// Where to begin.
    pub from: Start,
}

impl Replay {
    /// Whether a subject that this replay does not meet has no message at all.
    pub(crate) const fn is_whole(&self) -> bool {
        match self.from {
            Start::First | Start::LastPerSubject => true,
            Start::Sequence(sequence) => sequence <= 1,
            Start::Time(_) | Start::New => false,
        }
    }
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first message that the stream still holds.
    First,
    /// With the last message of every subject.
    LastPerSubject,
    /// With this sequence.
    Sequence(u64),
    /// With messages stored at this time or later.
    Time(Timestamp),
    /// With what is published from now on.
    New,
}

/// Most replays that one input may ask for. Steps that double reach back through any stream.
pub const MAX_REPLAYS: usize = 64;

/// A pure state machine over the bus.
///
/// The runtime owns every effect: it decodes, calls [`Transform::handle`], publishes what comes
/// back, waits until the streams have stored it, and only then settles the delivery. The simulated
/// bus does the same without sockets, so it runs the very code that production runs.
pub trait Transform: Send + 'static {
    /// Everything that this worker hears, whichever stream it comes from.
    type Input: Clone + Send;

    /// Reads one message. An error parks it.
    fn decode(subject: &str, kind: &str, body: &[u8]) -> Result<Self::Input, DecodeError>;

    /// What must be recalled before anything is handled, in this order: the state is rebuilt from
    /// the streams, because the worker keeps none of its own.
    fn history(&self) -> Vec<Replay> {
        Vec::new()
    }

    /// Where to begin reading `stream`, once the history was recalled.
    fn start(&self, stream: &str) -> Start {
        let _ = stream;
        Start::First
    }

    /// What must be recalled before this very input can be handled, e.g. a lane's past at its
    /// first message. Asked again after [`Transform::recalled`], until the answer is `None`, so a
    /// past can be rebuilt in steps; at most [`MAX_REPLAYS`] of them.
    fn before(&self, input: &Self::Input) -> Option<Replay> {
        let _ = input;
        None
    }

    /// Hears something of the past: state changes, nothing is said.
    fn recall(&mut self, past: Self::Input, at: &Position);

    /// Marks the end of the replay that [`Transform::before`] asked for on behalf of `input`, so
    /// that an empty past is not asked for again.
    fn recalled(&mut self, input: &Self::Input) {
        let _ = input;
    }

    /// Hears that everything that `stream` held at `as_of` (this process's clock) has been
    /// handled. Told of every ordered stream when its first catch-up is done, and again whenever
    /// a delivery of another stream waits in a retry: so a worker that lacks a fact of one stream
    /// can wait until it would have heard it, and only then say that it does not exist.
    fn caught_up(&mut self, stream: &str, as_of: Timestamp) {
        let _ = (stream, as_of);
    }

    /// Decides what one delivery means.
    ///
    /// May be called again with the same delivery: at least once is the bus's promise, and making
    /// that harmless is this function's. It then repeats its answer, never silence, because the
    /// first answer may have been lost.
    fn handle(&mut self, now: Timestamp, input: Self::Input, at: &Position) -> Outcome;
}
