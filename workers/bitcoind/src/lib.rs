//! What the workers beside a bitcoind agree on.
//!
//! | | |
//! |---|---|
//! | kind | library |
//! | consumes | bitcoind's JSON-RPC |
//! | publishes | nothing: it answers |
//! | state | none |
//! | instances | wherever a worker speaks with a bitcoind |
//! | invariant | a template's block can be rebuilt from what its publisher stored |
//!
//! - [`Rpc`]: a small JSON-RPC client with deadlines and errors that say what to check;
//! - [`Chain`]: the constants of a chain that bitcoind does not tell;
//! - [`node`]: whether a bitcoind may be believed at all;
//! - [`merkle`]: the path from a coinbase to the root, and the witness commitment;
//! - [`transactions`]: how a template's transactions are kept, so that any provider's submitter can
//!   rebuild its block;
//! - [`block`]: header, coinbase and transactions put together.
//!
//! `template-publisher` writes what `block-submitter` reads; this crate is where they cannot
//! disagree.

mod chain;

mod config;

mod error;

mod answers;

mod transport;

mod client;

mod backoff;

pub mod node;

pub mod merkle;

pub mod transactions;

pub mod block;

pub use answers::{
    BlockTemplate, Deployment, Deployments, Header, NodeState, SubmitAnswer, TemplateTransaction,
};
pub use backoff::Backoff;
pub use chain::{Chain, UnknownChain};
pub use client::Rpc;
pub use config::{InvalidUrl, RpcConfig};
pub use error::RpcError;
