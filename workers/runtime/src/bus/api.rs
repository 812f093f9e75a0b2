//! Questions to JetStream, as JSON over request and reply.

use super::{
    BusError, Delivery, StreamInfo, delivery::StoredMessage, denied::Denials,
    time::millis_of_rfc3339,
};
use async_nats::{
    Client,
    client::{RequestError, RequestErrorKind},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use std::time::Duration;
use subjects::Timestamp;

/// How long each asking of one question is answered for. A server that is told to end says nothing
/// for half a second before it is gone, and what it was asked then goes with it; one that is slow
/// has the longer waits. Elections take 4 to 7 s; callers ask again.
const ASKINGS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(1_500),
    Duration::from_millis(2_000),
];

/// JetStream's code for a stream that does not exist.
pub(super) const CODE_NO_STREAM: u64 = 10_059;
/// For a consumer that does not exist.
pub(super) const CODE_NO_CONSUMER: u64 = 10_014;
/// For a stream that has as many consumers as the server allows.
pub(super) const CODE_TOO_MANY_CONSUMERS: u64 = 10_026;
/// For a message that does not exist.
const CODE_NO_MESSAGE: u64 = 10_037;

/// JetStream's API of one domain.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    denials: Denials,
    prefix: String,
    /// Begin of the subjects where answers arrive, if not the connection's own.
    inbox: Option<String>,
}

/// What JetStream says when it refuses.
#[derive(Debug, Deserialize)]
pub(super) struct Fault {
    /// The exact error.
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Deserialize)]
struct Answer {
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct InfoAnswer {
    created: String,
    /// The server's time.
    ts: String,
    config: InfoConfig,
    state: InfoState,
    /// Absent where one server alone keeps it.
    #[serde(default)]
    cluster: InfoCluster,
}

#[derive(Default, Deserialize)]
struct InfoCluster {
    #[serde(default)]
    leader: Option<String>,
}

#[derive(Deserialize)]
struct InfoConfig {
    /// In nanoseconds.
    #[serde(default)]
    max_age: u64,
}

#[derive(Deserialize)]
struct InfoState {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
}

#[derive(Deserialize)]
struct MessageAnswer {
    message: StoredMessage,
}

impl Api {
    pub(super) fn new(client: Client, denials: Denials, domain: Option<&str>) -> Self {
        let prefix = domain.map_or("$JS.API".to_owned(), |domain| format!("$JS.{domain}.API"));
        Self { client, denials, prefix, inbox: None }
    }

    /// The same of another domain, whose answers arrive below `inbox`.
    pub(super) fn of_domain(&self, domain: &str, inbox: &str) -> Self {
        Self {
            inbox: Some(inbox.to_owned()),
            ..Self::new(self.client.clone(), self.denials.clone(), Some(domain))
        }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The full subject of an API call.
    pub(super) fn subject(&self, call: &str) -> String {
        format!("{}.{call}", self.prefix)
    }

    /// Asks until there is an answer, some times. All that is asked may be asked twice.
    pub(super) async fn call<A: DeserializeOwned>(
        &self,
        call: &str,
        question: &impl Serialize,
    ) -> Result<A, BusError> {
        let subject = self.subject(call);
        let payload = serde_json::to_vec(question).map_err(|error| BusError::Client {
            subject: subject.clone(),
            reason: error.to_string(),
        })?;
        let answer = self.ask_again(&subject, payload.into()).await?;
        let unreadable = |error: serde_json::Error| BusError::Unreadable {
            subject: subject.clone(),
            reason: error.to_string(),
        };
        let Answer { error } = serde_json::from_slice(&answer).map_err(unreadable)?;
        match error {
            None => serde_json::from_slice(&answer).map_err(unreadable),
            Some(fault) => Err(BusError::Refused {
                subject,
                code: fault.err_code,
                description: fault.description,
            }),
        }
    }

    pub(super) async fn stream_info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        let call = format!("STREAM.INFO.{stream}");
        let info: InfoAnswer =
            self.call(&call, &json!({})).await.map_err(|error| named(error, stream))?;
        let millis = |time: &str| {
            millis_of_rfc3339(time)
                .map_err(|reason| BusError::Unreadable { subject: call.clone(), reason })
        };
        let (created, as_of) = (millis(&info.created)?, Timestamp(millis(&info.ts)?));
        Ok(StreamInfo {
            name: stream.to_owned(),
            created,
            first_sequence: info.state.first_seq,
            last_sequence: info.state.last_seq,
            messages: info.state.messages,
            bytes: info.state.bytes,
            max_age: Duration::from_nanos(info.config.max_age),
            leader: info.cluster.leader,
            as_of,
        })
    }

