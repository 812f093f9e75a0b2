//! One sending of one message, and what the server's answer means.

use super::Stored;
use crate::{
    bus::{
        api::Fault,
        connection::Link,
        delivery::{HEADER_EXPECTED_SEQUENCE, HEADER_OPERATION},
    },
    trace::TraceParent,
};
use async_nats::{
    Client, HeaderMap,
    client::{PublishError, RequestErrorKind},
};
use bytes::Bytes;
use serde::Deserialize;
use std::time::Duration;
use subjects::{HEADER_MESSAGE_ID, HEADER_TRACE_PARENT, HEADER_TYPE, Message};

const HEADER_EXPECTED_STREAM: &str = "Nats-Expected-Stream";

/// Headers of batches (NATS ADR-50): which one, the place in it from 1, and its end.
const HEADER_BATCH: &str = "Nats-Batch-Id";
const HEADER_BATCH_PLACE: &str = "Nats-Batch-Sequence";
const HEADER_BATCH_COMMIT: &str = "Nats-Batch-Commit";

/// A message ready to be sent as often as it takes.
pub(in crate::bus) struct Attempt {
    subject: String,
    headers: HeaderMap,
    body: Bytes,
    timeout: Duration,
}

/// What one sending came to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) enum Verdict {
    Stored(Stored),
    /// Send it again; the reason is a label.
    Again(&'static str),
    WrongSequence,
    Refused(String),
}

#[derive(Deserialize)]
struct Answer {
    error: Option<Fault>,
    #[serde(default)]
    stream: String,
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
}

impl Attempt {
    pub(super) fn new(
        message: &Message,
        stream: Option<&str>,
        expected: Option<u64>,
        trace: TraceParent,
        timeout: Duration,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_MESSAGE_ID, message.id.as_str());
        headers.insert(HEADER_TYPE, message.kind);
        headers.insert(HEADER_TRACE_PARENT, trace.to_string());
        if let Some(stream) = stream {
            headers.insert(HEADER_EXPECTED_STREAM, stream);
        }
        if let Some(expected) = expected {
            headers.insert(HEADER_EXPECTED_SEQUENCE, expected.to_string());
        }
        let subject = message.subject.as_str().to_owned();
        Self { subject, headers, body: Bytes::from(message.body.clone()), timeout }
    }

    /// A change of a bucket's key: `id` is one of this call alone.
    pub(in crate::bus) fn of_key(
        subject: String,
        id: &str,
        operation: Option<&str>,
        expected: Option<u64>,
        body: Bytes,
        timeout: Duration,
    ) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_MESSAGE_ID, id);
        if let Some(operation) = operation {
            headers.insert(HEADER_OPERATION, operation);
        }
        if let Some(expected) = expected {
            headers.insert(HEADER_EXPECTED_SEQUENCE, expected.to_string());
        }
        Self { subject, headers, body, timeout }
    }

    /// Sends once over the connection `epoch`. An answer cannot come after that connection is
    /// gone, so it is not waited for then.
    pub(in crate::bus) async fn send(&self, client: &Client, link: &Link, epoch: u64) -> Verdict {
        match self.ask(client, link, epoch, self.headers.clone()).await {
            Ok(answer) => read(&answer),
            Err(verdict) => verdict,
        }
    }

    /// Sends it as a message of a batch that more follow, without waiting.
    pub(super) async fn send_of_batch(
        &self,
        client: &Client,
        batch: &str,
        place: usize,
    ) -> Result<(), PublishError> {
        let headers = self.of_batch(batch, place);
        client.publish_with_headers(self.subject.clone(), headers, self.body.clone()).await
    }

    /// Sends it as the last message of a batch, and waits for the answer to all of it.
    pub(super) async fn commit_batch(
        &self,
        client: &Client,
        link: &Link,
        epoch: u64,
        batch: &str,
        place: usize,
    ) -> Result<Bytes, Verdict> {
        let mut headers = self.of_batch(batch, place);
        headers.insert(HEADER_BATCH_COMMIT, "1");
        self.ask(client, link, epoch, headers).await
    }

    fn of_batch(&self, batch: &str, place: usize) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(HEADER_BATCH, batch);
        headers.insert(HEADER_BATCH_PLACE, place.to_string());
        headers
    }

    async fn ask(
        &self,
        client: &Client,
        link: &Link,
        epoch: u64,
        headers: HeaderMap,
    ) -> Result<Bytes, Verdict> {
        let request = async_nats::Request::new()
            .headers(headers)
            .payload(self.body.clone())
            .timeout(Some(self.timeout));
        let sent = tokio::select! {
            sent = client.send_request(self.subject.clone(), request) => sent,
            () = link.gone(epoch) => return Err(Verdict::Again("disconnected")),
        };
        sent.map(|message| message.payload).map_err(|error| match error.kind() {
            RequestErrorKind::TimedOut => Verdict::Again("ack-timeout"),
            RequestErrorKind::NoResponders => Verdict::Again("no-responders"),
            RequestErrorKind::Other => Verdict::Again("client"),
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                Verdict::Refused(error.to_string())
            }
        })
    }
}

