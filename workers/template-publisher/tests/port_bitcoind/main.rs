//! The whole worker against a real nats-server, and a real bitcoind where what is said about one
//! is at stake.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside of test functions"
)]

mod failover;
mod harness;
mod node;
