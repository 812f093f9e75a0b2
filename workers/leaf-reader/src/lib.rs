//! Brings what nodes keep for Core into Core.
//!
//! | | |
//! |---|---|
//! | kind | source |
//! | consumes | `OUT_SHARES` and `OUT_FACTS` of every node's leaf, over the leaf's own link; the bucket `LEAVES` |
//! | publishes | under the name of the link's node: `shares.submitted.{node}.{lane}`, `shares.rejected.{node}.{lane}`, `sessions.{node}.{lane}`, `blocks.claimed.{node}`, `node.telemetry.{node}`, `node.event.{node}`, `node.command.done.{node}` |
//! | state | how far each leaf was read, in the bucket `LEAF_POSITIONS`; it follows what CORE has stored |
//! | instances | one per partition of nodes, by a fenced lease |
//! | invariant | a leaf's messages enter CORE in their order, none is passed over, and none says that another node sent it |

pub mod domain;

mod config;

mod position;

mod reading;

mod worker;

pub use config::Config;
pub use worker::LeafReader;
