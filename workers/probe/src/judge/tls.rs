//! TLS handshakes.

use crate::report::Finding;
use rustls::{CertificateError, Error};

/// Why there is no TLS connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TlsFault<'a> {
    /// Nothing came in time.
    Silent,
    /// The socket failed or was closed.
    Closed,
    /// What came is no TLS, or a certificate that is not trusted.
    Refused(&'a Error),
}

/// What it means that TLS failed with the pool `host`, at `address`.
pub fn tls(host: &str, address: &str, fault: TlsFault<'_>) -> Finding {
    match fault {
        TlsFault::Silent => Finding::wrong(
            "the pool does not answer the TLS handshake",
            format!("The port may be without TLS: try stratum+tcp://{address}."),
        ),
        TlsFault::Closed => Finding::wrong(
            "the pool closed the connection in the TLS handshake",
            format!("The port may be without TLS: try stratum+tcp://{address}."),
        ),
        TlsFault::Refused(error) => refused(host, address, error),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library has dozens of errors")]
fn refused(host: &str, address: &str, error: &Error) -> Finding {
    match error {
        Error::InvalidCertificate(certificate) => {
            let (said, advice) = distrusted(host, certificate);
            Finding::wrong(said, advice)
        }
        Error::InvalidMessage(_) => Finding::wrong(
            "the port answers, but not with TLS",
            format!("Try it without: stratum+tcp://{address}."),
        ),
        other => Finding::wrong(
            format!("no TLS connection: {other}"),
            "The pool's TLS does not suit this program's (1.2 and 1.3): tell its operator.",
        ),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library has dozens of errors")]
fn distrusted(host: &str, error: &CertificateError) -> (String, &'static str) {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            format!("the certificate is out of date: {error}"),
            "If this machine's clock is right, the pool's operator must renew it.",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            format!("the certificate is not valid yet: {error}"),
            "This machine's clock is behind: set it (NTP). If it is right, tell the operator.",
        ),
        CertificateError::UnknownIssuer => (
            "nobody that is trusted here signed the certificate".to_owned(),
            "If the pool has a certificate of its own, name its authority with --ca. If not, \
             somebody in between pretends to be the pool.",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the certificate is not for `{host}`: {error}"),
            "Use the name that the certificate is for.",
        ),
        other => (format!("the certificate is not trusted: {other}"), "Tell the pool's operator."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::InvalidMessage;

    #[test]
    fn certificates_clocks_and_plain_ports_are_told_apart() {
        let advice = |error: Error| tls("h", "h:1", TlsFault::Refused(&error)).advice.unwrap();
        assert!(advice(CertificateError::Expired.into()).contains("renew"));
        assert!(advice(CertificateError::NotValidYet.into()).contains("clock is behind"));
        assert!(advice(CertificateError::UnknownIssuer.into()).contains("--ca"));
        assert!(advice(CertificateError::NotValidForName.into()).contains("name"));
        assert!(advice(CertificateError::Revoked.into()).contains("operator"));
        let plain = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert!(advice(plain).contains("stratum+tcp://h:1"));
        for fault in [TlsFault::Silent, TlsFault::Closed] {
            assert!(tls("h", "h:1", fault).advice.unwrap().contains("without TLS"));
        }
    }
}
