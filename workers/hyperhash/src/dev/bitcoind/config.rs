//! The generated `bitcoin.conf`.

use std::net::SocketAddr;

/// The signet challenge: `OP_TRUE`, so that every block with enough work is valid.
pub const CHALLENGE: &str = "51";

/// Renders `bitcoin.conf`. A configuration file rather than arguments, because bitcoind ignores
/// options in it that another make of it does not know.
pub fn render(rpc: SocketAddr, zmq: SocketAddr) -> String {
    let (ip, port) = (rpc.ip(), rpc.port());
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
# Alone: no peers, no listening, no lookups.
connect=0
listen=0
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
        insta::assert_snapshot!(render(at(1), at(2)));
    }
}
