//! Every type that is said on the bus.

use crate::{examples::Example, json_schema::schema_of};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use subjects::{
    Codec, Message, Payload, blocks, parked, payouts, rounds, sessions, shares, templates,
};

/// One type.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name, e.g. `hyperhash.shares.v1.accepted`.
    pub kind: &'static str,
    /// Where it is said; absent for a document inside another message.
    pub channel: Option<Channel>,
    /// The example as a message; absent for a document inside another message.
    pub message: Option<Message>,
    /// Its JSON Schema.
    pub schema: Value,
    /// A golden example, as JSON.
    pub example: Value,
}

/// Where a type is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The form of the subject, e.g. `shares.accepted.{node}.{lane}`.
    pub form: &'static str,
    /// The stream of Core that keeps it, if any does.
    pub stream: Option<&'static str>,
    /// How the body is written.
    pub codec: Codec,
}

/// Every payload, in the order in which a share meets them, then the documents inside of them.
pub fn catalogue() -> Vec<Entry> {
    vec![
        payload::<templates::New>(),
        payload::<templates::Tip>(),
        payload::<templates::Health>(),
        payload::<sessions::Changed>(),
        payload::<shares::Submitted>(),
        payload::<shares::Accepted>(),
        payload::<shares::Refused>(),
        payload::<shares::Rejected>(),
        payload::<blocks::Claimed>(),
        payload::<blocks::Solved>(),
        payload::<blocks::Submitted>(),
        payload::<blocks::Outcome>(),
        payload::<rounds::SliceLines>(),
        payload::<rounds::SliceClosed>(),
        payload::<rounds::Closed>(),
        payload::<rounds::Progress>(),
        payload::<payouts::Statement>(),
        payload::<parked::Parked>(),
        document::<payouts::BlockStatement>("hyperhash.payouts.v1.block-statement"),
    ]
}

fn payload<P: Payload + Example + JsonSchema + Serialize>() -> Entry {
    let channel = Channel { form: P::FORM, stream: streams::stream_of(P::FILTER), codec: P::CODEC };
    let message = Some(P::example().to_message());
    Entry { channel: Some(channel), message, ..document::<P>(P::TYPE) }
}

fn document<T: Example + JsonSchema + Serialize>(kind: &'static str) -> Entry {
    let example = as_json(&T::example());
    Entry { kind, channel: None, message: None, schema: schema_of::<T>(kind), example }
}

/// Our types hold no maps with other keys than strings, which is all that JSON cannot write.
fn as_json<T: Serialize>(value: &T) -> Value {
    #[expect(clippy::expect_used, reason = "every payload type is JSON by construction")]
    serde_json::to_value(value).expect("a payload is JSON")
}
