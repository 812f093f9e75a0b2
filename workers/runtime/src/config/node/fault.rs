//! What can go wrong while a tree is read into a type.

use super::Origin;
use crate::config::error::{ConfigError, hint};
use serde::de;
use std::fmt;

/// What serde reports, with the path collected on the way out.
#[derive(Debug)]
pub(in crate::config) struct Fault {
    path: Vec<String>,
    origin: Option<Origin>,
    kind: FaultKind,
}

#[derive(Debug)]
pub(super) enum FaultKind {
    UnknownKey { key: String, known: &'static [&'static str] },
    Value(String),
}

impl Fault {
    pub(super) fn new(kind: FaultKind) -> Self {
        Self { path: Vec::new(), origin: None, kind }
    }

    pub(super) fn below(mut self, key: &str, origin: &Origin) -> Self {
        self.path.push(key.to_owned());
        self.origin.get_or_insert_with(|| origin.clone());
        self
    }

    pub(super) fn into_config_error(mut self, elsewhere: &[&str]) -> ConfigError {
        self.path.reverse();
        let origin = match self.origin {
            Some(origin @ (Origin::File(_) | Origin::Environment(_))) => {
                format!(" (from {origin})")
            }
            Some(Origin::Default | Origin::Text) | None => String::new(),
        };
        match self.kind {
            FaultKind::UnknownKey { key, known } => {
                // The failing key is already the last segment of the path.
                let top = self.path.len() <= 1;
                let elsewhere = if top { elsewhere } else { &[] };
                let candidates = known.iter().copied().chain(elsewhere.iter().copied());
                ConfigError::UnknownKey {
                    path: self.path.join("."),
                    origin,
                    hint: hint(&key, candidates),
                }
            }
            FaultKind::Value(reason) if self.path.is_empty() => ConfigError::Rule(reason),
            FaultKind::Value(reason) => {
                ConfigError::Value { path: self.path.join("."), origin, reason }
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::UnknownKey { key, .. } => write!(f, "unknown key `{key}`"),
            FaultKind::Value(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(FaultKind::Value(message.to_string()))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(FaultKind::UnknownKey { key: field.to_owned(), known: expected })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let hint = hint(variant, expected.iter().copied());
        Self::custom(format_args!("unknown value `{variant}`{hint}"))
    }
}
