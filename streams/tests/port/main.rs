//! Against real servers: a hub in operator mode with TLS, leaves with mutual TLS, everything
//! configured, keyed and declared by this crate.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and shows the servers' logs when it does"
)]

mod data;
mod flow;
mod hostile_node;
mod raw_link;
mod reconcile;
mod world;
