//! Decides whether a submitted share counts.
//!
//! | | |
//! |---|---|
//! | kind | transform |
//! | consumes | `shares.submitted.{node}.{lane}`, `templates.new.{provider}`, `templates.tip.{provider}`, the bucket `LANE_OWNERS` |
//! | publishes | `shares.accepted.{node}.{lane}`, `shares.refused.{node}.{lane}`, `blocks.solved.{hash}` |
//! | state | proofs seen per lane and tip, bounded; rebuilt from the lane's own subject |
//! | instances | one per lane partition, by a fenced lease |
//! | invariant | a proof is credited at most once, whatever the bus redelivers |

pub mod domain;

mod config;

mod worker;

pub use config::Config;
pub use worker::ShareVerifier;
