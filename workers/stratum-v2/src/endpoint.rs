//! `stratum2+tcp://host:port/<authority key>`: where a pool is, and who it must prove to be.

use key_utils::Secp256k1PublicKey;
use std::{fmt, str::FromStr};

/// The x-only secp256k1 key that signs a pool's certificates (SV2 section 4.5.3); text is
/// base58check.
#[derive(Clone, Copy, Debug)]
pub struct AuthorityKey(Secp256k1PublicKey);

impl AuthorityKey {
    /// The 32 bytes of the key.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.into_bytes()
    }
}

impl fmt::Display for AuthorityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AuthorityKey {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        text.parse().map(Self).map_err(|error: key_utils::Error| InvalidEndpoint::Key {
            text: text.chars().take(64).collect(),
            reason: error.to_string(),
        })
    }
}

/// A pool's address and authority key.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whose certificate the pool must show.
    pub authority: AuthorityKey,
}

/// The text is not a pool's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not of the form.
    #[error("`{0}` is not a pool: use `stratum2+tcp://host:port/<authority key>`")]
    Form(String),
    /// The last part is not a key.
    #[error("`{text}` is not an authority key: {reason}")]
    Key {
        /// What was met.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let refuse = || InvalidEndpoint::Form(text.chars().take(128).collect());
        let rest = text.strip_prefix("stratum2+tcp://").ok_or_else(refuse)?;
        let (address, key) = rest.split_once('/').ok_or_else(refuse)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(refuse)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(refuse());
        }
        let port = port.parse().map_err(|_| refuse())?;
        Ok(Self { host: host.to_owned(), port, authority: key.parse()? })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, authority } = self;
        if host.contains(':') {
            write!(f, "stratum2+tcp://[{host}]:{port}/{authority}")
        } else {
            write!(f, "stratum2+tcp://{host}:{port}/{authority}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

    #[test]
    fn an_endpoint_reads_back() {
        for text in [
            format!("stratum2+tcp://127.0.0.1:3336/{KEY}"),
            format!("stratum2+tcp://[::1]:3336/{KEY}"),
            format!("stratum2+tcp://pool.example:34254/{KEY}"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_with_the_form() {
        let refused = |text: &str| text.parse::<Endpoint>().unwrap_err();
        for text in ["", "127.0.0.1:3336", "stratum+tcp://h:1/k", "stratum2+tcp://h/k"] {
            assert_eq!(refused(text), InvalidEndpoint::Form(text.to_owned()));
        }
        assert!(matches!(refused("stratum2+tcp://h:1/abc"), InvalidEndpoint::Key { .. }));
    }
}
