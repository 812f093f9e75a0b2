//! AsyncAPI 3.0: every subject, its parameters, its message and where it is kept.

use crate::catalogue::{Channel, Entry};
use serde_json::{Map, Value, json};
use subjects::{Codec, HEADER_MESSAGE_ID, HEADER_TRACE_PARENT, HEADER_TYPE};

/// Where the `.proto` stands beside the document.
pub const PROTO_PATH: &str = "proto/hyperhash/shares/v1/shares.proto";

/// A subject has a token that nobody described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no description for `{{{0}}}` in a subject")]
pub struct UnknownParameter(String);

/// The document over all types that are said on the bus.
///
/// # Errors
///
/// When a subject has a token that is not described here.
pub fn document(entries: &[Entry]) -> Result<Value, UnknownParameter> {
    let (mut channels, mut messages, mut operations) = (Map::new(), Map::new(), Map::new());
    for entry in entries {
        let Some(channel) = &entry.channel else { continue };
        let kind = entry.kind;
        channels.insert(kind.to_owned(), channel_of(entry, channel)?);
        messages.insert(kind.to_owned(), message_of(entry, channel.codec));
        let operation = json!({
            "action": "receive",
            "channel": { "$ref": format!("#/channels/{kind}") },
            "summary": format!("Hears `{}`.", wildcards(channel.form)),
        });
        operations.insert(format!("hear-{kind}"), operation);
    }
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hyper Hash Network",
            "version": "1",
            "description": "Every fact of the network is a typed message on a NATS JetStream \
                subject. Within a version of a type only optional properties are added; readers \
                ignore what they do not know.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": { "messages": messages },
    }))
}

fn channel_of(entry: &Entry, channel: &Channel) -> Result<Value, UnknownParameter> {
    let kind = entry.kind;
    let mut parameters = Map::new();
    for name in parameters_of(channel.form) {
        let description = parameter(name).ok_or_else(|| UnknownParameter(name.to_owned()))?;
        parameters.insert(name.to_owned(), json!({ "description": description }));
    }
    let mut value = json!({
        "address": channel.form,
        "title": kind,
        "description": entry.schema.get("description").unwrap_or(&Value::Null),
        "messages": { kind: { "$ref": format!("#/components/messages/{kind}") } },
    });
    if let Some(object) = value.as_object_mut() {
        if !parameters.is_empty() {
            object.insert("parameters".to_owned(), parameters.into());
        }
        // The stream is the same in CORE or MONEY and, as a mirror, in DATA.
        object.insert("x-kept-in".to_owned(), channel.stream.into());
    }
    Ok(value)
}

fn message_of(entry: &Entry, codec: Codec) -> Value {
    let kind = entry.kind;
    let view = json!({ "$ref": format!("./json/{kind}.json") });
    let (content_type, payload) = match codec {
        Codec::Json => ("application/json", view.clone()),
        Codec::Protobuf => {
            let schema = json!({ "$ref": format!("./{PROTO_PATH}") });
            let format = "application/vnd.google.protobuf;version=3";
            ("application/x-protobuf", json!({ "schemaFormat": format, "schema": schema }))
        }
    };
    let mut message = json!({
        "name": kind,
        "title": kind,
        "contentType": content_type,
        "headers": headers(kind),
        "payload": payload,
        "examples": [example_of(entry)],
    });
    if let (Codec::Protobuf, Some(object)) = (codec, message.as_object_mut()) {
        object.insert("x-json-view".to_owned(), view);
    }
    message
}

/// The golden example, with the place and the identity that it has on the bus.
fn example_of(entry: &Entry) -> Value {
    let mut example = json!({ "name": "golden", "payload": entry.example });
    if let (Some(message), Some(object)) = (&entry.message, example.as_object_mut()) {
        let headers = json!({ HEADER_TYPE: message.kind, HEADER_MESSAGE_ID: message.id });
        object.insert("headers".to_owned(), headers);
        object.insert("summary".to_owned(), format!("Said on `{}`.", message.subject).into());
    }
    example
}

fn headers(kind: &str) -> Value {
    json!({
        "type": "object",
        "required": [HEADER_TYPE, HEADER_MESSAGE_ID],
        "properties": {
            HEADER_TYPE: { "const": kind },
            HEADER_MESSAGE_ID: {
                "type": "string",
                "description": "The fact's identity: equal ids are the same fact.",
            },
            HEADER_TRACE_PARENT: {
                "type": "string",
                "description": "W3C Trace Context of what caused the message.",
            },
        },
    })
}

/// The names between braces.
pub fn parameters_of(form: &str) -> impl Iterator<Item = &str> {
    form.split('.').filter_map(|token| token.strip_prefix('{')?.strip_suffix('}'))
}

/// The NATS filter of a form.
fn wildcards(form: &str) -> String {
    let token =
        |token: &str| if token.starts_with('{') { "*".to_owned() } else { token.to_owned() };
    form.split('.').map(token).collect::<Vec<_>>().join(".")
}

fn parameter(name: &str) -> Option<&'static str> {
    Some(match name {
        "node" => {
            "A Hyper Node, or `core` for the ingress that Core itself runs: 1 to 32 of a-z, 0-9, `-` and `_`."
        }
        "lane" => "A lane's number, 0 to 65535: the ingress process that the shares came through.",
        "provider" => "A source of templates: 1 to 32 of a-z, 0-9, `-` and `_`.",
        "hash" => "A block's hash, 64 hexadecimal digits as block explorers write it.",
        "slice" => "A slice's number, counted from 1.",
        "part" => "Position of the part, counted from 0.",
        "round" => "A round's number, counted from 1.",
        "id" => "`block-<height>`.",
        "revision" => "0, or the number of the correction.",
        "worker" => "The worker that gave up.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::catalogue;

    #[test]
    fn every_subject_is_described() {
        let document = document(&catalogue()).unwrap();
        let channel = &document["channels"]["hyperhash.shares.v1.accepted"];
        assert_eq!(channel["address"], "shares.accepted.{node}.{lane}");
        assert_eq!(channel["x-kept-in"], "SHARES");
        assert_eq!(channel["parameters"].as_object().unwrap().len(), 2);
        let progress = &document["channels"]["hyperhash.rounds.v1.progress"];
        assert_eq!(progress["x-kept-in"], Value::Null);
        assert_eq!(wildcards("shares.accepted.{node}.{lane}"), "shares.accepted.*.*");
    }

    #[test]
    fn a_token_without_a_description_is_an_error() {
        let mut entry = catalogue().remove(0);
        entry.channel.as_mut().unwrap().form = "templates.new.{planet}";
        assert_eq!(document(&[entry]), Err(UnknownParameter("planet".to_owned())));
    }
}
