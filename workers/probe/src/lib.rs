//! What is wrong between a miner and a pool: `hyperhash ping`.
//!
//! A probe goes the way that a miner goes: name, TCP, TLS or Noise, greeting, user name, first job,
//! round trips. Every step ends in a finding that says what was met and what to do about it.
//! [`judge`] decides what a finding is, without I/O; everything else fetches what it judges.

pub mod judge;

pub mod report;

mod pool;

mod probe;

mod walk;

mod reach;

mod tee;

mod tls;

mod stranger;

mod v2;

mod lines;

mod v1;

pub use pool::{InvalidPool, Pool};
pub use probe::{Probe, run};
pub use report::{Latency, Name, Report, Step, Verdict};
pub use tls::{Trust, TrustError};
