//! `[bus]`: how to reach the bus, and as whom.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// One connection.
///
/// ```
/// let bus: worker_runtime::BusConfig = toml::from_str(
///     r#"
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/share-verifier.creds"
///     tls = { ca_file = "/etc/hyperhash/ca.pem" }
///     "#,
/// )?;
/// assert_eq!(bus.ack_timeout_ms, 2_000);
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// Server URLs, separated by commas: `nats://…` or `tls://…`.
    pub url: String,
    /// File with the user's JWT and seed.
    #[serde(default)]
    pub creds_file: Option<PathBuf>,
    /// File with a plain nkey seed, on servers without JWTs.
    #[serde(default)]
    pub nkey_seed_file: Option<PathBuf>,
    /// Encryption; absent means as the URL and the server say, with the system's roots.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// JetStream domain, where it is not the server's own.
    #[serde(default)]
    pub domain: Option<String>,
    /// Prefix of reply subjects; `_INBOX_<worker>` if absent, so that rights can be exact.
    #[serde(default)]
    pub inbox_prefix: Option<String>,
    /// How long one answer is awaited before the same message is sent again, in milliseconds.
    #[serde(default = "default_ack_timeout_ms")]
    pub ack_timeout_ms: u64,
    /// Publications that may wait for their stream at once; more wait for room.
    #[serde(default = "default_max_in_flight")]
    pub max_in_flight: usize,
    /// Which stream must take which subjects (see [`crate::Bus::route`]), by filter.
    #[serde(default)]
    pub streams: BTreeMap<String, String>,
}

/// Certificates of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The authority that signed the server's certificate (PEM); absent means the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate (PEM), where the server asks for one.
    pub cert_file: Option<PathBuf>,
    /// Its key (PEM).
    pub key_file: Option<PathBuf>,
    /// Whether the server expects the handshake before its own first word (`handshake_first`).
    pub first: bool,
}

/// 2 s: a synced write takes milliseconds, an election 4 to 7 s and three sendings.
const fn default_ack_timeout_ms() -> u64 {
    2_000
}

/// 1 024: where one stream's throughput is flat.
const fn default_max_in_flight() -> usize {
    1_024
}

impl BusConfig {
    /// A connection to `url` with everything else at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            creds_file: None,
            nkey_seed_file: None,
            tls: None,
            domain: None,
            inbox_prefix: None,
            ack_timeout_ms: default_ack_timeout_ms(),
            max_in_flight: default_max_in_flight(),
            streams: BTreeMap::new(),
        }
    }
}
