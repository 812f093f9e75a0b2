//! What a connection ends for on Stratum V1.

use ingress::domain::closing;
use stratum_v1::LineFault;

/// Why a connection ends.
pub type Closing = closing::Closing<Fault>;

/// What only this protocol ends a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls,
    /// The peer wants TLS, which is not switched on.
    #[error("the miner wants TLS, and no certificate is configured")]
    NoTls,
    /// A line that is not of this protocol.
    #[error(transparent)]
    Line(#[from] LineFault),
    /// A line without an end.
    #[error("a line is longer than any that a miner sends")]
    LineTooLong,
    /// As many proofs came on one tip as are remembered, and the miner takes no other extranonce.
    #[error("too many shares on one tip")]
    Exhausted,
    /// Nothing but bad shares came, whatever was done about it.
    #[error("nothing but bad shares came for too long")]
    OnlyRejects,
}

impl From<Fault> for Closing {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl closing::Fault for Fault {
    fn code(self) -> &'static str {
        match self {
            Self::Tls => "tls-handshake",
            Self::NoTls => "no-tls",
            Self::Line(LineFault::NotJson) => "line-not-json",
            Self::Line(LineFault::Id) => "line-id",
            Self::LineTooLong => "line-too-long",
            Self::Exhausted => "too-many-shares-on-one-tip",
            Self::OnlyRejects => "only-rejects",
        }
    }

    fn is_orderly(self) -> bool {
        match self {
            Self::Exhausted | Self::OnlyRejects => true,
            Self::Tls | Self::NoTls | Self::Line(_) | Self::LineTooLong => false,
        }
    }

    fn is_bad_input(self) -> bool {
        !self.is_orderly()
    }
}
