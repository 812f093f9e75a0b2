//! The translator's keys.

use crate::domain::{link::Mode, miner::Rules, route::Pauses};
use mining::{Hashrate, Network};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use stratum_v2::{Endpoint, InvalidEndpoint};
use worker_runtime::WorkerConfig;

/// The keys of `translator`. Only `upstreams` must be set.
///
/// ```
/// let config: translator::Config = worker_runtime::config::parse(
///     r#"
///     preset = "mainnet"                # regtest, signet or mainnet
///     upstreams = [                     # the first is preferred
///       "stratum2+tcp://pool.example:3336/9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72",
///       "stratum2+tcp://other.example:34254/9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72",
///     ]
///     listen = "0.0.0.0:34255"
///     vardiff = false                   # the pool rules difficulties
///     # aggregate = "bc1q….farm"        # one channel for all, of this user name
///
///     [deadlines]
///     idle_secs = 900
///     "#,
/// )?;
/// assert_eq!(config.extranonce2_bytes, 4);
/// # Ok::<(), worker_runtime::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is not set otherwise: chain, address, hashrate.
    #[serde(default)]
    pub preset: Preset,
    /// Pools, `stratum2+tcp://host:port/<authority key>`, by preference. May be reloaded: who is
    /// connected to one that is no longer named goes on with the first.
    #[serde(default)]
    pub upstreams: Vec<String>,
    /// Where miners connect; port 0 takes a free one, which the announcement file then names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// The user name of the one channel that all miners share. Without it each has a channel of its
    /// own, with its own user name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
    /// Whether the translator has a say in difficulties: on a shared channel each miner gets one of
    /// its own; otherwise the pool is told what each miner is seen to do. May be reloaded.
    #[serde(default)]
    pub vardiff: bool,
    /// Bytes that miners roll, `extranonce2_size`: 4 to 8. The pool must leave four more.
    #[serde(default = "default_extranonce2_bytes")]
    pub extranonce2_bytes: u8,
    /// What a miner that says nothing of its difficulty is taken to do, in hashes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashrate_hs: Option<u64>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Deadlines. May be reloaded.
    #[serde(default)]
    pub deadlines: Deadlines,
}

/// Defaults for a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Miners of this host, on the processor.
    Regtest,
    /// Miners of this host, on the processor or a stick.
    Signet,
    /// Miners of the local network.
    #[default]
    Mainnet,
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most miners.
    pub max_connections: usize,
    /// Most miners of one IPv4 address or IPv6 /64.
    pub max_connections_per_address: usize,
    /// Most workers of one connection.
    pub max_workers_per_connection: usize,
    /// Most channels of one connection to the pool; beyond it there is another connection.
    pub max_channels_per_upstream: usize,
    /// Most shares of one miner that wait for the pool; above, it is not read.
    pub max_unacknowledged_per_connection: usize,
    /// Bytes that wait for a miner to read them; above, it is neither read nor given new jobs until
    /// it has caught up, or dropped when it does not.
    pub max_unsent_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 2_000,
            max_connections_per_address: 1_000,
            max_workers_per_connection: 64,
            // What an ingress of ours serves on a connection.
            max_channels_per_upstream: 256,
            max_unacknowledged_per_connection: 256,
            max_unsent_bytes: 65_536,
        }
    }
}

/// Deadlines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// From a miner's connection to `mining.subscribe`.
    pub greeting_secs: u64,
    /// From there to `mining.authorize`.
    pub authorize_secs: u64,
    /// Without a line of a miner that has work.
    pub idle_secs: u64,
    /// Without a line of a miner while the pool is away.
    pub away_secs: u64,
    /// Without the miner reading a byte of what waits for it.
    pub unread_secs: u64,
    /// Without a word of the pool: then it is taken for gone.
    pub upstream_silence_secs: u64,
    /// The pause after all pools were tried in vain: the first, which doubles.
    pub retry_first_ms: u64,
    /// The longest such pause.
    pub retry_longest_secs: u64,
    /// For shares to be answered once the translator drains.
    pub drain_secs: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            greeting_secs: 10,
            authorize_secs: 60,
            idle_secs: 900,
            away_secs: 86_400,
            unread_secs: 30,
            upstream_silence_secs: 300,
            retry_first_ms: 1_000,
            retry_longest_secs: 60,
            drain_secs: 5,
        }
    }
}

