//! The keys of this worker.

use serde::{Deserialize, Serialize};
use worker_runtime::{BusConfig, WorkerConfig};

/// The configuration of a reader of leaves, beside the shell's own sections.
///
/// ```
/// let config: leaf_reader::Config = worker_runtime::config::parse(
///     r#"
///     [bus]
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/leaf-reader.creds"
///     tls = { ca_file = "/etc/hyperhash/ca.pem" }
///
///     [nodes_bus]
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/leaf-reader-nodes.creds"
///     tls = { ca_file = "/etc/hyperhash/ca.pem" }
///     "#,
/// )?;
/// assert_eq!(config.nodes_bus.ack_timeout_ms, 2_000);
/// # Ok::<(), worker_runtime::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bus, in the account CORE.
    pub bus: BusConfig,
    /// The bus, in the account NODES, where the leaves are bound.
    pub nodes_bus: BusConfig,
}

impl WorkerConfig for Config {}
