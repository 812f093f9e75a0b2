//! What the shell promises about the bus, kept against a real nats-server that crashes, freezes,
//! fills up and is made anew.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

mod batch;
mod bucket;
mod connection;
mod drive;
mod lease;
mod partitions;
mod probes;
mod publish;
mod queue;
mod read;
mod request;
mod support;
