//! The recorder against real servers: PostgreSQL with TimescaleDB, and NATS.
#![expect(clippy::unwrap_used, reason = "a test that meets something unexpected has failed")]

mod book;

mod crashes;

mod database;

mod facts;

mod schema;

mod streams_to_tables;

mod throughput;
