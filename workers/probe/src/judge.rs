//! What is wrong, and what to do about it. Pure: what was met comes in, a finding goes out.

mod codes;

mod difficulty;

mod greeting;

mod handshake;

mod latency;

mod network;

mod time;

mod tls;

pub use codes::{channel_refused, setup_refused};
pub use difficulty::{Difficulty, difficulty};
pub use greeting::{Doing, End, conversation, refusal};
pub use handshake::{KeyHolds, Stranger, certificate, not_noise};
pub use latency::latency;
pub use network::{connected, unreachable, unresolved};
pub use time::{Told, clock};
pub use tls::{TlsFault, tls};
