//! The keys of this worker.

use serde::{Deserialize, Serialize};
use worker_runtime::{BusConfig, WorkerConfig};

/// The configuration of a round tracker, beside the shell's own sections.
///
/// ```
/// let config: round_tracker::Config = worker_runtime::config::parse(
///     r#"
///     progress_interval_ms = 1000
///
///     [bus]
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/round-tracker.creds"
///     tls = { ca_file = "/etc/hyperhash/ca.pem" }
///     "#,
/// )?;
/// assert_eq!(config.progress_interval_ms, 1_000);
/// # Ok::<(), worker_runtime::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bus, in the account CORE.
    pub bus: BusConfig,
    /// Least time between two messages of `rounds.progress`, in milliseconds.
    #[serde(default = "default_progress_interval_ms")]
    pub progress_interval_ms: u64,
}

impl WorkerConfig for Config {
    const RELOADABLE: &'static [&'static str] = &["progress_interval_ms"];

    fn check(&self) -> Result<(), String> {
        if self.progress_interval_ms == 0 {
            return Err("`progress_interval_ms` must be at least 1".to_owned());
        }
        Ok(())
    }
}

/// A person who watches a round needs no more.
const fn default_progress_interval_ms() -> u64 {
    1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_nothing_and_unknown_keys_are_refused() {
        let parse = worker_runtime::config::parse::<Config>;
        let bus = "[bus]\nurl = \"nats://127.0.0.1:4222\"";
        assert!(parse(bus).is_ok());
        assert!(parse(&format!("progress_interval_ms = 0\n{bus}")).is_err());
        assert!(parse(&format!("progress = 1\n{bus}")).is_err());
    }
}
