//! Stratum V1 from the pool's side: JSON-RPC as miners have come to write it, what they are
//! answered, and what is known of those who speak it.
//!
//! There is no specification. What miners send and expect is written down as tests, by the name of
//! the firmware: `workers/ingress-sv1/tests/firmware.rs`.

mod difficulty;

mod read;

mod write;

mod firmware;

mod password;

#[cfg(feature = "testing")]
pub mod testing;

pub use difficulty::{Difficulty, InvalidDifficulty};
pub use firmware::Firmware;
pub use password::{Options, options};
pub use read::{Authorize, Call, Configure, Inbound, LineFault, Submit, Subscribe, read};
pub use write::{Clean, Id, Lines, Notify, Refusal};
