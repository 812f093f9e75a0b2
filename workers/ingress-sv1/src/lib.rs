//! Serves Stratum V1 miners and hands their shares to the bus.
//!
//! | | |
//! |---|---|
//! | kind | source |
//! | consumes | Stratum V1, plain or over TLS; `templates.new.{provider}`, `templates.tip.{provider}` |
//! | publishes | `shares.submitted.{node}.{lane}`, `shares.rejected.{node}.{lane}`, `sessions.{node}.{lane}`, `blocks.claimed.{node}`; asks `block.submit.{provider}` |
//! | state | per connection its search space, its last jobs and the proofs on the tip, bounded; nothing outlives the process but the lane's boot epoch |
//! | instances | many, each on a leased lane of its own |
//! | invariant | a miner is told `true` for its share only after the bus has stored it and all that it sent before |

mod config;

pub mod domain;

pub mod session;

mod tls;

mod worker;

pub use config::{Config, Rented, Tls};
pub use worker::IngressSv1;
