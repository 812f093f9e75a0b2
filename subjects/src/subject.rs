//! A place on the bus.

use std::{fmt, str::FromStr};

/// A concrete NATS subject: literal tokens, no wildcards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(String);

impl Subject {
    /// Joins tokens with dots. Tokens come from our own id types, which hold no dots or wildcards.
    pub(crate) fn join(tokens: &[&dyn fmt::Display]) -> Self {
        let mut subject = String::with_capacity(48);
        for (position, token) in tokens.iter().enumerate() {
            if position > 0 {
                subject.push('.');
            }
            subject.push_str(&token.to_string());
        }
        Self(subject)
    }

    /// Borrows the dotted form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Subject {
    type Err = UnknownSubject;

    /// Reads a concrete subject: tokens of lower-case letters, digits, `_` and `-`.
    fn from_str(text: &str) -> Result<Self, UnknownSubject> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_token = |token: &str| {
            !token.is_empty() && token.bytes().all(|byte| is_plain(byte) || b"_-".contains(&byte))
        };
        if text.split('.').all(is_token) {
            return Ok(Self(text.to_owned()));
        }
        Err(UnknownSubject { subject: text.to_owned(), expected: "tokens of [a-z0-9_-]" })
    }
}

/// The subject is not one of this payload's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("subject `{subject}` does not have the form `{expected}`")]
pub struct UnknownSubject {
    /// What was met.
    pub subject: String,
    /// The form that was expected.
    pub expected: &'static str,
}
