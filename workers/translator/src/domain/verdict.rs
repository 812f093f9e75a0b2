//! Why a share does not count, whoever says so.

use stratum_v1::Refusal;
use subjects::shares::Reason;

/// Why a share does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// For what every pool of ours says too.
    Judged(Reason),
    /// Its user name was not authorized, or nobody's was.
    Unauthorized,
    /// `mining.subscribe` did not come yet.
    NotSubscribed,
    /// The pool is away, or was gone before it had said that the share is stored.
    Away,
    /// As many shares as may wait for the pool do.
    Busy,
    /// The pool refused it for what we have no word for.
    Other,
}

impl Rejection {
    /// What a pool means by the code of `SubmitShares.Error`.
    pub fn of_code(code: &str) -> Self {
        Self::Judged(match code {
            "stale-share" => Reason::StaleShare,
            "invalid-job-id" => Reason::InvalidJobId,
            "duplicate-share" => Reason::DuplicateShare,
            "difficulty-too-low" => Reason::DifficultyTooLow,
            "bad-extranonce-size" => Reason::BadExtranonceSize,
            "invalid-ntime" | "invalid-timestamp" => Reason::InvalidNtime,
            "invalid-version"
            | "version-rolling-not-allowed"
            | "invalid-non-rollable-version-bit" => Reason::InvalidVersion,
            "invalid-channel-id" => Reason::InvalidChannelId,
            _ => return Self::Other,
        })
    }

    /// A short code: a metric's label, bounded.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Judged(reason) => reason.code(),
            Self::Unauthorized => "unauthorized",
            Self::NotSubscribed => "not-subscribed",
            Self::Away => "upstream-away",
            Self::Busy => "upstream-busy",
            Self::Other => "other",
        }
    }

    /// What its miner is told.
    pub const fn refusal(self) -> Refusal {
        match self {
            // The channel is the translator's affair: to the miner the work is old.
            Self::Judged(Reason::InvalidChannelId) => Refusal::of(Reason::StaleShare),
            Self::Judged(reason) => Refusal::of(reason),
            Self::Unauthorized => Refusal::UNAUTHORIZED,
            Self::NotSubscribed => Refusal::NOT_SUBSCRIBED,
            Self::Away => Refusal { code: 21, text: "Pool is away: the share was not stored" },
            Self::Busy => {
                Refusal { code: 20, text: "Pool does not answer: the share was not stored" }
            }
            Self::Other => Refusal { code: 20, text: "The pool refused the share" },
        }
    }
}
