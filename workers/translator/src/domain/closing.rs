//! What a miner's connection ends for.

use ingress::domain::closing;
use stratum_v1::LineFault;

/// Why a connection ends.
pub type Closing = closing::Closing<Fault>;

/// What only the translator ends a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line that is not of this protocol.
    #[error(transparent)]
    Line(#[from] LineFault),
    /// A line without an end.
    #[error("a line is longer than any that a miner sends")]
    LineTooLong,
    /// The pool opens no channel for a miner that it had one for before.
    #[error("the pool does not know the miner any more")]
    Unknown,
    /// The miner does not keep up with what the pool says.
    #[error("the miner is behind by more than may wait for it")]
    Behind,
    /// The link to the pool has ended.
    #[error("the translator ends")]
    NoLink,
}

impl From<Fault> for Closing {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl closing::Fault for Fault {
    fn code(self) -> &'static str {
        match self {
            Self::Line(LineFault::NotJson) => "line-not-json",
            Self::Line(LineFault::Id) => "line-id",
            Self::LineTooLong => "line-too-long",
            Self::Unknown => "unknown-to-the-pool",
            Self::Behind => "behind",
            Self::NoLink => "no-link",
        }
    }

    fn is_orderly(self) -> bool {
        match self {
            Self::Unknown | Self::NoLink => true,
            Self::Line(_) | Self::LineTooLong | Self::Behind => false,
        }
    }

    fn is_bad_input(self) -> bool {
        match self {
            Self::Line(_) | Self::LineTooLong => true,
            Self::Unknown | Self::Behind | Self::NoLink => false,
        }
    }
}
