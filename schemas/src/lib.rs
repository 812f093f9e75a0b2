//! The same for others: what `subjects` says, in forms that every language reads.
//!
//! Generated and committed beside this crate:
//!
//! | path | what |
//! |---|---|
//! | `json/<type>.json` | JSON Schema 2020-12 of every payload; of protobuf payloads that of their JSON view |
//! | `proto/…/shares.proto` | the bytes of share messages |
//! | `asyncapi.json` | every subject with its parameters, its message and the stream that keeps it |
//! | `examples/<type>.json`, `.binpb` | one golden example per type |
//!
//! `check` fails when they are not what the code says, and when a change would break a reader or
//! a message that exists already.

pub mod examples;

pub mod catalogue;

pub mod json_schema;

pub mod proto;

pub mod asyncapi;

pub mod generate;

pub mod compatibility;

pub mod files;
