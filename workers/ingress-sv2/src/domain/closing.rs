//! Why a connection ends.

use crate::{noise::NoiseFault, wire::FrameFault};
use ingress::domain::Leaving;

/// Why a connection ends: said in the log, counted by code, and told in its channels' last facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closing {
    /// The peer closed the connection.
    #[error("the miner left")]
    Left,
    /// The socket failed.
    #[error("the socket failed")]
    Socket,
    /// The Noise session broke.
    #[error(transparent)]
    Noise(#[from] NoiseFault),
    /// A frame that is not for us, or not readable.
    #[error(transparent)]
    Frame(#[from] FrameFault),
    /// The first message was another one.
    #[error("the first message was not SetupConnection")]
    SetupExpected,
    /// `SetupConnection` came again.
    #[error("SetupConnection came twice")]
    SetupTwice,
    /// `SetupConnection` was answered with this error code.
    #[error("SetupConnection was refused: {0}")]
    SetupRefused(&'static str),
    /// The Noise handshake took too long.
    #[error("no Noise handshake in time")]
    HandshakeDeadline,
    /// `SetupConnection` took too long.
    #[error("no SetupConnection in time")]
    SetupDeadline,
    /// No channel was opened for too long.
    #[error("no open channel in time")]
    ChannelDeadline,
    /// No frame came for too long.
    #[error("nothing was heard of the miner for too long")]
    Idle,
    /// The peer does not read what is sent.
    #[error("the miner does not read")]
    SlowReader,
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
            Self::Noise(NoiseFault::Handshake) => "noise-handshake",
            Self::Noise(NoiseFault::Forged) => "noise-forged",
            Self::Noise(NoiseFault::Oversized(_)) => "frame-oversized",
            Self::Frame(FrameFault::Malformed(_)) => "frame-malformed",
            Self::Frame(FrameFault::Unexpected(_)) => "frame-unexpected",
            Self::SetupExpected => "setup-expected",
            Self::SetupTwice => "setup-twice",
            Self::SetupRefused(code) => code,
            Self::HandshakeDeadline => "handshake-deadline",
            Self::SetupDeadline => "setup-deadline",
            Self::ChannelDeadline => "channel-deadline",
            Self::Idle => "idle",
            Self::SlowReader => "slow-reader",
            Self::Leaving(leaving) => leaving.code(),
        }
    }

    /// Whether the peer is still there and may want to read our last words.
    pub const fn is_orderly(self) -> bool {
        match self {
            Self::SetupRefused(_)
            | Self::SetupDeadline
            | Self::ChannelDeadline
            | Self::Idle
            | Self::Leaving(_) => true,
            Self::Left
            | Self::Socket
            | Self::Noise(_)
            | Self::Frame(_)
            | Self::SetupExpected
            | Self::SetupTwice
            | Self::HandshakeDeadline
            | Self::SlowReader => false,
        }
    }

    /// Whether what the peer sent is to blame.
    pub const fn is_bad_input(self) -> bool {
        match self {
            Self::Noise(_) | Self::Frame(_) | Self::SetupExpected | Self::SetupTwice => true,
            Self::Left
            | Self::Socket
            | Self::SetupRefused(_)
            | Self::HandshakeDeadline
            | Self::SetupDeadline
            | Self::ChannelDeadline
            | Self::Idle
            | Self::SlowReader
            | Self::Leaving(_) => false,
        }
    }
}
