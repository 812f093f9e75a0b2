//! The generated `bitcoin.conf`.

use std::net::SocketAddr;

/// The signet challenge: `OP_TRUE`, so that every block with enough work is valid.
pub const CHALLENGE: &str = "51";

/// Whom a bitcoind knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Nobody.
    Alone,
    /// Whoever connects here.
    Listen(SocketAddr),
    /// The one that listens there.
    Connect(SocketAddr),
}

impl Peers {
    fn render(self) -> String {
        match self {
            Self::Alone => {
                "# Alone: no peers, no listening, no lookups.\nconnect=0\nlisten=0".into()
            }
            Self::Listen(at) => format!(
                "# Another bitcoind of this network connects to it; no other peers, no lookups.\n\
                 connect=0\nlisten=1\nlistenonion=0\nbind={at}\nwhitelist={TRUSTED}"
            ),
            Self::Connect(to) => format!(
                "# It connects to another bitcoind of this network; no other peers, no lookups.\n\
                 connect={to}\nlisten=0\nwhitelist=in,out,{TRUSTED}"
            ),
        }
    }
}

/// A peer of our own passes transactions on at once, and is not left for a block that is refused.
const TRUSTED: &str = "noban,relay,download@127.0.0.1";

/// Renders `bitcoin.conf`. A configuration file rather than arguments, because bitcoind ignores
/// options in it that another make of it does not know.
pub fn render(rpc: SocketAddr, zmq: SocketAddr, peers: Peers) -> String {
    let (ip, port) = (rpc.ip(), rpc.port());
    let peers = peers.render();
    format!(
        "# Written by `hyperhash dev up` at every start; changes here are lost.
signet=1
server=1
printtoconsole=1
debuglogfile=0
# Few blocks and few transactions: a small cache is enough.
dbcache=64
rpcworkqueue=64
# A hundred years: without peers an old tip is no sign of being behind, and a crash may lose the
# blocks that were not on disk yet.
maxtipage=3153600000

[signet]
# Any block with enough work is valid: the script is OP_TRUE.
signetchallenge={CHALLENGE}
{peers}
dnsseed=0
discover=0
rpcbind={ip}
rpcallowip={ip}
rpcport={port}
zmqpubsequence=tcp://{zmq}
zmqpubhashblock=tcp://{zmq}
# Knots' own templates stop at 300 kB, which would leave fees behind.
blockmaxsize=4000000
blockmaxweight=3996000
# There is no market to estimate fees from.
fallbackfee=0.0002
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn listens_on_loopback_alone() {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        insta::assert_snapshot!(render(at(1), at(2), Peers::Alone));
    }

    #[test]
    fn two_are_peers_on_loopback() {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let [first, second] =
            [Peers::Listen(at(3)), Peers::Connect(at(3))].map(|peers| render(at(1), at(2), peers));
        assert!(first.contains("\nbind=127.0.0.1:3\n") && first.contains("\nconnect=0\n"));
        assert!(second.contains("\nconnect=127.0.0.1:3\n") && second.contains("\nlisten=0\n"));
    }
}
