//! Names and TCP.

use crate::report::Finding;
use std::{io::ErrorKind, net::SocketAddr};

/// The name has no addresses, for this reason.
pub fn unresolved(host: &str, why: &str) -> Finding {
    Finding::wrong(
        format!("`{host}` has no address: {why}"),
        "Check the spelling of the host, and this network's name server.",
    )
}

/// One of the addresses took the connection, after these did not.
pub fn connected(address: SocketAddr, failed: &[(SocketAddr, ErrorKind)]) -> Finding {
    let said = format!("{address} takes connections");
    if failed.is_empty() {
        return Finding::fine(said);
    }
    Finding::warning(
        format!("{said}; not so {}", attempts(failed)),
        "A miner that takes the first address only cannot connect: let it use the one that works.",
    )
}

/// No address took a connection.
pub fn unreachable(failed: &[(SocketAddr, ErrorKind)]) -> Finding {
    let all = |kind: ErrorKind| failed.iter().all(|(_, met)| *met == kind);
    let advice = if all(ErrorKind::ConnectionRefused) {
        "The host is there, but nothing listens on this port: check the port; the pool may be down."
    } else if all(ErrorKind::TimedOut) {
        "Nothing answers: a firewall drops the packets, or the host is off. Check address and port, \
         and whether outgoing connections to this port are allowed here."
    } else if failed
        .iter()
        .all(|(_, met)| matches!(met, ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable))
    {
        "There is no way to this address from here: check this machine's network, router and VPN."
    } else {
        "Check address and port, and this machine's network."
    };
    Finding::wrong(attempts(failed), advice)
}

fn attempts(failed: &[(SocketAddr, ErrorKind)]) -> String {
    let one = |(address, kind): &(SocketAddr, ErrorKind)| format!("{address}: {}", words(*kind));
    failed.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's list is open")]
fn words(kind: ErrorKind) -> String {
    match kind {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::TimedOut => "no answer".to_owned(),
        ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn at(kind: ErrorKind) -> (SocketAddr, ErrorKind) {
        ("192.0.2.1:3333".parse().unwrap(), kind)
    }

    #[test]
    fn refused_unreachable_and_mute_are_told_apart() {
        let advice = |kinds: &[ErrorKind]| {
            let failed: Vec<_> = kinds.iter().map(|kind| at(*kind)).collect();
            unreachable(&failed).advice.unwrap()
        };
        assert!(advice(&[ErrorKind::ConnectionRefused]).contains("nothing listens"));
        assert!(advice(&[ErrorKind::TimedOut]).contains("firewall"));
        let both = [ErrorKind::NetworkUnreachable, ErrorKind::HostUnreachable];
        assert!(advice(&both).contains("no way"));
        assert!(advice(&[ErrorKind::TimedOut, ErrorKind::ConnectionRefused]).contains("port"));
    }

    #[test]
    fn a_dead_address_before_a_live_one_is_worth_a_word() {
        let live = "192.0.2.2:3333".parse().unwrap();
        assert_eq!(connected(live, &[]).verdict, Verdict::Fine);
        let met = connected(live, &[at(ErrorKind::NetworkUnreachable)]);
        assert_eq!(met.verdict, Verdict::Warning);
        assert!(met.said.contains("192.0.2.1:3333: network unreachable"), "{}", met.said);
    }
}
