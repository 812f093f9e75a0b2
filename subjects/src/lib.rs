//! What is said on the Hyper Hash Network: every fact, its subject and its identity. No I/O.
//!
//! Modules stand in the order in which a share meets them: a template is published, a miner's
//! session opens, a batch of shares is submitted and judged, a block is solved, slices and rounds
//! close over the shares, a statement pays them.

pub mod templates;

pub mod sessions;

pub mod shares;

pub mod blocks;

pub mod rounds;

pub mod payouts;

pub mod parked;

mod envelope;
mod hexed;
mod ids;
mod payload;
mod subject;
mod units;

pub use envelope::{HEADER_MESSAGE_ID, HEADER_TRACE_PARENT, HEADER_TYPE, Message};
pub use hexed::HexBytes;
pub use ids::{
    BlockHash, BootEpoch, InvalidLane, InvalidToken, Lane, MAX_TOKEN_LENGTH, MinerId, NodeId,
    ProviderId, ShareId, TemplateId,
};
pub use payload::{Codec, DecodeError, Payload, view};
pub use subject::{Subject, UnknownSubject};
pub use units::{Exponent, ExponentOutOfRange, Sats, Timestamp, Work};
