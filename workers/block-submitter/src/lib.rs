//! Hands solved blocks to bitcoind and says what became of them.
//!
//! | | |
//! |---|---|
//! | kind | sink |
//! | consumes | the request `block.submit.{provider}`, `blocks.claimed.{node}`, `blocks.solved.{hash}`, `templates.new.{provider}`, `templates.tip.{provider}` |
//! | publishes | `blocks.solved.{hash}`, `blocks.submitted.{hash}.{provider}`, `blocks.outcome.{hash}` |
//! | state | blocks without an outcome, recent templates and tips; rebuilt from `BLOCKS` and `TEMPLATES` |
//! | instances | any number submits; outcomes by one active + standby per provider, by a fenced lease |
//! | invariant | neither road waits for the other; a block gets exactly one final outcome |

pub mod domain;

pub mod port;

pub mod config;

pub mod worker;

pub use config::Config;
pub use worker::BlockSubmitter;
