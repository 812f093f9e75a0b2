//! Where a pool is and what it is to speak.

use std::{fmt, str::FromStr};
use stratum_v2::{Endpoint, InvalidEndpoint};

/// A pool's URL.
#[derive(Clone, Debug)]
pub enum Pool {
    /// `stratum2+tcp://host:port/<authority key>`.
    V2(Endpoint),
    /// `stratum+tcp://host:port`.
    V1 {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// `stratum+ssl://host:port`.
    V1Tls {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// The text is not a pool's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPool {
    /// Not of any form.
    #[error(
        "`{0}` is not a pool: use `stratum2+tcp://host:port/<authority key>`, \
         `stratum+tcp://host:port` or `stratum+ssl://host:port`"
    )]
    Form(String),
    /// It begins like Stratum V2.
    #[error(transparent)]
    V2(#[from] InvalidEndpoint),
}

impl Pool {
    /// Host name or address.
    pub fn host(&self) -> &str {
        match self {
            Self::V2(endpoint) => &endpoint.host,
            Self::V1 { host, .. } | Self::V1Tls { host, .. } => host,
        }
    }

    /// TCP port.
    pub const fn port(&self) -> u16 {
        match self {
            Self::V2(endpoint) => endpoint.port,
            Self::V1 { port, .. } | Self::V1Tls { port, .. } => *port,
        }
    }
}

impl FromStr for Pool {
    type Err = InvalidPool;

    fn from_str(text: &str) -> Result<Self, InvalidPool> {
        if text.starts_with("stratum2+tcp://") {
            return Ok(Self::V2(text.parse()?));
        }
        let refuse = || InvalidPool::Form(text.chars().take(128).collect());
        if let Some(rest) = text.strip_prefix("stratum+tcp://") {
            let (host, port) = address(rest).ok_or_else(refuse)?;
            return Ok(Self::V1 { host, port });
        }
        let tls = text.strip_prefix("stratum+ssl://").or(text.strip_prefix("stratum+tls://"));
        let (host, port) = tls.and_then(address).ok_or_else(refuse)?;
        Ok(Self::V1Tls { host, port })
    }
}

/// `host:port`, with or without a slash behind it.
fn address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.trim_end_matches('/').rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = !host.is_empty() && !host.contains(['/', '@']);
    plain.then_some(())?;
    Some((host.to_owned(), port.parse().ok()?))
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::V2(endpoint) => return endpoint.fmt(f),
            Self::V1 { host, port } => ("stratum+tcp", host, port),
            Self::V1Tls { host, port } => ("stratum+ssl", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reads_back() {
        for text in [
            "stratum2+tcp://127.0.0.1:3336/9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72",
            "stratum+tcp://pool.example:3333",
            "stratum+tcp://[::1]:3333",
            "stratum+ssl://pool.example:3334",
        ] {
            assert_eq!(text.parse::<Pool>().unwrap().to_string(), text);
        }
        let slashed: Pool = "stratum+tls://pool.example:1/".parse().unwrap();
        assert_eq!(slashed.to_string(), "stratum+ssl://pool.example:1");
    }

    #[test]
    fn what_is_no_pool_is_refused_with_the_forms() {
        for text in ["", "pool.example:3333", "http://h:1", "stratum+tcp://h", "stratum+tcp://:1"] {
            assert_eq!(text.parse::<Pool>().unwrap_err(), InvalidPool::Form(text.to_owned()));
        }
        assert!(matches!("stratum2+tcp://h:1".parse::<Pool>(), Err(InvalidPool::V2(_))));
    }
}
