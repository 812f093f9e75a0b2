//! PostgreSQL with TimescaleDB: its cluster, its roles, its schema.

pub mod cluster;

pub mod database;
