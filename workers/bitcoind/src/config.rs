//! Where a bitcoind is and how to be let in.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Deadline of an ordinary call in milliseconds: bitcoind holds its main lock for up to two
/// seconds while it validates a large block.
const DEFAULT_DEADLINE_MS: u64 = 10_000;

/// One bitcoind.
///
/// ```
/// let config: bitcoind_rpc::RpcConfig = serde_json::from_str(
///     r#"{ "url": "http://127.0.0.1:8332", "cookie_file": "/var/lib/bitcoind/.cookie" }"#,
/// ).unwrap();
/// assert_eq!(config.check(), Ok(()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcConfig {
    /// Address of its RPC server, e.g. `http://127.0.0.1:8332`.
    pub url: String,
    /// File that holds `user:password`: bitcoind's own `.cookie`, or one line that you wrote for
    /// an `rpcauth` user. Read again whenever bitcoind refuses what it held.
    pub cookie_file: PathBuf,
    /// Longest wait for an ordinary answer.
    #[serde(default = "default_deadline_ms")]
    pub deadline_ms: u64,
}

/// The address is not one of a bitcoind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the address of a bitcoind: use the form `http://127.0.0.1:8332`")]
pub struct InvalidUrl(pub String);

const fn default_deadline_ms() -> u64 {
    DEFAULT_DEADLINE_MS
}

impl RpcConfig {
    /// A bitcoind with the default deadline.
    pub fn new(url: impl Into<String>, cookie_file: impl Into<PathBuf>) -> Self {
        Self { url: url.into(), cookie_file: cookie_file.into(), deadline_ms: DEFAULT_DEADLINE_MS }
    }

    /// Checks the address: bitcoind speaks plain HTTP only, and credentials in a URL would end
    /// up in logs.
    pub fn check(&self) -> Result<(), InvalidUrl> {
        let refuse = || InvalidUrl(self.url.clone());
        let url = reqwest::Url::parse(&self.url).map_err(|_| refuse())?;
        let plain = url.scheme() == "http" && url.has_host();
        let bare = url.username().is_empty() && url.password().is_none();
        if plain && bare { Ok(()) } else { Err(refuse()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_http_without_credentials() {
        let check = |url: &str| RpcConfig::new(url, "/cookie").check();
        assert_eq!(check("http://127.0.0.1:38332"), Ok(()));
        for wrong in ["https://127.0.0.1:8332", "127.0.0.1:8332", "http://u:p@host:1", "tcp://h"] {
            assert_eq!(check(wrong), Err(InvalidUrl(wrong.to_owned())));
        }
    }
}
