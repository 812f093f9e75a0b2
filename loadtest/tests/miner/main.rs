//! The miner against a pool that the test plays by hand: real sockets, real Noise, real hashes.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests fail as tests do, and wait for one thing among many"
)]

mod pool;
mod story;
