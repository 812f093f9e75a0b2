//! bitcoind on a private signet, whose blocks need proof of work but no signature.

pub mod config;

pub mod chain;

pub mod wallet;

/// Where bitcoind keeps its cookie below its data folder: the private signet is a signet.
pub const COOKIE: &str = "signet/.cookie";
