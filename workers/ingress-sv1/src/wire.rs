//! Lines of Stratum V1: JSON-RPC as miners have come to write it, and what we answer.
//!
//! There is no specification. What miners send and expect is written down as tests, by the name of
//! the firmware: `tests/firmware.rs`.

mod difficulty;
mod read;
mod write;

pub use difficulty::{Difficulty, InvalidDifficulty};
pub use read::{Authorize, Call, Configure, Inbound, LineFault, Submit, Subscribe, read};
pub use write::{Clean, Id, Lines, Notify, Refusal};
