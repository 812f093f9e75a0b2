//! Name and TCP.

use crate::{
    judge,
    probe::Probe,
    report::{Finding, Name},
    walk::Walk,
};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Finds the host and connects to it.
pub(crate) async fn reach(walk: &mut Walk<'_>, probe: &Probe) -> Option<(TcpStream, SocketAddr)> {
    let addresses = resolve(walk, probe).await?;
    let mut failed = Vec::new();
    for address in addresses {
        match connect(address, probe.timeout).await {
            Ok(stream) => {
                walk.step(Name::Connect, judge::connected(address, &failed));
                return Some((stream, address));
            }
            Err(error) => failed.push((address, error.kind())),
        }
    }
    walk.step(Name::Connect, judge::unreachable(&failed));
    None
}

async fn resolve(walk: &mut Walk<'_>, probe: &Probe) -> Option<Vec<SocketAddr>> {
    let (host, port) = (probe.pool.host(), probe.pool.port());
    let found = match timeout(probe.timeout, lookup_host((host, port))).await {
        Ok(Ok(found)) => found.take(MAX_ADDRESSES).collect::<Vec<_>>(),
        Ok(Err(error)) => {
            walk.step(Name::Resolve, judge::unresolved(host, &error.to_string()));
            return None;
        }
        Err(_) => {
            walk.step(Name::Resolve, judge::unresolved(host, "no answer in time"));
            return None;
        }
    };
    if found.is_empty() {
        walk.step(Name::Resolve, judge::unresolved(host, "no address"));
        return None;
    }
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    walk.step(Name::Resolve, Finding::fine(shown.join(", ")));
    Some(found)
}

/// A connection within `limit`.
pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(address);
    let stream = timeout(limit, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Times of connecting, for pools that answer nothing that could be timed.
pub(crate) async fn connect_times(
    walk: &Walk<'_>,
    address: SocketAddr,
    probe: &Probe,
) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..probe.count {
        let since = walk.clock.monotonic();
        if connect(address, probe.timeout).await.is_err() {
            break;
        }
        times.push(walk.clock.monotonic().saturating_sub(since));
    }
    times
}
