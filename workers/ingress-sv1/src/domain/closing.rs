//! Why a connection ends.

use crate::wire::LineFault;
use ingress::domain::Leaving;

/// Why a connection ends: said in the log, counted by code, and told in its channel's last fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closing {
    /// The peer closed the connection.
    #[error("the miner left")]
    Left,
    /// The socket failed.
    #[error("the socket failed")]
    Socket,
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls,
    /// The TLS handshake took too long.
    #[error("no TLS handshake in time")]
    HandshakeDeadline,
    /// A line that is not of this protocol.
    #[error(transparent)]
    Line(#[from] LineFault),
    /// A line without an end.
    #[error("a line is longer than any that a miner sends")]
    LineTooLong,
    /// `mining.subscribe` took too long.
    #[error("no mining.subscribe in time")]
    SetupDeadline,
    /// No worker was authorized for too long.
    #[error("no authorized worker in time")]
    ChannelDeadline,
    /// No line came for too long.
    #[error("nothing was heard of the miner for too long")]
    Idle,
    /// The peer does not read what is sent.
    #[error("the miner does not read")]
    SlowReader,
    /// As many proofs came on one tip as are remembered, and the miner takes no other extranonce.
    #[error("too many shares on one tip")]
    Exhausted,
    /// All miners are sent away.
    #[error(transparent)]
    Leaving(#[from] Leaving),
}

impl Closing {
    /// A short code: a metric's label, bounded.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Socket => "socket",
            Self::Tls => "tls-handshake",
            Self::HandshakeDeadline => "handshake-deadline",
            Self::Line(LineFault::NotJson) => "line-not-json",
            Self::Line(LineFault::Id) => "line-id",
            Self::LineTooLong => "line-too-long",
            Self::SetupDeadline => "setup-deadline",
            Self::ChannelDeadline => "channel-deadline",
            Self::Idle => "idle",
            Self::SlowReader => "slow-reader",
            Self::Exhausted => "too-many-shares-on-one-tip",
            Self::Leaving(leaving) => leaving.code(),
        }
    }

    /// Whether the peer is still there and may want to read our last words.
    pub const fn is_orderly(self) -> bool {
        match self {
            Self::SetupDeadline
            | Self::ChannelDeadline
            | Self::Idle
            | Self::Exhausted
            | Self::Leaving(_) => true,
            Self::Left
            | Self::Socket
            | Self::Tls
            | Self::HandshakeDeadline
            | Self::Line(_)
            | Self::LineTooLong
            | Self::SlowReader => false,
        }
    }

    /// Whether what the peer sent is to blame.
    pub const fn is_bad_input(self) -> bool {
        match self {
            Self::Tls | Self::Line(_) | Self::LineTooLong => true,
            Self::Left
            | Self::Socket
            | Self::HandshakeDeadline
            | Self::SetupDeadline
            | Self::ChannelDeadline
            | Self::Idle
            | Self::SlowReader
            | Self::Exhausted
            | Self::Leaving(_) => false,
        }
    }
}
