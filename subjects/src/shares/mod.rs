//! `shares.*`: proofs of work, from the miner's socket to the accounting record.
//!
//! `shares.submitted` (an ingress judged them good) → `shares.accepted` or `shares.refused` (Core
//! hashed them again). What an ingress itself turned away is `shares.rejected`, as counts.
//!
//! Bodies of submitted, accepted and refused batches are protocol buffers ([`wire`]); the types
//! here are what those bytes mean once every bound was checked.

mod accepted;
mod refused;
mod rejected;
mod submitted;
pub mod wire;

pub use accepted::{Accepted, AcceptedJob, AcceptedShare};
pub use refused::{Reason, Refusal, Refused};
pub use rejected::{MAX_COUNTS, Rejected, RejectedCount};
pub use submitted::{Extranonce, Job, JobKind, Share, Submitted, WorkSource};

use crate::{DecodeError, Lane, NodeId, Subject, UnknownSubject, payload::tokens_of};
use std::fmt;

/// Most shares in one message: a synced write costs the same for 1 share or for 256.
pub const MAX_SHARES: usize = 256;
/// Most jobs that one batch refers to: at worst every share has its own.
pub const MAX_JOBS: usize = MAX_SHARES;
/// Most worker names in one batch.
pub const MAX_WORKERS: usize = MAX_SHARES;
/// Longest identity or worker name in bytes: SV2's `STR0_255`.
pub const MAX_NAME_LENGTH: usize = 255;
/// Longest extranonce, prefix included: SV2's `B0_32`.
pub const MAX_EXTRANONCE_LENGTH: usize = 32;
/// Channel numbers have three bytes.
pub const MAX_CHANNEL: u32 = 0x00ff_ffff;

/// `<domain…>.{node}.{lane}`.
pub(crate) fn lane_subject(domain: &[&str], node: &NodeId, lane: Lane) -> Subject {
    let mut tokens: Vec<&dyn fmt::Display> = Vec::with_capacity(4);
    tokens.extend(domain.iter().map(|token| token as &dyn fmt::Display));
    tokens.push(node);
    tokens.push(&lane);
    Subject::join(&tokens)
}

/// Takes a subject of the form `….{node}.{lane}` apart.
pub(crate) fn lane_address(
    subject: &str,
    form: &'static str,
) -> Result<(NodeId, Lane), UnknownSubject> {
    let refuse = || UnknownSubject { subject: subject.to_owned(), expected: form };
    let [node, lane] = tokens_of(subject, form)?;
    Ok((node.parse().map_err(|_| refuse())?, lane.parse().map_err(|_| refuse())?))
}

pub(crate) fn bounded<T>(field: &'static str, items: &[T], most: usize) -> Result<(), DecodeError> {
    if items.len() > most {
        return Err(DecodeError::field(field, format!("{} entries, {most} allowed", items.len())));
    }
    Ok(())
}

pub(crate) fn name(field: &'static str, text: String) -> Result<String, DecodeError> {
    if text.len() > MAX_NAME_LENGTH {
        return Err(DecodeError::field(field, "longer than 255 bytes"));
    }
    Ok(text)
}

pub(crate) fn lane_number(lane: u32) -> Result<Lane, DecodeError> {
    u16::try_from(lane).map(Lane).map_err(|error| DecodeError::field("lane", error))
}

pub(crate) fn epoch_number(epoch: u32) -> Result<crate::BootEpoch, DecodeError> {
    u16::try_from(epoch)
        .map(crate::BootEpoch)
        .map_err(|error| DecodeError::field("boot_epoch", error))
}

pub(crate) fn node_id(node: &str) -> Result<NodeId, DecodeError> {
    node.parse().map_err(|error: crate::InvalidToken| DecodeError::field("node", error))
}
