//! What it means to be said on the bus.

use crate::{Message, Subject, UnknownSubject};

/// How a payload is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// UTF-8 JSON, keys in the order of the type's fields.
    Json,
    /// Protocol buffers, proto3, fields in ascending order.
    Protobuf,
}

/// The bytes are not a message of the expected type.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON of this shape.
    #[error("not the expected JSON")]
    Json(#[from] serde_json::Error),
    /// Not a protocol buffer of this shape.
    #[error("not the expected protocol buffer")]
    Protobuf(#[from] prost::DecodeError),
    /// Well-formed, but a field's value cannot be.
    #[error("field `{field}`: {reason}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
}

impl DecodeError {
    /// A field whose value cannot be.
    pub fn field(field: &'static str, reason: impl ToString) -> Self {
        Self::Field { field, reason: reason.to_string() }
    }
}

/// A message body that knows its place on the bus and its identity.
pub trait Payload: Sized + Send + 'static {
    /// The type name in the envelope and the schema's title, e.g. `hyperhash.shares.v1.accepted`.
    const TYPE: &'static str;
    /// The wildcard filter that matches every subject of this payload.
    const FILTER: &'static str;
    /// The form of the subject with named tokens, e.g. `shares.accepted.{node}.{lane}`.
    const FORM: &'static str;
    /// How the body is written.
    const CODEC: Codec;
    /// What the parts of the subject between the fixed tokens are, e.g. `(NodeId, Lane)`.
    type Address;

    /// Where this very message is published.
    fn subject(&self) -> Subject;

    /// Takes a subject of this payload apart. Total: any text gives an address or an error.
    fn parse_subject(subject: &str) -> Result<Self::Address, UnknownSubject>;

    /// The `Nats-Msg-Id`: equal ids are the same fact.
    fn message_id(&self) -> String;

    /// The body's bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads a body.
    fn decode(body: &[u8]) -> Result<Self, DecodeError>;

    /// The whole publication.
    fn to_message(&self) -> Message {
        Message {
            subject: self.subject(),
            kind: Self::TYPE,
            id: self.message_id(),
            body: self.encode(),
        }
    }
}

/// Reads the body of any message of the network by its type and writes it as JSON: what a person
/// or a program that does not know protocol buffers looks at.
///
/// # Errors
///
/// When the type is unknown or the body is not of that type.
pub fn view(kind: &str, body: &[u8]) -> Result<serde_json::Value, DecodeError> {
    use crate::{blocks, parked, payouts, rounds, sessions, shares, templates};
    macro_rules! view_as {
        ($($payload:ty),* $(,)?) => {
            match kind {
                $(<$payload>::TYPE => Ok(serde_json::to_value(<$payload>::decode(body)?)?),)*
                _ => Err(DecodeError::field("type", format!("`{kind}` is not a type of ours"))),
            }
        };
    }
    view_as!(
        templates::New,
        templates::Tip,
        templates::Health,
        sessions::Changed,
        shares::Submitted,
        shares::Accepted,
        shares::Refused,
        shares::Rejected,
        blocks::Claimed,
        blocks::Solved,
        blocks::Submitted,
        blocks::Outcome,
        rounds::SliceLines,
        rounds::SliceClosed,
        rounds::Closed,
        rounds::Progress,
        payouts::Statement,
        parked::Parked,
    )
}

/// Writes a JSON body. Our payloads hold no maps with keys that are not strings and no non-finite
/// floats, which are the only things that JSON cannot write.
pub(crate) fn encode_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "every payload type is JSON by construction")]
    serde_json::to_vec(value).expect("a payload is JSON")
}

/// Checks that `subject` has exactly the tokens of `form`, where `{…}` stands for any one token,
/// and returns those.
pub(crate) fn tokens_of<'a, const N: usize>(
    subject: &'a str,
    form: &'static str,
) -> Result<[&'a str; N], UnknownSubject> {
    let refuse = || UnknownSubject { subject: subject.to_owned(), expected: form };
    let mut found = Vec::with_capacity(N);
    let mut tokens = subject.split('.');
    for expected in form.split('.') {
        let token = tokens.next().ok_or_else(refuse)?;
        if expected.starts_with('{') {
            found.push(token);
        } else if expected != token {
            return Err(refuse());
        }
    }
    if tokens.next().is_some() {
        return Err(refuse());
    }
    found.try_into().map_err(|_| refuse())
}
