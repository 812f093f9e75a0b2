//! What is held of every input of a stranger. A fuzzer calls these functions with inputs of its own,
//! and `tests/corpus.rs` with those that are kept.
#![expect(unreachable_pub, reason = "a part of several programs")]

mod lines;
mod messages;
mod names;

pub use lines::{v1_conversation, v1_line};
pub use messages::{v2_connection, v2_frame};
pub use names::{identity, password};
