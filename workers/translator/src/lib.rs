//! Serves Stratum V1 miners with the work of one Stratum V2 pool, ours or anybody's.
//!
//! | | |
//! |---|---|
//! | kind | proxy, not on the bus |
//! | consumes | Stratum V1 of miners; Stratum V2 of the first pool of a list that is there |
//! | publishes | nothing: shares go to the pool |
//! | state | per miner its last jobs and the shares that wait for the pool, bounded; nothing outlives the process |
//! | instances | as many as there are sites |
//! | invariant | a miner is told `true` for its share only after the pool has said that it is stored, but for shares of a difficulty of its own below a shared channel's |

mod config;

pub mod domain;

mod figures;

mod shared;

mod hub;

mod upstream;

mod session;

mod server;

mod worker;

pub use config::{Config, Deadlines, Limits, Preset};
pub use worker::Translator;