/// Reads a stream's answer.
fn read(answer: &[u8]) -> Verdict {
    match serde_json::from_slice::<Answer>(answer) {
        Ok(Answer { error: Some(fault), .. }) => judge(&fault),
        Ok(Answer { error: None, stream, seq, duplicate }) if seq > 0 && !stream.is_empty() => {
            Verdict::Stored(Stored { stream, sequence: seq, duplicate })
        }
        // Somebody else than a stream answered.
        Ok(_) | Err(_) => Verdict::Again("no-stream"),
    }
}

/// Whether an error may pass by itself. Codes are those of nats-server's `errors.json`.
pub(super) fn judge(fault: &Fault) -> Verdict {
    match fault.err_code {
        // Wrong last sequence, also in the form without the sequence.
        10_071 | 10_164 => Verdict::WrongSequence,
        // Message or header larger than the stream takes.
        10_054 | 10_097 => Verdict::Refused(fault.description.clone()),
        // Insufficient resources or storage; maximum messages or bytes exceeded.
        10_023 | 10_047 | 10_077 | 10_167 => Verdict::Again("full"),
        // Expected stream does not match.
        10_060 => Verdict::Again("wrong-stream"),
        // The same id is being stored at this moment.
        10_158 => Verdict::Again("in-process"),
        // A batch of which a message is missing; more batches than a stream keeps open.
        10_176 | 10_210 => Verdict::Again("batch"),
        // The stream takes no batches: it must be applied.
        10_174 => Verdict::Again("no-batches"),
        _ => Verdict::Again("server"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: u64) -> Vec<u8> {
        format!(r#"{{"error":{{"code":400,"err_code":{code},"description":"words"}}}}"#)
            .into_bytes()
    }

    #[test]
    fn answers_are_told_apart() {
        let stored = Stored { stream: "SHARES".to_owned(), sequence: 7, duplicate: true };
        assert_eq!(
            read(br#"{"stream":"SHARES","seq":7,"duplicate":true,"domain":"core"}"#),
            Verdict::Stored(stored)
        );
        assert_eq!(read(&fault(10_071)), Verdict::WrongSequence);
        assert_eq!(read(&fault(10_077)), Verdict::Again("full"));
        assert_eq!(read(&fault(10_060)), Verdict::Again("wrong-stream"));
        assert_eq!(read(&fault(10_054)), Verdict::Refused("words".to_owned()));
        assert_eq!(read(&fault(10_008)), Verdict::Again("server"));
        assert_eq!(read(b"hello"), Verdict::Again("no-stream"));
        assert_eq!(read(b"{}"), Verdict::Again("no-stream"));
    }
}
