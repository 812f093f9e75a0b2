//! Cuts the stream of accepted shares into slices and rounds.
//!
//! | | |
//! |---|---|
//! | kind | transform |
//! | consumes | `shares.accepted.>` |
//! | publishes | `rounds.slice.lines.{n}.{part}`, `rounds.slice.closed.{n}`, `rounds.closed.{n}`, `rounds.progress` |
//! | state | the open slice and the open round; rebuilt from the last closed slices and the shares after them |
//! | instances | one active + standby, by a fenced lease |
//! | invariant | every message of `SHARES` is in exactly one slice, and the same stream gives the same slices byte for byte |

pub mod entry;

pub mod credits;

pub mod lines;

mod round;

pub mod closing;

pub mod domain;

mod config;

mod worker;

pub use config::Config;
pub use worker::{Heard, RoundTracker, Rounds};