impl Preset {
    /// The chain whose addresses are user names.
    const fn network(self) -> Network {
        match self {
            Self::Regtest => Network::Regtest,
            Self::Signet => Network::Signet,
            Self::Mainnet => Network::Bitcoin,
        }
    }

    /// On a test's chain, miners of this host only.
    fn listen(self) -> SocketAddr {
        let address = match self {
            Self::Regtest | Self::Signet => Ipv4Addr::LOCALHOST,
            Self::Mainnet => Ipv4Addr::UNSPECIFIED,
        };
        SocketAddr::from((address, PORT))
    }

    const fn hashrate_hs(self) -> u64 {
        match self {
            Self::Regtest => 1_000_000,
            Self::Signet => 1_000_000_000,
            Self::Mainnet => 1_000_000_000_000,
        }
    }
}

/// The port that SV1 miners know of translators.
const PORT: u16 = 34_255;

const fn default_extranonce2_bytes() -> u8 {
    4
}

impl Config {
    /// Where miners connect.
    pub(crate) fn listens(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| self.preset.listen())
    }

    /// The pools, by preference.
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, InvalidEndpoint> {
        self.upstreams.iter().map(|upstream| upstream.trim().parse()).collect()
    }

    /// Whose channel shares go to.
    pub(crate) fn mode(&self) -> Mode {
        self.aggregate.clone().map_or(Mode::PerMiner, Mode::Aggregated)
    }

    /// What a miner that says nothing is taken to do.
    pub(crate) fn hashrate(&self) -> Hashrate {
        Hashrate::new(self.hashrate_hs.unwrap_or_else(|| self.preset.hashrate_hs()).into())
    }

    /// Pauses between attempts.
    pub(crate) const fn pauses(&self) -> Pauses {
        Pauses {
            first: Duration::from_millis(self.deadlines.retry_first_ms),
            longest: Duration::from_secs(self.deadlines.retry_longest_secs),
        }
    }

    /// What connections go by.
    pub(crate) fn rules(&self) -> Rules {
        let Self { limits, deadlines, .. } = self;
        Rules {
            network: self.preset.network(),
            extranonce2_bytes: self.extranonce2_bytes,
            hashrate: self.hashrate(),
            aggregated: self.aggregate.is_some(),
            vardiff: self.vardiff,
            max_workers: limits.max_workers_per_connection,
            max_unacknowledged: limits.max_unacknowledged_per_connection,
            greeting_deadline: Duration::from_secs(deadlines.greeting_secs),
            authorize_deadline: Duration::from_secs(deadlines.authorize_secs),
            idle_deadline: Duration::from_secs(deadlines.idle_secs),
            away_deadline: Duration::from_secs(deadlines.away_secs),
        }
    }
}

impl WorkerConfig for Config {
    const RELOADABLE: &'static [&'static str] = &["upstreams", "vardiff", "deadlines"];

    fn check(&self) -> Result<(), String> {
        let Limits {
            max_connections,
            max_connections_per_address,
            max_workers_per_connection,
            max_channels_per_upstream,
            max_unacknowledged_per_connection,
            max_unsent_bytes,
        } = self.limits;
        let bounds = [
            max_connections,
            max_connections_per_address,
            max_workers_per_connection,
            max_channels_per_upstream,
            max_unacknowledged_per_connection,
            max_unsent_bytes,
        ];
        if self.upstreams.is_empty() {
            return Err("`upstreams` names no pool: give at least one, \
                        `stratum2+tcp://host:port/<authority key>`"
                .to_owned());
        }
        self.endpoints().map_err(|error| format!("`upstreams`: {error}"))?;
        if !(4..=8).contains(&self.extranonce2_bytes) {
            return Err(
                "`extranonce2_bytes` is 4 to 8: no firmware takes less, some no more".to_owned()
            );
        }
        if self.aggregate.as_ref().is_some_and(|user| user.is_empty() || user.len() > 255) {
            return Err("`aggregate` is the user name of the shared channel: \
                        `<address>[.<worker>]`, at most 255 bytes"
                .to_owned());
        }
        if bounds.contains(&0) {
            return Err("a bound under `limits` is 0".to_owned());
        }
        if self.deadlines.retry_first_ms == 0 || self.deadlines.retry_longest_secs == 0 {
            return Err("a pause of 0 under `deadlines` would knock without end".to_owned());
        }
        Ok(())
    }
}
