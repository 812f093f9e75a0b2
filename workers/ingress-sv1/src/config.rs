//! The ingress's keys.

use crate::domain::connection::{Extranonce1, Extranonce2};
use ingress::{Deadlines, Keyed, Keys, Limits, Vardiff, network_name};
use ipnet::IpNet;
use mining::Network;
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use subjects::{Exponent, Lane, NodeId, ProviderId};
use worker_runtime::{BusConfig, WorkerConfig};

/// The keys of `ingress-sv1`.
///
/// ```
/// let config: ingress_sv1::Config = worker_runtime::config::parse(
///     r#"
///     node = "core"
///     lanes = [11, 12, 13, 14]          # the first that is free is leased
///     network = "bitcoin"
///     listen = "0.0.0.0:34255"          # plain, and TLS if there is a certificate
///     providers = ["main", "second"]    # the first is preferred
///
///     [bus]
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/ingress-sv1.creds"
///
///     [tls]
///     cert_file = "/etc/hyperhash/miners.pem"
///     key_file = "/etc/hyperhash/miners.key"
///
///     [rented]
///     listen = "0.0.0.0:34256"
///     least_exponent = 20               # difficulty 2^20
///     "#,
/// )?;
/// assert_eq!(config.extranonce2_bytes, 8);
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
    /// Where miners connect, plain or, if there is a certificate, with TLS; port 0 takes a free one,
    /// which the announcement file then names.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The certificate for TLS; without one there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// A port for rented hashrate; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rented: Option<Rented>,
    /// Bytes of extranonce1: 6, or 4 for firmware that takes no more.
    #[serde(default = "default_extranonce1_bytes")]
    pub extranonce1_bytes: u8,
    /// Bytes that miners roll, `extranonce2_size`: 4 to 8.
    #[serde(default = "default_extranonce2_bytes")]
    pub extranonce2_bytes: u8,
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

/// A certificate, read again when the configuration is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, PEM, the miners' host name first.
    pub cert_file: PathBuf,
    /// The key, PEM.
    pub key_file: PathBuf,
}

/// A port whose miners are farms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rented {
    /// Where they connect.
    pub listen: SocketAddr,
    /// Exponent of the easiest target there: difficulty 2^k. `NiceHash` wants 500 000 and more.
    #[serde(default = "default_least_exponent")]
    pub least_exponent: Exponent,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 34_255))
}

const fn default_extranonce1_bytes() -> u8 {
    mining::prefix::SV1_LENGTH
}

fn default_extranonce2_bytes() -> u8 {
    Extranonce2::default().bytes()
}

fn default_least_exponent() -> Exponent {
    Exponent::clamped(20)
}

impl WorkerConfig for Config {
    const RELOADABLE: &'static [&'static str] = &["vardiff"];

    fn check(&self) -> Result<(), String> {
        if Extranonce1::new(self.extranonce1_bytes).is_none() {
            return Err("`extranonce1_bytes` is 6, or 4 for firmware that takes no more".into());
        }
        if Extranonce2::new(self.extranonce2_bytes).is_none() {
            return Err(
                "`extranonce2_bytes` is 4 to 8: no firmware takes less, some no more".into()
            );
        }
        if self
            .rented
            .as_ref()
            .is_some_and(|rented| rented.listen == self.listen && rented.listen.port() != 0)
        {
            return Err(
                "`rented.listen` and `listen` are the same: give each a port of its own".into()
            );
        }
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
