//! JSON Schema 2020-12 from the types that are published.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The schema of what is written for `T`: properties that may be left out are not required, and
/// properties that a reader does not know are allowed.
pub fn schema_of<T: JsonSchema>(kind: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), Value::String(format!("urn:{}", kind.replace('.', ":"))));
    schema.to_value()
}
