//! What a decision hands back: values only, carried out by the runtime or the simulated bus.

use std::time::Duration;
use subjects::{Message, Payload};

/// Everything that one delivery caused, in the order in which it must happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an outcome does nothing until the runtime carries it out"]
pub struct Outcome {
    /// Published first, one after another, each confirmed by its stream.
    pub publish: Vec<Publication>,
    /// Carried out last, so that a crash in between redelivers rather than loses.
    pub disposition: Disposition,
}

/// One fact to publish, and what must hold when it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The fact.
    pub message: Message,
    /// What must hold.
    pub expect: Expect,
}

/// What must hold in the stream when a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing; the message id alone absorbs repetitions.
    Any,
    /// The fact exists once: its subject is still empty (`Nats-Expected-Last-Subject-Sequence: 0`).
    /// Equal bytes that exist already are success; other bytes are a contradiction, and a stop.
    Once,
    /// The subject is a chain with one writer: its last message is the one that this writer last
    /// saw there. Anything else means that another writer took over.
    Chained,
}

/// What becomes of the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Done: the effects are durable.
    Settle,
    /// Not now: the world, not the message, is unwell.
    Retry {
        /// How long to wait before the same delivery is handled again.
        after: Duration,
    },
    /// Never: handling it again cannot help, so a person must look.
    Park {
        /// What that person reads.
        reason: String,
    },
    /// Something that must hold does not: the worker ends with this error, and settles nothing.
    Stop {
        /// What a person must find out before it is started again.
        reason: String,
    },
}

impl Outcome {
    /// Nothing to say, and no reason to hear of it again.
    pub const fn settle() -> Self {
        Self { publish: Vec::new(), disposition: Disposition::Settle }
    }

    /// Publishes facts, then settles.
    pub const fn facts(publish: Vec<Publication>) -> Self {
        Self { publish, disposition: Disposition::Settle }
    }

    /// Handles the same delivery again after a while.
    pub const fn retry(after: Duration) -> Self {
        Self { publish: Vec::new(), disposition: Disposition::Retry { after } }
    }

    /// Sets the delivery aside for a person.
    pub fn park(reason: impl Into<String>) -> Self {
        Self { publish: Vec::new(), disposition: Disposition::Park { reason: reason.into() } }
    }

    /// Ends the worker, because something that must hold does not.
    pub fn stop(reason: impl Into<String>) -> Self {
        Self { publish: Vec::new(), disposition: Disposition::Stop { reason: reason.into() } }
    }
}

impl Publication {
    /// A fact of which repetitions are absorbed by its id.
    pub fn any<P: Payload>(payload: &P) -> Self {
        Self { message: payload.to_message(), expect: Expect::Any }
    }

    /// A fact that exists once, ever.
    pub fn once<P: Payload>(payload: &P) -> Self {
        Self { message: payload.to_message(), expect: Expect::Once }
    }

    /// The next link of a chain.
    pub fn chained<P: Payload>(payload: &P) -> Self {
        Self { message: payload.to_message(), expect: Expect::Chained }
    }
}
