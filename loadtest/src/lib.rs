//! Miners, nodes and faults as scenarios against a running network, and the audit that ends them.
//!
//! Modules stand in the order in which a scenario uses them: a miner that hashes for real and
//! remembers every acknowledgement, many cheap ones at once, the audit that asks stream, database and
//! slices for each of those, a whole network, what can go wrong with it, and what it costs.

pub mod sv1;

pub mod miner;

pub mod fleet;

pub mod audit;

pub mod network;

pub mod faults;

pub mod bench;

pub mod cli;

mod node;

mod key;

mod partitions;

pub use key::{InvalidShareKey, ShareKey};
