//! A message that came from a stream.

use super::{BusError, time::millis_of_rfc3339};
use crate::transform::Position;
use async_nats::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;
use subjects::{HEADER_MESSAGE_ID, HEADER_TRACE_PARENT, HEADER_TYPE, Timestamp};

/// A message that came from a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it was published, as the stream stored it.
    pub subject: String,
    /// Its type, empty if it had none.
    pub kind: String,
    /// Its id, empty if it had none.
    pub message_id: String,
    /// Its body.
    pub body: Bytes,
    /// Where it stands, and since when.
    pub position: Position,
    /// When the stream stored it, by the server's clock; the same as in the position.
    pub stored_at: Timestamp,
    /// The trace that it belongs to.
    pub traceparent: Option<String>,
    /// Messages of the reader's filter that still come after it.
    pub pending: u64,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// What a bucket did with the key, e.g. `DEL`; `None` for messages that set it.
    pub(crate) operation: Option<String>,
    /// Sequence of the message before it on its subject, as its writer expected it.
    pub(super) predecessor: Option<u64>,
    /// Where an acknowledgement goes.
    pub(super) reply: Option<String>,
    /// Its place among the consumer's deliveries, counted from 1.
    pub(super) consumer_sequence: u64,
}

/// What the reply subject of a delivery says (ADR-15, both forms).
struct AckSubject {
    delivered: u64,
    stream_sequence: u64,
    consumer_sequence: u64,
    nanos: u64,
    pending: u64,
}

impl Delivery {
    /// Reads a message that a consumer of `stream` delivered.
    pub(super) fn of_consumer(
        message: async_nats::Message,
        stream: &str,
        incarnation: u64,
    ) -> Option<Self> {
        let reply = message.reply?.to_string();
        let ack = AckSubject::parse(&reply)?;
        let header = |name: &str| text_of(message.headers.as_ref(), name);
        let stored_at = Timestamp(ack.nanos / NANOS_PER_MILLI);
        Some(Self {
            subject: message.subject.to_string(),
            kind: header(HEADER_TYPE).unwrap_or_default(),
            message_id: header(HEADER_MESSAGE_ID).unwrap_or_default(),
            traceparent: header(HEADER_TRACE_PARENT),
            operation: header(HEADER_OPERATION).or_else(|| header(HEADER_MARKER)),
            predecessor: header(HEADER_EXPECTED_SEQUENCE).and_then(|text| text.parse().ok()),
            body: message.payload,
            position: Position {
                stream: stream.to_owned(),
                incarnation,
                sequence: ack.stream_sequence,
                stored_at,
            },
            stored_at,
            pending: ack.pending,
            redelivered: ack.delivered > 1,
            reply: Some(reply),
            consumer_sequence: ack.consumer_sequence,
        })
    }

    /// Reads a message that `STREAM.MSG.GET` returned.
    pub(super) fn of_store(
        stored: StoredMessage,
        stream: &str,
        incarnation: u64,
    ) -> Result<Self, BusError> {
        let unreadable = |reason: String| BusError::Unreadable {
            subject: format!("{stream} sequence {}", stored.seq),
            reason,
        };
        let body = STANDARD.decode(&stored.data).map_err(|error| unreadable(error.to_string()))?;
        let headers =
            STANDARD.decode(&stored.hdrs).map_err(|error| unreadable(error.to_string()))?;
        let headers = String::from_utf8_lossy(&headers);
        let header = |name: &str| stored_header(&headers, name);
        let stored_at = Timestamp(millis_of_rfc3339(&stored.time).map_err(unreadable)?);
        Ok(Self {
            subject: stored.subject.clone(),
            kind: header(HEADER_TYPE).unwrap_or_default(),
            message_id: header(HEADER_MESSAGE_ID).unwrap_or_default(),
            traceparent: header(HEADER_TRACE_PARENT),
            operation: header(HEADER_OPERATION).or_else(|| header(HEADER_MARKER)),
            predecessor: header(HEADER_EXPECTED_SEQUENCE).and_then(|text| text.parse().ok()),
            body: body.into(),
            position: Position {
                stream: stream.to_owned(),
                incarnation,
                sequence: stored.seq,
                stored_at,
            },
            stored_at,
            pending: 0,
            redelivered: false,
            reply: None,
            consumer_sequence: 0,
        })
    }
}

const NANOS_PER_MILLI: u64 = 1_000_000;

/// Header by which a bucket marks a key as removed (ADR-8).
pub(super) const HEADER_OPERATION: &str = "KV-Operation";

/// Header that names the last message of the subject as the writer expects it; the stream keeps
/// it with the message.
pub(super) const HEADER_EXPECTED_SEQUENCE: &str = "Nats-Expected-Last-Subject-Sequence";

/// Header of the marker that a server leaves when it lets a key go (ADR-43).
const HEADER_MARKER: &str = "Nats-Marker-Reason";

/// A message as `STREAM.MSG.GET` returns it; bytes are base64.
#[derive(Debug, Deserialize)]
pub(super) struct StoredMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

fn text_of(headers: Option<&HeaderMap>, name: &str) -> Option<String> {
    headers?.get(name).map(|value| value.as_str().to_owned())
}

/// A header of the wire form `NATS/1.0\r\nName: value\r\n…`.
fn stored_header(headers: &str, name: &str) -> Option<String> {
    headers.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

impl AckSubject {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns>.<pending>`, or
    /// with domain and account hash before the stream and one random token behind.
    fn parse(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let numbers = match tokens.len() {
            7 => tokens.get(2..7)?,
            9.. => tokens.get(4..9)?,
            _ => return None,
        };
        let mut numbers = numbers.iter().map(|token| token.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        Some(Self {
            delivered: next()?,
            stream_sequence: next()?,
            consumer_sequence: next()?,
            nanos: next()?,
            pending: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_ack_subject_are_read() {
        for reply in [
            "$JS.ACK.SHARES.share-recorder.2.105.7.1700000000123456789.41",
            "$JS.ACK.core.ACCHASH.SHARES.share-recorder.2.105.7.1700000000123456789.41.rnd",
        ] {
            let ack = AckSubject::parse(reply).unwrap();
            assert_eq!((ack.delivered, ack.stream_sequence, ack.consumer_sequence), (2, 105, 7));
            assert_eq!((ack.nanos / NANOS_PER_MILLI, ack.pending), (1_700_000_000_123, 41));
        }
        assert!(AckSubject::parse("_INBOX.x").is_none());
        assert!(AckSubject::parse("$JS.ACK.S.c.1.x.1.1.1").is_none());
    }

    #[test]
    fn stored_headers_are_read() {
        let headers = "NATS/1.0\r\nNats-Msg-Id: share/n1/300/4\r\nhyperhash-type: a.b\r\n\r\n";
        assert_eq!(stored_header(headers, HEADER_MESSAGE_ID).unwrap(), "share/n1/300/4");
        assert_eq!(stored_header(headers, HEADER_TYPE).unwrap(), "a.b");
        assert_eq!(stored_header(headers, "absent"), None);
    }
}
