//! What becomes of a message that came over the link of a node: pure.

use std::time::Duration;
use streams::{NODE_MESSAGE_BYTES, uplink};
use subjects::{Message, NodeId};
use worker_runtime::{Traced, trace, transform::Position};

/// Most messages that are stored in CORE together.
pub const MAX_CHUNK: usize = 256;

/// Bytes after which a chunk takes no more: forty full batches of shares.
pub const MAX_CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// Messages after which a position is written down.
pub const MESSAGES_A_POSITION: u64 = 4_096;

/// How long a position may wait to be written down. What lies between is read again after a crash,
/// and known as a repetition.
pub const POSITION_INTERVAL: Duration = Duration::from_secs(5);

/// Room for the headers that a message gets in CORE.
const HEADER_BYTES: usize = 2 * 1024;

/// What was heard over the link of a node: nothing in it is to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// The subject that it claims.
    pub subject: &'a str,
    /// Its body.
    pub body: &'a [u8],
    /// The trace that it claims to belong to.
    pub traceparent: Option<&'a str>,
    /// Where it claims to stand in the leaf's stream.
    pub at: &'a Position,
}

/// A message on its way into CORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The stream of CORE that keeps it.
    pub stream: &'static str,
    /// The fact under its node's name.
    pub fact: Traced,
}

/// Why a message goes no further. No node of ours sends such a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// A node has nothing of this kind to say.
    Foreign,
    /// Larger than anything that a node says.
    TooLarge,
    /// CORE does not take it.
    Refused,
}

impl Dropped {
    /// The label of a metric.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::TooLarge => "too-large",
            Self::Refused => "refused",
        }
    }
}

/// Gives a message the name of the node over whose link it came, and an id that no other node's
/// message has: where in which incarnation of which stream it stands.
///
/// # Errors
/// When no node of ours would have sent it.
pub fn carry(node: &NodeId, heard: Heard<'_>) -> Result<Carried, Dropped> {
    let Heard { subject, body, traceparent, at } = heard;
    let most = usize::try_from(NODE_MESSAGE_BYTES).unwrap_or(usize::MAX);
    if body.len().saturating_add(HEADER_BYTES) > most {
        return Err(Dropped::TooLarge);
    }
    let named = uplink(node, subject).map_err(|_| Dropped::Foreign)?;
    let message = Message {
        subject: named.subject,
        kind: named.kind,
        id: format!("leaf/{node}/{}/{}/{}", at.stream, at.incarnation, at.sequence),
        body: body.to_vec(),
    };
    let trace = trace::follow(traceparent);
    Ok(Carried { stream: named.stream, fact: Traced { message, trace } })
}

/// Neighbours that go into the same stream, together; the order within each stream stays.
pub fn by_stream(carried: Vec<Carried>) -> Vec<Vec<Traced>> {
    let mut streams: Vec<(&'static str, Vec<Traced>)> = Vec::new();
    for Carried { stream, fact } in carried {
        match streams.iter_mut().find(|(name, _)| *name == stream) {
            Some((_, facts)) => facts.push(fact),
            None => streams.push((stream, vec![fact])),
        }
    }
    streams.into_iter().map(|(_, facts)| facts).collect()
}
