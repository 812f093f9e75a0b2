//! The shell that all workers share: everything that touches the world, so that they need not.
//!
//! A worker's decision returns values ([`outcome`]); this crate carries them out on the real bus
//! ([`drive`]) or on the simulated one ([`sim`]). Modules stand in the order in which a process
//! meets them: its clock and figures, its configuration, its life, its bus, its leases, its loop.

pub mod clock;

pub mod metric;

pub mod config;

pub mod secret;

pub mod trace;

mod causes;
mod context;
mod http;
mod logging;
mod process;

pub mod handover;

pub mod outcome;

pub mod transform;

pub mod bus;

pub mod lease;

mod drive;

pub mod sim;

#[cfg(feature = "testing")]
pub mod testing;

pub use bus::{Bus, BusConfig, Delivery, Publication, PublishError, Stored, TlsConfig, Traced};
pub use causes::causes;
pub use config::WorkerConfig;
pub use context::Context;
pub use drive::{DriveError, Source, drive, drive_to};
pub use process::{Process, Setting, Worker, run};
