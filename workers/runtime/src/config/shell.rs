//! The sections that every worker has, because the shell reads them.

use super::ConfigError;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// The shell's own configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShellConfig {
    /// Nothing is decided or published while this is set; sessions stay open. May be reloaded.
    pub read_only: bool,
    /// Health and metrics.
    pub http: HttpConfig,
    /// Logs.
    pub log: LogConfig,
    /// How the process ends.
    pub shutdown: ShutdownConfig,
    /// Feature flags by name; unknown ones are refused. May be reloaded.
    pub flags: BTreeMap<String, bool>,
}

/// `[http]`: one listener for `/healthz`, `/readyz`, `/metrics` and `/log-level`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// File into which the real address and the process id are written, as JSON.
    pub announce_file: Option<PathBuf>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), announce_file: None }
    }
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as
    /// `info,share_verifier=debug`. May be reloaded, and changed at `/log-level`.
    pub level: String,
    /// For machines or for people.
    pub format: LogFormat,
    /// Loki's base URL, e.g. `http://127.0.0.1:3100`; logs go there too when it is set.
    pub loki_url: Option<String>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Json, loki_url: None }
    }
}

/// How log lines look on standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for a terminal.
    Text,
}

/// `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownConfig {
    /// How long work in hand may take to finish after the first signal, in milliseconds.
    pub grace_ms: u64,
}

impl Default for ShutdownConfig {
    /// 10 s: a publication that meets a leader change needs 4 to 7 s.
    fn default() -> Self {
        Self { grace_ms: 10_000 }
    }
}

impl ShellConfig {
    /// The top-level keys of the shell.
    pub(super) const KEYS: &'static [&'static str] =
        &["read_only", "http", "log", "shutdown", "flags"];

    /// Keys that a reload may change.
    pub(super) const RELOADABLE: &'static [&'static str] = &["read_only", "log.level", "flags"];

    /// The grace period.
    pub const fn grace(&self) -> Duration {
        Duration::from_millis(self.shutdown.grace_ms)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.log.loki_url {
            url::Url::parse(url).map_err(|error| ConfigError::Value {
                path: "log.loki_url".to_owned(),
                origin: String::new(),
                reason: format!("not a URL: {error}"),
            })?;
        }
        tracing_subscriber::EnvFilter::try_new(&self.log.level).map_err(|error| {
            ConfigError::Value {
                path: "log.level".to_owned(),
                origin: String::new(),
                reason: error.to_string(),
            }
        })?;
        Ok(())
    }
}
