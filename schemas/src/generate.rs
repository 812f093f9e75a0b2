//! All generated files, as bytes.

use crate::{
    asyncapi::{self, PROTO_PATH, UnknownParameter},
    catalogue::catalogue,
    files::Files,
    proto::{self, ProtoError},
};
use serde_json::Value;
use subjects::Codec;

/// The files cannot be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The `.proto` cannot be written.
    #[error("cannot write {PROTO_PATH}")]
    Proto(#[from] ProtoError),
    /// The AsyncAPI document cannot be written.
    #[error("cannot write asyncapi.json")]
    AsyncApi(#[from] UnknownParameter),
}

/// What the code says now.
///
/// # Errors
///
/// When the code holds something that has no form outside of Rust.
pub fn generate() -> Result<Files, GenerateError> {
    let entries = catalogue();
    let mut files = Files::new();
    for entry in &entries {
        let kind = entry.kind;
        files.insert(format!("json/{kind}.json"), pretty(&entry.schema));
        files.insert(format!("examples/{kind}.json"), pretty(&entry.example));
        if let (Some(channel), Some(message)) = (entry.channel, &entry.message)
            && channel.codec == Codec::Protobuf
        {
            files.insert(format!("examples/{kind}.binpb"), message.body.clone());
        }
    }
    let proto = proto::generate(proto::SOURCE, proto::PACKAGE)?;
    files.insert(PROTO_PATH.to_owned(), proto.into_bytes());
    files.insert("asyncapi.json".to_owned(), pretty(&asyncapi::document(&entries)?));
    Ok(files)
}

/// JSON for people: indented, keys in alphabetical order however the library was built.
fn pretty(value: &Value) -> Vec<u8> {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    let mut text = format!("{sorted:#}");
    text.push('\n');
    text.into_bytes()
}
