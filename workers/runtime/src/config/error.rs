//! What can be wrong with a configuration, in words that say what to change.

use std::{io, path::PathBuf};

/// A configuration that is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is longer than any configuration.
    #[error("the configuration file `{}` is longer than 1 MiB", .0.display())]
    TooLong(PathBuf),
    /// The text is not TOML.
    #[error("{origin} is not TOML")]
    Syntax {
        /// Which text.
        origin: String,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// Nobody knows this key.
    #[error("unknown key `{path}`{origin}{hint}")]
    UnknownKey {
        /// The dotted key.
        path: String,
        /// Where it was set, as ` (from …)`.
        origin: String,
        /// The nearest known key, as `: did you mean …?`.
        hint: String,
    },
    /// The key is known, its value cannot be.
    #[error("key `{path}`{origin}: {reason}")]
    Value {
        /// The dotted key.
        path: String,
        /// Where it was set, as ` (from …)`.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Each key is fine, together they are not.
    #[error("{0}")]
    Rule(String),
    /// The effective configuration cannot be written back as TOML.
    #[error("the configuration cannot be written as TOML")]
    Unwritable(#[from] toml::ser::Error),
}

impl ConfigError {
    pub(super) fn unknown_key(path: &str, key: &str, known: &[&str]) -> Self {
        Self::UnknownKey {
            path: path.to_owned(),
            origin: String::new(),
            hint: hint(key, known.iter().copied()),
        }
    }
}

/// `: did you mean `x`?` if one of the known names is near, else `: known are …`.
pub(super) fn hint<'a>(met: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let nearest = known
        .clone()
        .map(|name| (distance(met, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().max(met.len()) / 3 + 1);
    match nearest {
        Some((_, name)) => format!(": did you mean `{name}`?"),
        None => match known.map(|name| format!("`{name}`")).collect::<Vec<_>>() {
            names if names.is_empty() => String::new(),
            names => format!(": known are {}", names.join(", ")),
        },
    }
}

/// Levenshtein distance in bytes; keys are short.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.bytes().enumerate() {
        let mut diagonal = above;
        let mut previous = above + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(previous);
        for (b, &up) in right.bytes().zip(row.iter().skip(1)) {
            let cost = (diagonal + usize::from(a != b)).min(up + 1).min(previous + 1);
            diagonal = up;
            previous = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("listen", ""), 6);
        assert_eq!(distance("url", "urls"), 1);
    }

    #[test]
    fn a_far_name_gets_the_list_instead_of_a_guess() {
        let known = ["listen", "announce_file"];
        assert_eq!(hint("lsten", known.into_iter()), ": did you mean `listen`?");
        assert_eq!(hint("zzzzzz", known.into_iter()), ": known are `listen`, `announce_file`");
    }
}
