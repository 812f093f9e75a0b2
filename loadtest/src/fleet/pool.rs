//! Where a fleet's miners connect, and from where.

use anyhow::Context as _;
use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};
use stratum_v2::{Endpoint, InvalidEndpoint};
use tokio::net::{TcpSocket, TcpStream, lookup_host};

/// A pool, whose URL says what is spoken there.
#[derive(Clone, Debug)]
pub enum Pool {
    /// Stratum V1, in plain lines.
    V1(LineAddress),
    /// Stratum V2.
    V2(Endpoint),
}

/// Host and port of a pool that speaks Stratum V1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineAddress {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// The text is not a pool's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPool {
    /// It begins with none of the known schemes, or what follows is no host and port.
    #[error(
        "`{0}` is not a pool: use `stratum+tcp://host:port` or \
         `stratum2+tcp://host:port/<authority key>`"
    )]
    Form(String),
    /// It is meant for Stratum V2 and is not of that form.
    #[error(transparent)]
    V2(#[from] InvalidEndpoint),
}

impl FromStr for Pool {
    type Err = InvalidPool;

    fn from_str(text: &str) -> Result<Self, InvalidPool> {
        let refuse = || InvalidPool::Form(text.chars().take(128).collect());
        let Some(rest) = text.strip_prefix("stratum+tcp://") else {
            let v2 = text.starts_with("stratum2+tcp://");
            return if v2 { Ok(Self::V2(text.parse()?)) } else { Err(refuse()) };
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or_else(refuse)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(refuse());
        }
        let port = port.parse().map_err(|_| refuse())?;
        Ok(Self::V1(LineAddress { host: host.to_owned(), port }))
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1(LineAddress { host, port }) if host.contains(':') => {
                write!(f, "stratum+tcp://[{host}]:{port}")
            }
            Self::V1(LineAddress { host, port }) => write!(f, "stratum+tcp://{host}:{port}"),
            Self::V2(endpoint) => endpoint.fmt(f),
        }
    }
}

impl Pool {
    /// Its address, the first if there are several.
    ///
    /// # Errors
    ///
    /// When it has none.
    pub async fn resolve(&self) -> anyhow::Result<SocketAddr> {
        let (host, port) = match self {
            Self::V1(LineAddress { host, port }) => (host.as_str(), *port),
            Self::V2(endpoint) => (endpoint.host.as_str(), endpoint.port),
        };
        let mut found = lookup_host((host, port)).await?;
        found.next().with_context(|| format!("{self} has no address"))
    }
}

/// Connects, from this address if one is named.
///
/// # Errors
///
/// When the other side does not take it, or the address is not of this machine.
pub async fn dial(to: SocketAddr, from: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let stream = match from {
        None => TcpStream::connect(to).await?,
        Some(from) => {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
            socket.connect(to).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

    #[test]
    fn a_url_says_what_is_spoken() {
        let v2 = format!("stratum2+tcp://127.0.0.1:34254/{KEY}");
        for url in ["stratum+tcp://pool.example:3333", "stratum+tcp://[::1]:3333", &v2] {
            assert_eq!(url.parse::<Pool>().unwrap().to_string(), url);
        }
        assert!(matches!("stratum+tcp://a:1/".parse(), Ok(Pool::V1(_))));
        assert!(matches!(v2.parse(), Ok(Pool::V2(_))));
    }

    #[test]
    fn what_is_no_pool_is_named() {
        for url in ["", "a:1", "stratum+tcp://:1", "stratum+tcp://a", "stratum+ssl://a:1"] {
            assert_eq!(url.parse::<Pool>().unwrap_err(), InvalidPool::Form(url.to_owned()));
        }
        assert!(matches!("stratum2+tcp://a:1".parse::<Pool>(), Err(InvalidPool::V2(_))));
    }
}
