//! Templates, tips, shares and a whole ingress on a loopback port, for the tests of all ingresses.
#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test fails by panicking")]

pub mod desk;
pub mod pool;
pub mod shares;
pub mod work;
