//! Why a connection ends.

use std::fmt;

/// What a protocol of its own ends a connection for.
pub trait Fault: Copy + fmt::Debug + fmt::Display + Send {
    /// A short code: a metric's label, bounded.
    fn code(self) -> &'static str;

    /// Whether the peer is still there and may want to read our last words.
    fn is_orderly(self) -> bool;

    /// Whether what the peer sent is to blame.
    fn is_bad_input(self) -> bool;
}

/// Why all miners of an ingress are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Leaving {
    /// The ingress stops, or has lost its lane.
    #[error("the ingress drains")]
    Draining,
    /// No tip was heard of for too long: the work would be worth nothing.
    #[error("the ingress has heard of no tip for too long")]
    NoTip,
}

/// Why a connection ends: said in the log, counted by code, and told in its channels' last facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closing<F> {
    /// The peer closed the connection.
    #[error("the miner left")]
    Left,
    /// The socket failed.
    #[error("the socket failed")]
    Socket,
    /// The handshake took too long.
    #[error("no handshake in time")]
    HandshakeDeadline,
    /// Somebody else needed the place, and nobody mined on it.
    #[error("a miner needed the place")]
    Evicted,
    /// The client's first step took too long: `SetupConnection`, `mining.subscribe`.
    #[error("the client did not introduce itself in time")]
    SetupDeadline,
    /// Nobody was named who is to be credited for too long: no open channel, no authorized worker.
    #[error("no open channel in time")]
    ChannelDeadline,
    /// Nothing came for too long.
    #[error("nothing was heard of the miner for too long")]
    Idle,
    /// The peer does not read what is sent.
    #[error("the miner does not read")]
    SlowReader,
    /// All miners are sent away.
    #[error(transparent)]
    Leaving(#[from] Leaving),
    /// For what its protocol says.
    #[error("{0}")]
    Fault(F),
}

impl<F: Fault> Closing<F> {
    /// A short code: a metric's label, bounded.
    pub fn code(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Socket => "socket",
            Self::HandshakeDeadline => "handshake-deadline",
            Self::Evicted => "evicted",
            Self::SetupDeadline => "setup-deadline",
            Self::ChannelDeadline => "channel-deadline",
            Self::Idle => "idle",
            Self::SlowReader => "slow-reader",
            Self::Leaving(Leaving::Draining) => "draining",
            Self::Leaving(Leaving::NoTip) => "no-tip",
            Self::Fault(fault) => fault.code(),
        }
    }

    /// Whether the peer is still there and may want to read our last words.
    pub fn is_orderly(self) -> bool {
        match self {
            Self::SetupDeadline | Self::ChannelDeadline | Self::Idle | Self::Leaving(_) => true,
            Self::Left
            | Self::Socket
            | Self::HandshakeDeadline
            | Self::Evicted
            | Self::SlowReader => false,
            Self::Fault(fault) => fault.is_orderly(),
        }
    }

    /// Whether the connection was lost, without anybody's will as far as can be told: the peer may
    /// come back.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Left | Self::Socket | Self::SlowReader)
    }

    /// Whether what the peer sent is to blame.
    pub fn is_bad_input(self) -> bool {
        match self {
            Self::Fault(fault) => fault.is_bad_input(),
            Self::Left
            | Self::Socket
            | Self::HandshakeDeadline
            | Self::Evicted
            | Self::SetupDeadline
            | Self::ChannelDeadline
            | Self::Idle
            | Self::SlowReader
            | Self::Leaving(_) => false,
        }
    }
}
