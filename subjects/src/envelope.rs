//! What travels around a body.

use crate::Subject;

/// Header of the message's identity; JetStream stores an id once within a stream's window.
pub const HEADER_MESSAGE_ID: &str = "Nats-Msg-Id";
/// Header of the payload's type and version.
pub const HEADER_TYPE: &str = "Hyperhash-Type";
/// Header of the trace that the message belongs to (W3C Trace Context).
pub const HEADER_TRACE_PARENT: &str = "traceparent";

/// One encoded publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub subject: Subject,
    /// Its type, e.g. `hyperhash.shares.v1.accepted`.
    pub kind: &'static str,
    /// Its `Nats-Msg-Id`.
    pub id: String,
    /// Its body.
    pub body: Vec<u8>,
}
