//! Computes and signs what every confirmed block pays.
//!
//! | | |
//! |---|---|
//! | kind | transform |
//! | consumes | `blocks.solved.*`, `blocks.outcome.*`, `rounds.slice.closed.*`, `rounds.slice.lines.*.*` |
//! | publishes | `payouts.statement.{id}.{revision}` |
//! | state | slices and blocks without their lines; rebuilt from `BLOCKS` and `ROUNDS` |
//! | instances | one active + standby, by a fenced lease |
//! | invariant | T + N + M + F is the coinbase's value, and every interleaving of the facts gives the same bytes |

#![cfg_attr(
    not(test),
    warn(clippy::arithmetic_side_effects, clippy::float_arithmetic, clippy::integer_division)
)]

pub mod split;

pub mod slices;

pub mod coinbase;

pub mod book;

pub mod gather;

pub mod statement;

pub mod signature;

pub mod domain;

mod transform;

mod config;

mod worker;

pub use config::Config;
pub use transform::{Heard, Payouts};
pub use worker::PayoutCalculator;
