//! Serves Stratum V2 miners and hands their shares to the bus.
//!
//! | | |
//! |---|---|
//! | kind | source |
//! | consumes | Stratum V2 over Noise; `templates.new.{provider}`, `templates.tip.{provider}` |
//! | publishes | `shares.submitted.{node}.{lane}`, `shares.rejected.{node}.{lane}`, `sessions.{node}.{lane}`, `blocks.claimed.{node}`; asks `block.submit.{provider}` |
//! | state | per connection its channels, their last jobs and the proofs on the tip, bounded; nothing outlives the process but the lane's boot epoch |
//! | instances | many, each on a leased lane of its own |
//! | invariant | a miner is told that its share counts only after the bus has stored it and all that it sent before |

mod config;

pub mod noise;

pub mod wire;

pub mod domain;

pub mod session;

mod worker;

pub use config::Config;
pub use worker::IngressSv2;