    pub(super) async fn last(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<Delivery>, BusError> {
        self.message(stream, &json!({ "last_by_subj": subject })).await
    }

    pub(super) async fn get(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<Delivery>, BusError> {
        self.message(stream, &json!({ "seq": sequence })).await
    }

    async fn message(
        &self,
        stream: &str,
        question: &serde_json::Value,
    ) -> Result<Option<Delivery>, BusError> {
        let call = format!("STREAM.MSG.GET.{stream}");
        let answer: MessageAnswer = match self.call(&call, question).await {
            Ok(answer) => answer,
            Err(BusError::Refused { code: CODE_NO_MESSAGE, .. }) => return Ok(None),
            Err(error) => return Err(named(error, stream)),
        };
        let incarnation = self.stream_info(stream).await?.created;
        Delivery::of_store(answer.message, stream, incarnation).map(Some)
    }

    async fn ask_again(&self, subject: &str, payload: Bytes) -> Result<Bytes, BusError> {
        for wait in ASKINGS {
            match self.ask(subject, payload.clone(), wait).await {
                Err(BusError::TimedOut(_)) => {}
                answered => return answered,
            }
        }
        Err(BusError::TimedOut(subject.to_owned()))
    }

    /// One request, one answer.
    pub(super) async fn ask(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, BusError> {
        let mut complaints = self.denials.listen();
        let mut request = async_nats::Request::new().payload(payload).timeout(Some(timeout));
        if let Some(inbox) = &self.inbox {
            request = request.inbox(below(inbox));
        }
        tokio::select! {
            answer = self.client.send_request(subject.to_owned(), request) => match answer {
                Ok(message) => Ok(message.payload),
                Err(error) => Err(request_error(subject, &error)),
            },
            () = complaints.denied(subject) => Err(BusError::Denied(subject.to_owned())),
        }
    }
}

/// A subject below `prefix` that nobody else knows.
pub(super) fn below(prefix: &str) -> String {
    format!("{prefix}.{:032x}", rand::random::<u128>())
}

fn request_error(subject: &str, error: &RequestError) -> BusError {
    match error.kind() {
        RequestErrorKind::TimedOut => BusError::TimedOut(subject.to_owned()),
        RequestErrorKind::NoResponders => BusError::NoResponders(subject.to_owned()),
        RequestErrorKind::InvalidSubject
        | RequestErrorKind::MaxPayloadExceeded
        | RequestErrorKind::Other => {
            BusError::Client { subject: subject.to_owned(), reason: error.to_string() }
        }
    }
}

/// The same error with the stream's name, where that is what is missing.
pub(super) fn named(error: BusError, stream: &str) -> BusError {
    match error {
        BusError::Refused { code: CODE_NO_STREAM, .. } => BusError::NoSuchStream(stream.to_owned()),
        BusError::NoResponders(_)
        | BusError::TimedOut(_)
        | BusError::Denied(_)
        | BusError::NoSuchStream(_)
        | BusError::Refused { .. }
        | BusError::Unreadable { .. }
        | BusError::Client { .. }
        | BusError::Stopped => error,
    }
}
