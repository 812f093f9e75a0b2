//! The one judge that an ingress and the verifier share: template → coinbase → job → header →
//! verdict. Pure: no I/O, no clock, no randomness, no runtime.
//!
//! | | |
//! |---|---|
//! | kind | library |
//! | consumes | `templates.new.{provider}`, `templates.tip.{provider}`, shares, as values |
//! | publishes | nothing: it answers |
//! | state | none |
//! | instances | wherever a share is judged |
//! | invariant | price, owner and template of a share are inside the coinbase that it hashed |
//!
//! A coinbase, without its witness, is laid out so:
//!
//! ```text
//! version │ 1 input: null outpoint │ scriptSig: BIP 34 height, PUSH(tag ‖ k ‖ extranonce) │ sequence
//! outputs: S → treasury │ F → finder │ the template's own (witness commitment) │ lock time
//! ```
//!
//! Everything before the extranonce, exponent `k` included, is the `coinbase_tx_prefix` of a job;
//! everything after it is the `coinbase_tx_suffix`.

pub mod identity;

pub mod payee;

pub mod target;

pub mod hashrate;

pub mod prefix;

pub mod template;

pub mod coinbase;

pub mod tip;

pub mod job;

pub mod header;

pub mod judge;

pub mod block;

mod hash;

pub use bitcoin::Network;
pub use block::{CheckedClaim, ClaimError, Solution, check_claim, solution};
pub use coinbase::Split;
pub use hashrate::{Hashrate, InvalidHashrate};
pub use header::{Header, merkle_root_of};
pub use identity::{Identity, IdentityError, Kind, Parsed, Policy};
pub use job::{Job, ShareFields};
pub use judge::{Fingerprint, Judged, judge, judge_on_root};
pub use payee::Payee;
pub use prefix::{Layout, Prefix, PrefixError};
pub use target::{InvalidNbits, Target};
pub use template::{TemplateError, WorkTemplate};
pub use tip::{TipError, TipWork};

/// The version of the coinbase rule that this crate implements: layout of the scriptSig, order of
/// the outputs, dust constants.
pub const RULES_VERSION: u16 = 1;

/// Version bits that a miner may roll (BIP 323, which replaced BIP 320 in 2026).
pub const VERSION_MASK: u32 = 0x1fff_ffe0;

/// How far a header's time may lie after the tip's least time, in seconds: the two hours that
/// consensus allows over network time.
pub const NTIME_WINDOW_SECS: u32 = 7_200;

/// Length of the whole extranonce of every SV2 channel, prefix included, in bytes.
pub const SV2_EXTRANONCE_LENGTH: u8 = 20;

/// Bytes that the miner of an SV2 extended channel rolls: what the prefix leaves.
pub const SV2_ROLLED_LENGTH: u8 = SV2_EXTRANONCE_LENGTH - prefix::SV2_LENGTH;

/// Longest extranonce that a coinbase of ours has room for, in bytes.
pub const MAX_EXTRANONCE_LENGTH: u8 = SV2_EXTRANONCE_LENGTH;

/// Longest scriptSig of a coinbase, in bytes (consensus).
pub const MAX_SCRIPT_SIG_LENGTH: usize = 100;
