//! Proxies in front of an ingress, who say for whom they speak: PROXY protocol, version 2.

use crate::door::Guest;
use ipnet::IpNet;
use ppp::{
    PartialResult as _,
    v2::{Addresses, Command, Header},
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Whose word is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Those of these networks.
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.to_vec())
    }

    /// Whether this one is among them.
    pub(crate) fn trust(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }
}

/// Longest header, in bytes: addresses, and what a proxy adds about TLS and itself.
const MAX_HEADER: usize = 1_024;
/// Between two looks at a header that has not come whole.
const PAUSE: Duration = Duration::from_millis(20);

/// Hears who is behind a proxy. What comes behind its header is left where it is.
///
/// # Errors
///
/// When the proxy leaves or says nothing of the kind.
pub(crate) async fn introduce(guest: Guest) -> io::Result<Guest> {
    let Guest { mut stream, peer, .. } = guest;
    let mut bytes = [0; MAX_HEADER];
    loop {
        let count = stream.peek(&mut bytes).await?;
        let seen = bytes.get(..count).unwrap_or_default();
        match Header::try_from(seen) {
            Ok(header) => {
                let (length, peer) = (header.len(), source(&header).unwrap_or(peer));
                skip(&mut stream, length).await?;
                return Ok(Guest::introduced(stream, peer));
            }
            Err(error) if error.is_incomplete() && count > 0 && count < MAX_HEADER => {
                // What came is still there: a socket does not say when there is more of it.
                tokio::time::sleep(PAUSE).await; // polls
            }
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Who connected to the proxy; nobody when it speaks for itself.
fn source(header: &Header<'_>) -> Option<SocketAddr> {
    match (header.command, header.addresses) {
        (Command::Local, _) => None,
        (Command::Proxy, Addresses::IPv4(both)) => {
            Some((both.source_address, both.source_port).into())
        }
        (Command::Proxy, Addresses::IPv6(both)) => {
            Some((both.source_address, both.source_port).into())
        }
        (Command::Proxy, Addresses::Unspecified | Addresses::Unix(_)) => None,
    }
}

async fn skip(stream: &mut TcpStream, length: usize) -> io::Result<()> {
    let mut header = [0; MAX_HEADER];
    let header = header.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
    stream.read_exact(header).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ppp::v2::{Builder, Protocol, Version};
    use std::net::Ipv4Addr;
    use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};

    fn header(command: Command) -> Vec<u8> {
        let client = SocketAddr::from(([198, 51, 100, 7], 4_000));
        let pool = SocketAddr::from(([192, 0, 2, 1], 34_255));
        let first = Version::Two | command;
        Builder::with_addresses(first, Protocol::Stream, (client, pool)).build().unwrap()
    }

    /// What is heard of a proxy that says these pieces, and what is left behind.
    async fn heard(pieces: &[&[u8]]) -> io::Result<(SocketAddr, Vec<u8>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut proxy = TcpStream::connect(listener.local_addr()?).await?;
        let (stream, peer) = listener.accept().await?;
        let talk = async {
            for piece in pieces {
                proxy.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            proxy.shutdown().await.unwrap();
        };
        let (guest, ()) = tokio::join!(introduce(Guest::new(stream, peer)), talk);
        let mut guest = guest?;
        let mut rest = Vec::new();
        guest.stream.read_to_end(&mut rest).await?;
        Ok((guest.peer, rest))
    }

    #[tokio::test]
    async fn the_miner_behind_a_proxy_is_known_and_nothing_of_what_it_says_is_lost() {
        let header = header(Command::Proxy);
        let (first, second) = header.split_at(14);
        for pieces in [vec![&header[..], b"{}\n"], vec![first, second, b"{}\n"]] {
            let (peer, rest) = heard(&pieces).await.unwrap();
            assert_eq!(peer, SocketAddr::from(([198, 51, 100, 7], 4_000)));
            assert_eq!(rest, b"{}\n");
        }
    }

    #[tokio::test]
    async fn a_proxy_may_speak_for_itself() {
        let (peer, _) = heard(&[&header(Command::Local)]).await.unwrap();
        assert!(peer.ip().is_loopback());
    }

    #[tokio::test]
    async fn what_is_no_header_is_none() {
        let long = vec![0x0d; 2_000];
        let pieces: [&[u8]; 4] =
            [b"{\"id\":1}\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"", &long];
        for piece in pieces {
            assert!(heard(&[piece]).await.is_err(), "{piece:?}");
        }
        let unfinished = header(Command::Proxy);
        let (part, _) = unfinished.split_at(20);
        let never = timeout(Duration::from_millis(100), heard(&[part])).await;
        assert!(never.is_err(), "it may still come, until the handshake's deadline");
    }

    #[test]
    fn networks_are_matched_whatever_the_form_of_the_address() {
        let proxies = Proxies::new(&["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let trust = |text: &str| proxies.trust(text.parse().unwrap());
        assert!(trust("10.1.2.3") && trust("::ffff:10.1.2.3") && trust("fd00::1"));
        assert!(!trust("11.0.0.1") && !trust("2001:db8::1"));
        assert!(!Proxies::default().trust(Ipv4Addr::LOCALHOST.into()));
    }
}
