//! The keys of this worker.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use subjects::payouts::RewardRule;
use worker_runtime::{BusConfig, WorkerConfig};

/// The configuration of a payout calculator, beside the shell's own sections.
///
/// ```
/// let config: payout_calculator::Config = worker_runtime::config::parse(
///     r#"
///     reward_rule = { kind = "window", factor = 2 }
///     key_file = "/etc/hyperhash/statement.key"
///     valid_days = 30
///
///     [bus]
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/payout-calculator.creds"
///
///     [money_bus]
///     url = "tls://core.example:4222"
///     creds_file = "/etc/hyperhash/payout-calculator-money.creds"
///     "#,
/// )?;
/// assert_eq!(config.max_message_bytes, 8_000_000);
/// # Ok::<(), worker_runtime::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bus, in the account CORE: blocks and slices are read there.
    pub bus: BusConfig,
    /// The bus, in the account MONEY: statements are written there.
    pub money_bus: BusConfig,
    /// How a block's subsidy is split. A setting of the network: all calculators have the same.
    #[serde(default = "default_reward_rule")]
    pub reward_rule: RewardRule,
    /// File with the key that signs statements: Ed25519 in PEM (PKCS #8), or its seed as 64
    /// hexadecimal digits.
    pub key_file: PathBuf,
    /// How long a statement may be paid, in days after the block's outcome was said.
    #[serde(default = "default_valid_days")]
    pub valid_days: u32,
    /// Largest statement, in bytes: what one message of the bus may have (`max_payload` of the
    /// servers) with room for its headers.
    #[serde(default = "default_max_message_bytes")]
    pub max_message_bytes: usize,
}

/// Longest validity of a statement, in days: one that nobody paid in ten years is looked at first.
const MAX_VALID_DAYS: u32 = 3_650;

impl WorkerConfig for Config {
    fn check(&self) -> Result<(), String> {
        if !(1..=MAX_VALID_DAYS).contains(&self.valid_days) {
            return Err(format!("`valid_days` must be 1 to {MAX_VALID_DAYS}"));
        }
        match self.reward_rule {
            RewardRule::Window { factor: 0 } => {
                Err("`reward_rule.factor` must be at least 1".to_owned())
            }
            RewardRule::Window { .. } | RewardRule::Round => Ok(()),
        }
    }
}

/// Two blocks' worth of work: hopping does not pay, and luck evens out within days.
const fn default_reward_rule() -> RewardRule {
    RewardRule::Window { factor: 2 }
}

/// A month is longer than any outage of payments that nobody attends to.
const fn default_valid_days() -> u32 {
    30
}

/// 8 MB, less some room for headers: about 46 000 payees.
const fn default_max_message_bytes() -> usize {
    8_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(keys: &str) -> Result<Config, String> {
        let text = format!(
            "{keys}\nkey_file = \"k\"\n[bus]\nurl = \"nats://c\"\n[money_bus]\nurl = \"nats://m\""
        );
        worker_runtime::config::parse(&text).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn both_rules_can_be_written() {
        assert_eq!(parse("").unwrap().reward_rule, RewardRule::Window { factor: 2 });
        let round = parse("reward_rule = { kind = \"round\" }").unwrap();
        assert_eq!(round.reward_rule, RewardRule::Round);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        assert!(parse("valid_days = 0").is_err());
        assert!(parse("reward_rule = { kind = \"window\", factor = 0 }").is_err());
        assert!(parse("reward_rule = { kind = \"lottery\" }").is_err());
        assert!(parse("key = \"secret\"").is_err());
    }
}
