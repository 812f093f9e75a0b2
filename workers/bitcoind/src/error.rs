//! What can go wrong between us and a bitcoind, in words that say what to check.

use std::path::PathBuf;

/// A call that gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The configured address cannot be used.
    #[error(transparent)]
    Url(#[from] crate::InvalidUrl),
    /// The HTTP client could not be made.
    #[error("the HTTP client for bitcoind cannot be made")]
    Client(#[source] reqwest::Error),
    /// Nobody listens, or the connection broke.
    #[error(
        "bitcoind at {url} cannot be reached: check that it runs with `server=1`, and its \
         `rpcport`, `rpcbind` and `rpcallowip`"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("bitcoind at {url} gave no answer to `{method}` within {deadline_ms} ms")]
    Deadline {
        /// Where.
        url: String,
        /// What was asked.
        method: &'static str,
        /// How long we waited.
        deadline_ms: u128,
    },
    /// The file with the credentials cannot be read.
    #[error(
        "the cookie {} of bitcoind at {url} cannot be read: check that bitcoind runs and that \
         this user may read the file", path.display()
    )]
    Cookie {
        /// Where.
        url: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file with the credentials holds none.
    #[error("the cookie {} of bitcoind at {url} is not one line `user:password`", path.display())]
    CookieForm {
        /// Where.
        url: String,
        /// The file.
        path: PathBuf,
    },
    /// bitcoind does not know the credentials.
    #[error(
        "bitcoind at {url} refused the cookie {}: check that the file belongs to this bitcoind, \
         or that its `rpcauth` names this user", path.display()
    )]
    Refused {
        /// Where.
        url: String,
        /// The file.
        path: PathBuf,
    },
    /// bitcoind does not answer this host, or this user not this call.
    #[error(
        "bitcoind at {url} forbids `{method}`: check `rpcallowip` and `rpcwhitelist` for this \
         host and user"
    )]
    Forbidden {
        /// Where.
        url: String,
        /// What was asked.
        method: &'static str,
    },
    /// Its work queue is full.
    #[error("bitcoind at {url} is overloaded: raise `rpcworkqueue` and `rpcthreads`")]
    Overloaded {
        /// Where.
        url: String,
    },
    /// It loads its block index or verifies blocks; calls work later.
    #[error("bitcoind at {url} is still starting: {message}")]
    Starting {
        /// Where.
        url: String,
        /// bitcoind's own words.
        message: String,
    },
    /// It answered with an error.
    #[error("bitcoind at {url} answered `{method}` with error {code}: {message}")]
    Answer {
        /// Where.
        url: String,
        /// What was asked.
        method: &'static str,
        /// Code of `rpc/protocol.h`.
        code: i64,
        /// bitcoind's own words.
        message: String,
    },
    /// What came back is not the answer to what was asked.
    #[error("what answers at {url} to `{method}` is not a bitcoind that we know")]
    Garbled {
        /// Where.
        url: String,
        /// What was asked.
        method: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The body is larger than any honest answer.
    #[error("bitcoind at {url} answered `{method}` with more than {limit} bytes")]
    TooLarge {
        /// Where.
        url: String,
        /// What was asked.
        method: &'static str,
        /// Most bytes that are read.
        limit: usize,
    },
    /// It does not tell the next block's target.
    #[error("bitcoind at {url} is too old: version 29 or later is needed")]
    TooOld {
        /// Where.
        url: String,
    },
    /// Its tip moved each time while we asked.
    #[error("the tip of bitcoind at {url} moved in every one of {attempts} attempts to read it")]
    Unsettled {
        /// Where.
        url: String,
        /// How often we asked.
        attempts: u32,
    },
}

impl RpcError {
    /// A short name for a metric's label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) | Self::Client(_) => "configuration",
            Self::Unreachable { .. } => "unreachable",
            Self::Deadline { .. } => "deadline",
            Self::Cookie { .. } | Self::CookieForm { .. } => "cookie",
            Self::Refused { .. } => "refused",
            Self::Forbidden { .. } => "forbidden",
            Self::Overloaded { .. } => "overloaded",
            Self::Starting { .. } => "starting",
            Self::Answer { .. } => "answer",
            Self::Garbled { .. } | Self::TooLarge { .. } => "garbled",
            Self::TooOld { .. } => "too-old",
            Self::Unsettled { .. } => "unsettled",
        }
    }
}
