//! Who answers, and whether it proves who it is.

use crate::report::Finding;
use stratum_v2::{Certificate, Refused};

/// What a peer turns out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Nothing: it is silent, or closes at once.
    Mute,
    /// HTTP.
    Http,
    /// Stratum V1, or other JSON in lines.
    Lines,
    /// TLS.
    Tls,
    /// SSH.
    Ssh,
    /// Bytes of no protocol that is known here.
    Binary,
}

impl Stranger {
    /// Knows a peer by its first bytes.
    pub fn of(said: &[u8]) -> Self {
        match said {
            [] => Self::Mute,
            [b'H', b'T', b'T', b'P', ..] | [b'<', ..] => Self::Http,
            [b'{' | b'[', ..] => Self::Lines,
            // An alert or a handshake of any version.
            [0x15 | 0x16, 3, ..] => Self::Tls,
            [b'S', b'S', b'H', b'-', ..] => Self::Ssh,
            _ => Self::Binary,
        }
    }

    /// What to do about it; `address` is host and port.
    pub(crate) fn advice(self, address: &str) -> String {
        match self {
            Self::Mute => {
                "The port takes connections but does not answer: it may be of another service, the \
                 pool may be overloaded, or a proxy in between waits for something else."
                    .to_owned()
            }
            Self::Http => "This is a web server's port: use the pool's port for miners.".to_owned(),
            Self::Lines => format!("This port speaks Stratum V1: use stratum+tcp://{address}."),
            Self::Tls => format!("This port speaks TLS: use stratum+ssl://{address}."),
            Self::Ssh => "This is a port for SSH: check the port.".to_owned(),
            Self::Binary => {
                "This port speaks something else: check the port; a proxy in between may change \
                 what is sent."
                    .to_owned()
            }
        }
    }

    /// What it answers with, in words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Mute => "silence",
            Self::Http => "HTTP",
            Self::Lines => "a line of JSON",
            Self::Tls => "TLS",
            Self::Ssh => "SSH",
            Self::Binary => "bytes that are no Noise handshake",
        }
    }
}

/// The Noise handshake came to no certificate; this is who answers at `address`.
pub fn not_noise(stranger: Stranger, address: &str) -> Finding {
    Finding::wrong(
        format!("no Noise handshake: the port answers with {}", stranger.words()),
        stranger.advice(address),
    )
}

/// Whether the certificate is signed by the authority key, its dates aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHolds {
    /// It is.
    Yes,
    /// Another key signed it.
    No,
    /// It could not be found out.
    Unknown,
}

/// The certificate was refused at `now`, in seconds since 1970.
pub fn certificate(certificate: Certificate, now: u32, key: KeyHolds) -> Finding {
    let when = certificate.refused_at(now);
    let Certificate { valid_from, not_valid_after } = certificate;
    let (said, cause) = match when {
        Refused::OtherKey => return other_key(""),
        Refused::NotYetValid => (
            format!("the certificate becomes valid {}", distance(valid_from, now)),
            "Either this machine's clock is behind or the pool's is ahead: set this machine's and \
             the miner's clock (NTP); if they are right, tell the pool's operator.",
        ),
        Refused::Expired => (
            format!("the certificate ended {}", distance(not_valid_after, now)),
            "Either this machine's clock is ahead, or the pool's is behind or its certificate old: \
             set this machine's and the miner's clock (NTP); if they are right, tell the pool's \
             operator.",
        ),
    };
    match key {
        KeyHolds::Yes => Finding::wrong(format!("{said}; its authority key is right"), cause),
        KeyHolds::Unknown => Finding::wrong(said, cause),
        KeyHolds::No => other_key(&format!("; besides, {said}")),
    }
}

fn other_key(besides: &str) -> Finding {
    Finding::wrong(
        format!("another authority key signed the pool's certificate{besides}"),
        "Compare the key at the end of the URL with the one that the pool publishes, letter by \
         letter. If it is right, somebody in between pretends to be the pool: do not mine there.",
    )
}

fn distance(then: u32, now: u32) -> String {
    let secs = then.abs_diff(now);
    let span = match secs {
        0..7_200 => format!("{} min", secs.div_ceil(60)),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    };
    if then < now { format!("{span} ago") } else { format!("in {span}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_known_by_their_first_bytes() {
        for (said, stranger) in [
            (&b""[..], Stranger::Mute),
            (b"HTTP/1.1 400 Bad Request", Stranger::Http),
            (b"{\"id\":null,\"error\":[20,\"\"]}", Stranger::Lines),
            (b"\x15\x03\x03\x00\x02\x02\x46", Stranger::Tls),
            (b"SSH-2.0-OpenSSH_9.2", Stranger::Ssh),
            (b"\x00\x01", Stranger::Binary),
        ] {
            assert_eq!(Stranger::of(said), stranger);
            assert!(!not_noise(stranger, "pool.example:3333").advice.unwrap().is_empty());
        }
        let advice = not_noise(Stranger::Lines, "pool.example:3333").advice.unwrap();
        assert!(advice.contains("stratum+tcp://pool.example:3333"));
    }

    #[test]
    fn a_wrong_key_and_a_wrong_clock_are_told_apart() {
        let day = Certificate { valid_from: 100_000, not_valid_after: 186_400 };
        let said = |now, key| certificate(day, now, key).said;
        assert!(said(120_000, KeyHolds::Unknown).contains("another authority key"));
        assert_eq!(
            said(190_000, KeyHolds::Yes),
            "the certificate ended 60 min ago; its authority key is right"
        );
        assert_eq!(said(10_000, KeyHolds::Unknown), "the certificate becomes valid in 25 h");
        assert_eq!(
            said(900_000, KeyHolds::No),
            "another authority key signed the pool's certificate; besides, the certificate ended \
             8 days ago"
        );
    }
}
