//! Which changes would break somebody: a reader that was built before them, or a message that was
//! written before them. Streams are kept for ever, so both matter.

mod json;
mod protobuf;
mod subjects;

use crate::files::Files;
use std::fmt;

/// A change that breaks a reader or a message that exists already.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Break {
    /// The generated file that changed.
    pub file: String,
    /// Where in it, e.g. `jobs[].exponent`; empty for the whole.
    pub place: String,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is there no more, or is called otherwise.
    Removed,
    /// It is called otherwise under the same tag.
    Renamed {
        /// Before.
        was: String,
        /// Now.
        is: String,
    },
    /// It is written otherwise, or other values are allowed.
    Retyped {
        /// Before.
        was: String,
        /// Now.
        is: String,
    },
    /// Messages that were written before may lack it.
    NewlyRequired,
    /// Readers that were built before rely on it.
    NoLongerRequired,
    /// A value or variant of a closed list is there no more.
    ValueRemoved(String),
    /// A value or variant that readers which were built before do not know.
    ValueAdded(String),
    /// It is said elsewhere.
    Moved {
        /// Before.
        was: String,
        /// Now.
        is: String,
    },
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, change } = self;
        write!(f, "{file}{}{place}: {change}", if place.is_empty() { "" } else { " " })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed => f.write_str("removed or renamed"),
            Self::Renamed { was, is } => write!(f, "renamed from `{was}` to `{is}`"),
            Self::Retyped { was, is } => write!(f, "retyped from {was} to {is}"),
            Self::NewlyRequired => f.write_str("newly required"),
            Self::NoLongerRequired => f.write_str("no longer required"),
            Self::ValueRemoved(value) => write!(f, "{value} removed"),
            Self::ValueAdded(value) => write!(f, "{value} added to a closed list"),
            Self::Moved { was, is } => write!(f, "moved from `{was}` to `{is}`"),
        }
    }
}

/// A committed file cannot be read, so nothing can be said about changes to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the committed {file} cannot be read: {reason}")]
pub struct Unreadable {
    /// The file.
    pub file: String,
    /// Why not.
    pub reason: String,
}

/// Every break between what is committed and what the code says now, in order.
///
/// # Errors
///
/// When a committed file cannot be read.
pub fn breaks(committed: &Files, generated: &Files) -> Result<Vec<Break>, Unreadable> {
    let mut found = Vec::new();
    for (file, was) in committed {
        let is = generated.get(file);
        if file.starts_with("json/") {
            found.extend(json::breaks(file, was, is)?);
        } else if file.starts_with("proto/") {
            found.extend(protobuf::breaks(file, was, is)?);
        } else if file == "asyncapi.json" {
            found.extend(subjects::breaks(file, was, is)?);
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Collects the breaks of one file.
struct Finder<'a> {
    file: &'a str,
    found: Vec<Break>,
}

impl<'a> Finder<'a> {
    const fn of(file: &'a str) -> Self {
        Self { file, found: Vec::new() }
    }

    fn note(&mut self, place: &str, change: Change) {
        self.found.push(Break { file: self.file.to_owned(), place: place.to_owned(), change });
    }

    fn unreadable(&self, reason: impl fmt::Display) -> Unreadable {
        Unreadable { file: self.file.to_owned(), reason: reason.to_string() }
    }
}
