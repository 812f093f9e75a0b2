//! `parked.*`: a message that could not be understood, set aside for a person.

use crate::{
    Codec, DecodeError, HexBytes, Payload, Subject, Timestamp, UnknownSubject,
    ids::check_token,
    payload::{encode_json, tokens_of},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of the body that are kept; the rest is in the original stream.
pub const MAX_KEPT_BODY: usize = 65_536;

/// A message that a worker could not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.parked.v1.message")]
pub struct Parked {
    /// The worker that gave up.
    pub worker: String,
    /// What that person reads first.
    pub reason: String,
    /// Stream that holds the original.
    pub stream: String,
    /// Its sequence there.
    pub stream_sequence: u64,
    /// Its subject.
    pub subject: String,
    /// Its type header, empty if it had none.
    pub kind: String,
    /// The first [`MAX_KEPT_BODY`] bytes of its body.
    pub body: HexBytes,
    /// When it was parked.
    pub at: Timestamp,
}

impl Payload for Parked {
    const TYPE: &'static str = "hyperhash.parked.v1.message";
    const FILTER: &'static str = "parked.*";
    const FORM: &'static str = "parked.{worker}";
    const CODEC: Codec = Codec::Json;
    type Address = String;

    fn subject(&self) -> Subject {
        Subject::join(&[&"parked", &self.worker])
    }

    fn parse_subject(subject: &str) -> Result<String, UnknownSubject> {
        let [worker] = tokens_of(subject, Self::FORM)?;
        check_token(worker)
            .map(|()| worker.to_owned())
            .map_err(|_| UnknownSubject { subject: subject.to_owned(), expected: Self::FORM })
    }

    fn message_id(&self) -> String {
        format!("parked/{}/{}/{}", self.worker, self.stream, self.stream_sequence)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(body)?)
    }
}
