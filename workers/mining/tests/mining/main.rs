//! Examples, properties and oracles of the judge.
#![expect(
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::panic,
    reason = "helpers of tests fail as tests do: by panicking"
)]

mod claim;
mod coinbase;
mod fixtures;
mod identity;
mod judge;
mod oracle;
mod prefix;
mod target;
