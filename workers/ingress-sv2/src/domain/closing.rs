//! What a connection ends for on Stratum V2.

use crate::{noise::NoiseFault, wire::FrameFault};
use ingress::domain::closing;

/// Why a connection ends.
pub type Closing = closing::Closing<Fault>;

/// What only this protocol ends a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
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
}

impl From<Fault> for Closing {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<NoiseFault> for Closing {
    fn from(fault: NoiseFault) -> Self {
        Self::Fault(fault.into())
    }
}

impl From<FrameFault> for Closing {
    fn from(fault: FrameFault) -> Self {
        Self::Fault(fault.into())
    }
}

impl closing::Fault for Fault {
    fn code(self) -> &'static str {
        match self {
            Self::Noise(NoiseFault::Handshake) => "noise-handshake",
            Self::Noise(NoiseFault::Forged) => "noise-forged",
            Self::Noise(NoiseFault::Oversized(_)) => "frame-oversized",
            Self::Frame(FrameFault::Malformed(_)) => "frame-malformed",
            Self::Frame(FrameFault::Unexpected(_)) => "frame-unexpected",
            Self::SetupExpected => "setup-expected",
            Self::SetupTwice => "setup-twice",
            Self::SetupRefused(code) => code,
        }
    }

    fn is_orderly(self) -> bool {
        match self {
            Self::SetupRefused(_) => true,
            Self::Noise(_) | Self::Frame(_) | Self::SetupExpected | Self::SetupTwice => false,
        }
    }

    fn is_bad_input(self) -> bool {
        !self.is_orderly()
    }
}
