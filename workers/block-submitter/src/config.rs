//! What an operator may set.

use bitcoind_rpc::RpcConfig;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use subjects::ProviderId;
use worker_runtime::{BusConfig, WorkerConfig};

/// The keys of a block submitter.
///
/// ```
/// let config: block_submitter::Config = worker_runtime::config::parse(
///     r#"
///     provider = "core-a"
///     payout_confirmations = 100
///     rpc = { url = "http://127.0.0.1:38332", cookie_file = "/var/lib/bitcoind/signet/.cookie" }
///
///     [bus]
///     url = "tls://127.0.0.1:4222"
///     creds_file = "/etc/hyperhash/creds/block-submitter.creds"
///     "#,
/// )?;
/// assert_eq!(config.payout_confirmations.get(), 100);
/// # Ok::<(), worker_runtime::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The connection to the bus, in the account CORE.
    pub bus: BusConfig,
    /// Whose bitcoind this is: the last token of `block.submit.{provider}`.
    pub provider: ProviderId,
    /// Where its RPC server is.
    pub rpc: RpcConfig,
    /// Depth at which an outcome is final; a block at the tip has depth 1. All submitters of a
    /// network need the same number.
    #[serde(default = "default_payout_confirmations")]
    pub payout_confirmations: NonZeroU32,
    /// How often the chain is looked at for outcomes, in milliseconds.
    #[serde(default = "default_outcome_poll_ms")]
    pub outcome_poll_ms: u64,
}

/// A coinbase may be spent after 100 blocks (consensus).
const fn default_payout_confirmations() -> NonZeroU32 {
    match NonZeroU32::new(100) {
        Some(depth) => depth,
        None => NonZeroU32::MIN,
    }
}

const fn default_outcome_poll_ms() -> u64 {
    1_000
}

impl WorkerConfig for Config {
    fn check(&self) -> Result<(), String> {
        self.rpc.check().map_err(|error| error.to_string())?;
        if self.outcome_poll_ms == 0 {
            return Err("`outcome_poll_ms` must be at least 1".to_owned());
        }
        Ok(())
    }
}
