//! What every ingress decides: no sockets, no bus, no clock. Time is an argument.

pub mod rules;

pub mod turns;

pub mod selection;

pub mod allowance;

pub mod admission;

pub mod reject_run;

pub mod numbers;

pub mod miner;

pub mod job;

pub mod vardiff;

pub mod proofs;

pub mod lane;

pub mod space;

pub mod parking;

pub mod ledger;

pub mod desk;

pub mod closing;

pub mod rejections;

use std::time::Duration;
use subjects::Timestamp;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since some fixed moment; never runs backwards. Decides.
    pub elapsed: Duration,
    /// The wall clock. Only told.
    pub at: Timestamp,
}
