//! What the translator decides: no sockets, no clock. Time and chance are arguments.

pub mod verdict;

pub mod job;

pub mod channel;

pub mod link;

pub mod route;

pub mod closing;

pub mod miner;

/// A miner's connection: a number that no other of this process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinerId(pub u64);
