//! What is recorded, from where.

use subjects::{Payload, blocks, payouts, rounds, shares};

/// One stream's facts on their way into the book. Each has a position of its own, so that a
/// backlog of one never delays another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feed {
    /// Accepted shares.
    Shares,
    /// What Core refused.
    Refusals,
    /// What ingresses turned away.
    Rejections,
    /// Solved blocks and their outcomes.
    Blocks,
    /// Closed rounds.
    Rounds,
    /// Signed statements.
    Statements,
}

impl Feed {
    /// What CORE keeps, in the order in which a share meets it.
    pub const OF_CORE: [Self; 5] =
        [Self::Shares, Self::Refusals, Self::Rejections, Self::Blocks, Self::Rounds];

    /// The name of its position in the book.
    pub const fn reader(self) -> &'static str {
        match self {
            Self::Shares => "shares",
            Self::Refusals => "refusals",
            Self::Rejections => "rejections",
            Self::Blocks => "blocks",
            Self::Rounds => "rounds",
            Self::Statements => "statements",
        }
    }

    /// The name of its readiness check.
    pub const fn check(self) -> &'static str {
        match self {
            Self::Shares => "record-shares",
            Self::Refusals => "record-refusals",
            Self::Rejections => "record-rejections",
            Self::Blocks => "record-blocks",
            Self::Rounds => "record-rounds",
            Self::Statements => "record-statements",
        }
    }

    /// The stream that is read.
    pub const fn stream(self) -> &'static str {
        match self {
            Self::Shares => streams::SHARES,
            Self::Refusals => streams::SHARES_REFUSED,
            Self::Rejections => streams::NODE_TELEMETRY,
            Self::Blocks => streams::BLOCKS,
            Self::Rounds => streams::ROUNDS,
            Self::Statements => streams::PAYOUTS,
        }
    }

    /// The subjects that are read.
    pub const fn filters(self) -> &'static [&'static str] {
        match self {
            Self::Shares => &[shares::Accepted::FILTER],
            Self::Refusals => &[shares::Refused::FILTER],
            Self::Rejections => &[shares::Rejected::FILTER],
            Self::Blocks => &[blocks::Solved::FILTER, blocks::Outcome::FILTER],
            Self::Rounds => &[rounds::Closed::FILTER],
            Self::Statements => &[payouts::Statement::FILTER],
        }
    }
}
