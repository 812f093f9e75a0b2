//! The ingress's keys.

use ingress::{Deadlines, Keyed, Keys, Limits, Vardiff, network_name};
use ipnet::IpNet;
use mining::Network;
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use subjects::{Lane, NodeId, ProviderId};
use worker_runtime::{BusConfig, WorkerConfig};

/// The keys of `ingress-sv2`.
///
/// ```
/// let config: ingress_sv2::Config = worker_runtime::config::parse(
///     r#"
///     node = "core"
///     lanes = [1, 2, 3, 4]              # the first that is free is leased
///     network = "bitcoin"
///     listen = "0.0.0.0:34254"
///     authority_key_file = "/etc/hyperhash/sv2-authority.key"
///     providers = ["main", "second"]    # the first is preferred
///
///     [bus]
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/ingress-sv2.creds"
///
///     [vardiff]
///     shares_per_minute = 12
///
///     [limits]
///     max_connections = 20000
///     "#,
/// )?;
/// assert_eq!(config.deadlines.idle_secs, 900);
/// # Ok::<(), worker_runtime::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The connection to the bus: the hub's for Core's ingress, the leaf's on a node.
    pub bus: BusConfig,
    /// The node that runs the ingress; `core` for Core's own.
    pub node: NodeId,
    /// The lanes that it may lease, in this order; one is held at a time.
    pub lanes: Vec<Lane>,
    /// The chain whose addresses are identities: `bitcoin`, `testnet4`, `signet` or `regtest`.
    #[serde(with = "network_name")]
    pub network: Network,
    /// Where miners connect; port 0 takes a free one, which the announcement file then names.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// File with the secret authority key, base58check.
    pub authority_key_file: PathBuf,
    /// How long a Noise certificate is valid, in seconds. It matters at the handshake only.
    #[serde(default = "default_certificate_validity_secs")]
    pub certificate_validity_secs: u64,
    /// Networks of the proxies in front of the ingress. They must begin each connection with a header
    /// of the PROXY protocol, version 2; nobody else may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
    /// Template providers, by preference.
    pub providers: Vec<ProviderId>,
    /// Variable difficulty.
    #[serde(default)]
    pub vardiff: Vardiff,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Deadlines.
    #[serde(default)]
    pub deadlines: Deadlines,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 34_254))
}

const fn default_certificate_validity_secs() -> u64 {
    3_600
}

impl WorkerConfig for Config {
    const RELOADABLE: &'static [&'static str] = &["vardiff"];

    fn check(&self) -> Result<(), String> {
        self.keys().check()
    }
}

impl Keyed for Config {
    fn keys(&self) -> Keys<'_> {
        Keys {
            bus: &self.bus,
            node: &self.node,
            lanes: &self.lanes,
            network: self.network,
            providers: &self.providers,
            trusted_proxies: &self.trusted_proxies,
            vardiff: &self.vardiff,
            limits: &self.limits,
            deadlines: &self.deadlines,
        }
    }
}
