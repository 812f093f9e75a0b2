//! The whole worker against a real nats-server, and a real bitcoind where what it says of a block
//! is at stake.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, outside of test functions"
)]

mod fake;
mod harness;
mod node;
