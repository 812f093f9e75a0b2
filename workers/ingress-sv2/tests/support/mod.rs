//! Templates, tips and a client that speaks with the library's types.
#![expect(dead_code, unreachable_pub, reason = "every test program uses another part of it")]
#![expect(clippy::wildcard_enum_match_arm, reason = "most messages do not concern most readers")]

pub mod client;
pub mod pool;
pub mod proxy;
pub mod transcript;
