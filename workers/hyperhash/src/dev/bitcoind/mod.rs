//! bitcoind on a private signet, whose blocks need proof of work but no signature.

pub mod config;

pub mod chain;

pub mod wallet;

use std::time::Duration;

/// Mining a block on one processor takes a second, more once the difficulty has climbed.
pub const MINING_DEADLINE: Duration = Duration::from_secs(120);

/// Where bitcoind keeps its cookie below its data folder: the private signet is a signet.
pub const COOKIE: &str = "signet/.cookie";
