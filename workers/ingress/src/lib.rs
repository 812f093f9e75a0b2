//! What all ingresses share, whatever their miners speak: which work is current, what a miner's
//! search space is and how its shares are judged, the lane's way to the bus, and the shell around
//! a leased lane.
//!
//! An ingress is a worker of its own that adds a [`Protocol`]: how a connection is read, and what it
//! is answered.

mod config;

pub mod domain;

pub mod port;

mod figures;

pub mod publisher;

pub mod shared;

pub mod door;

pub mod doorman;

mod proxy;

mod socket;

pub mod session;

pub mod server;

pub mod blocks;

pub mod facts;

mod templates;

mod lease;

mod tenure;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use config::{Deadlines, Keyed, Keys, Limits, Vardiff, network_name};
pub use doorman::Place;
pub use figures::Figures;
pub use server::{Protocol, Visit};
pub use session::Client;
pub use shared::{Shared, Standing};
pub use socket::{Lost, Reading, Socket};
pub use tenure::run;
