//! Writes shares and refusals, blocks, rounds and statements into TimescaleDB.
//!
//! | | |
//! |---|---|
//! | kind | sink |
//! | consumes | `shares.accepted.{node}.{lane}`, `shares.refused.{node}.{lane}`, `shares.rejected.{node}.{lane}`, `blocks.solved.{hash}`, `blocks.outcome.{hash}`, `rounds.closed.{n}`, `payouts.statement.{id}` |
//! | publishes | nothing |
//! | state | none: the positions are in the database, in the transactions that write the rows |
//! | instances | one active + standby |
//! | invariant | a message of a stream is in the database exactly once, whatever fails and however many recorders run |

pub mod domain;

mod config;

pub mod port;

mod migrations;

mod postgres;

mod feed;

mod worker;

pub use config::{Config, Database};
pub use migrations::migrations;
pub use postgres::{PostgresBook, pool};
pub use worker::ShareRecorder;
