//! What an operator may set.
//!
//! ```
//! use template_publisher::config::Config;
//! let config: Config = worker_runtime::config::parse(r#"
//!     chain = "signet"
//!     signet_challenge = "51"
//!     treasury_address = "tb1q2hk4gcv5ur4vcg5v6vpz5lj32v8m6mwe5exhza"
//!
//!     [bus]
//!     url = "tls://127.0.0.1:4222"
//!     creds_file = "/etc/hyperhash/creds/template-publisher.creds"
//!
//!     ## In order of priority: the first one that is well is followed.
//!     [[providers]]
//!     id = "core-a"
//!     zmq = ["tcp://127.0.0.1:28332"]
//!     rpc = { url = "http://127.0.0.1:38332", cookie_file = "/var/lib/bitcoind/signet/.cookie" }
//!
//!     [[providers]]
//!     id = "core-b"
//!     rpc = { url = "http://10.0.0.2:38332", cookie_file = "/etc/hyperhash/core-b.rpcauth" }
//! "#).unwrap();
//! assert_eq!(config.providers.len(), 2);
//! assert_eq!(config.tag, "hyperhash");
//! ```

use crate::domain::{announcer::Refresh, selection::Patience};
use bitcoin::{Address, Network, address::NetworkUnchecked};
use bitcoind_rpc::{
    Chain, RpcConfig,
    node::{Checkpoint, Expectation},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, time::Duration};
use subjects::{
    HexBytes, ProviderId,
    templates::{CoinbaseRule, MAX_TAG_LENGTH},
};
use worker_runtime::{BusConfig, WorkerConfig};

/// Most bitcoinds of one publisher.
pub const MAX_PROVIDERS: usize = 16;

/// The keys of a template publisher.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The connection to the bus.
    pub bus: BusConfig,
    /// The chain that we mine on: `main`, `test`, `testnet4`, `signet` or `regtest`.
    pub chain: Chain,
    /// The challenge of the signet, in hexadecimal. Needed on a signet, nowhere else.
    #[serde(default)]
    pub signet_challenge: Option<HexBytes>,
    /// A block that must be on the chain of every bitcoind.
    #[serde(default)]
    pub checkpoint: Option<Checkpoint>,
    /// Address that output 0 of every coinbase pays the subsidy to.
    pub treasury_address: String,
    /// Text in every coinbase, at most 24 bytes.
    #[serde(default = "default_tag")]
    pub tag: String,
    /// The bitcoinds, in order of priority.
    pub providers: Vec<Provider>,
    /// When a template is worth a message.
    #[serde(default)]
    pub templates: Templates,
    /// When another bitcoind takes over.
    #[serde(default)]
    pub failover: Failover,
    /// Seconds between two health facts of a provider.
    #[serde(default = "default_health_secs")]
    pub health_interval_secs: u64,
}

/// One bitcoind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name: the last token of its subjects.
    pub id: ProviderId,
    /// Where its RPC server is.
    pub rpc: RpcConfig,
    /// Where it publishes `sequence` and `hashblock` over ZMQ. Without any, or while none of them
    /// is connected, its long poll is used, which is slower under load.
    #[serde(default)]
    pub zmq: Vec<String>,
}

/// When a template is worth a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Templates {
    /// Milliseconds between two looks at a bitcoind's tip: what a lost notification costs.
    pub poll_ms: u64,
    /// Seconds between two templates asked of a bitcoind on one tip.
    pub ask_secs: u64,
    /// Fees that a template must gain over the published one, in satoshis.
    pub refresh_fee_gain_sats: u64,
    /// Age of the published template from which it is replaced in any case.
    pub refresh_age_secs: u64,
}

/// When another bitcoind takes over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// Seconds without an answer.
    pub unreachable_secs: u64,
    /// Seconds behind the best known tip.
    pub behind_secs: u64,
    /// Seconds that one of higher priority must have been well before it is returned to.
    pub recovered_secs: u64,
}

impl Default for Templates {
    fn default() -> Self {
        Self { poll_ms: 1_000, ask_secs: 5, refresh_fee_gain_sats: 50_000, refresh_age_secs: 30 }
    }
}

impl Default for Failover {
    fn default() -> Self {
        Self { unreachable_secs: 10, behind_secs: 30, recovered_secs: 60 }
    }
}

fn default_tag() -> String {
    "hyperhash".to_owned()
}

const fn default_health_secs() -> u64 {
    5
}

impl Config {
    /// The chain that every bitcoind must be on.
    pub fn expectation(&self) -> Expectation {
        Expectation {
            chain: self.chain,
            signet_challenge: self.signet_challenge.clone(),
            checkpoint: self.checkpoint,
        }
    }

    /// What every coinbase must look like.
    ///
    /// # Errors
    ///
    /// When the treasury's address is none of this chain.
    pub fn coinbase_rule(&self) -> Result<CoinbaseRule, String> {
        let text = &self.treasury_address;
        let refuse = |error: &dyn std::fmt::Display| {
            format!(
                "treasury_address `{text}` is not an address of the chain {}: {error}",
                self.chain
            )
        };
        let address: Address<NetworkUnchecked> = text.parse().map_err(|e| refuse(&e))?;
        let address = address.require_network(network(self.chain)).map_err(|e| refuse(&e))?;
        Ok(CoinbaseRule {
            rules_version: mining::RULES_VERSION,
            treasury_script: HexBytes(address.script_pubkey().into_bytes()),
            tag: self.tag.clone(),
            version_mask: mining::VERSION_MASK,
        })
    }

    /// When a template is worth a message.
    pub const fn refresh(&self) -> Refresh {
        Refresh {
            fee_gain_sats: self.templates.refresh_fee_gain_sats,
            max_age: Duration::from_secs(self.templates.refresh_age_secs),
        }
    }

    /// When another bitcoind takes over.
    pub const fn patience(&self) -> Patience {
        Patience {
            unreachable: Duration::from_secs(self.failover.unreachable_secs),
            behind: Duration::from_secs(self.failover.behind_secs),
            recovered: Duration::from_secs(self.failover.recovered_secs),
        }
    }
}

impl WorkerConfig for Config {
    fn check(&self) -> Result<(), String> {
        self.coinbase_rule()?;
        if self.tag.is_empty() || self.tag.len() > MAX_TAG_LENGTH {
            return Err(format!("tag: use 1 to {MAX_TAG_LENGTH} bytes"));
        }
        if self.chain.is_signet() != self.signet_challenge.is_some() {
            return Err("signet_challenge: needed on a signet, and only there".to_owned());
        }
        if !(1..=MAX_PROVIDERS).contains(&self.providers.len()) {
            return Err(format!("providers: name 1 to {MAX_PROVIDERS} bitcoinds"));
        }
        let names: BTreeSet<_> = self.providers.iter().map(|provider| &provider.id).collect();
        if names.len() != self.providers.len() {
            return Err("providers: two have the same id".to_owned());
        }
        for Provider { rpc, .. } in &self.providers {
            rpc.check().map_err(|error| format!("providers.rpc.url: {error}"))?;
        }
        let zero = [self.templates.poll_ms, self.templates.ask_secs, self.health_interval_secs];
        if zero.contains(&0) {
            return Err("poll_ms, ask_secs and health_interval_secs are at least 1".to_owned());
        }
        Ok(())
    }
}

const fn network(chain: Chain) -> Network {
    match chain {
        Chain::Main => Network::Bitcoin,
        Chain::Test => Network::Testnet,
        Chain::Testnet4 => Network::Testnet4,
        Chain::Signet => Network::Signet,
        Chain::Regtest => Network::Regtest,
    }
}
