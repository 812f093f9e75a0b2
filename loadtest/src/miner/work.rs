//! What hashing threads are given, and what they give back.

use mining::Target;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A job on a tip, ready to be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// The job's number.
    pub(super) job: u32,
    /// Distinguishes this work from earlier ones, also of the same job number.
    pub(super) generation: u64,
    /// The job's version.
    pub(super) version: u32,
    /// Version bits that may be rolled.
    pub(super) version_mask: u32,
    /// Previous block.
    pub(super) prevhash: [u8; 32],
    /// Compact target of the block.
    pub(super) nbits: u32,
    /// Least time of the header.
    pub(super) min_ntime: u32,
    /// When `min_ntime` was learned, on the miner's monotonic clock.
    pub(super) since: Duration,
    /// What a hash must meet to be a share.
    pub(super) target: Target,
    /// Where merkle roots come from.
    pub(super) source: Source,
}

/// Where merkle roots come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// From a coinbase around an extranonce that the miner rolls.
    Extended {
        /// The coinbase up to what the miner rolls.
        before: Vec<u8>,
        /// Bytes that the miner rolls.
        rolled: usize,
        /// The coinbase after it.
        after: Vec<u8>,
        /// Hashes from the coinbase to the root.
        path: Vec<[u8; 32]>,
    },
    /// The pool computed it.
    Standard([u8; 32]),
}

/// A hash that meets the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) job: u32,
    pub(super) generation: u64,
    pub(super) nonce: u32,
    pub(super) ntime: u32,
    pub(super) version: u32,
    /// What was rolled; empty on a standard channel.
    pub(super) extranonce: Vec<u8>,
    pub(super) hash: [u8; 32],
}

impl Work {
    /// The header's time at `now`: one second is one second (SV2 section 5.3, nTime rolling).
    pub(super) fn ntime_at(&self, now: Duration) -> u32 {
        let elapsed = now.saturating_sub(self.since).as_secs();
        let elapsed = u32::try_from(elapsed).unwrap_or(u32::MAX).min(mining::NTIME_WINDOW_SECS);
        self.min_ntime.saturating_add(elapsed)
    }

    /// The bytes to roll for the `space`-th piece of header space: its number, big endian, at the
    /// end of the extranonce.
    pub(super) fn extranonce(&self, space: u64) -> Vec<u8> {
        match &self.source {
            Source::Standard(_) => Vec::new(),
            Source::Extended { rolled, .. } => {
                let number = space.to_be_bytes();
                let padding = rolled.saturating_sub(number.len());
                let digits = number.iter().skip(number.len().saturating_sub(*rolled));
                std::iter::repeat_n(0, padding).chain(digits.copied()).collect()
            }
        }
    }

    /// The merkle root for an extranonce.
    pub(super) fn merkle_root(&self, extranonce: &[u8]) -> [u8; 32] {
        match &self.source {
            Source::Standard(root) => *root,
            Source::Extended { before, after, path, .. } => {
                let coinbase = Sha256::new().chain_update(before).chain_update(extranonce);
                let txid = Sha256::digest(coinbase.chain_update(after).finalize()).into();
                path.iter().fold(txid, |left: [u8; 32], right| {
                    let pair = Sha256::new().chain_update(left).chain_update(right);
                    Sha256::digest(pair.finalize()).into()
                })
            }
        }
    }
}
