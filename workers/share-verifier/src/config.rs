//! What can be set.

use crate::domain::Rules;
use mining::Network;
use serde::{Deserialize, Serialize};
use std::num::NonZeroUsize;
use subjects::Exponent;
use worker_runtime::{BusConfig, WorkerConfig};

/// The verifier's configuration. All verifiers of a network need the same rules.
///
/// ```
/// let config: share_verifier::Config = worker_runtime::config::parse(
///     r#"
///     network = "signet"
///     late_tips = 6
///
///     [bus]
///     url = "tls://127.0.0.1:4222"
///     creds_file = "keys/creds/share-verifier.creds"
///     "#,
/// )?;
/// assert_eq!(config.rules()?.late_tips, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bus.
    pub bus: BusConfig,
    /// Whose addresses are credited: `bitcoin`, `testnet`, `testnet4`, `signet` or `regtest`.
    pub network: String,
    /// A share is too late when its tip is more than this many tips behind.
    #[serde(default = "default_late_tips")]
    pub late_tips: u64,
    /// Exponent of the easiest target that counts; a share credits `2^(k + 32)` hashes.
    #[serde(default = "default_min_exponent")]
    pub min_exponent: Exponent,
    /// Most shares of one lane that count on one tip: each takes some 35 bytes of memory until the
    /// next tip.
    #[serde(default = "default_max_proofs_per_lane")]
    pub max_proofs_per_lane: NonZeroUsize,
    /// How long a batch may be in hand before it is delivered again, in milliseconds.
    #[serde(default = "default_ack_wait_ms")]
    pub ack_wait_ms: u64,
}

const fn default_late_tips() -> u64 {
    6
}

/// One hash: the price is in the coinbase, so an easy share is as honest as a hard one.
const fn default_min_exponent() -> Exponent {
    Exponent::MIN
}

/// Half an hour of 9 000 shares a second on one lane.
fn default_max_proofs_per_lane() -> NonZeroUsize {
    NonZeroUsize::new(16_777_216).unwrap_or(NonZeroUsize::MIN)
}

/// Longer than a leader change of the bus, which holds up the publications of a batch.
const fn default_ack_wait_ms() -> u64 {
    30_000
}

impl WorkerConfig for Config {
    fn check(&self) -> Result<(), String> {
        self.rules().map(|_| ())
    }
}

impl Config {
    /// The rules by which shares are judged.
    ///
    /// # Errors
    ///
    /// When there is no network of that name.
    pub fn rules(&self) -> Result<Rules, String> {
        let network: Network = self.network.parse().map_err(|_| {
            let names = "bitcoin, testnet, testnet4, signet or regtest";
            format!("network = `{}`: use {names}", self.network)
        })?;
        Ok(Rules {
            network,
            late_tips: self.late_tips,
            min_exponent: self.min_exponent,
            max_proofs: self.max_proofs_per_lane.get(),
        })
    }
}
