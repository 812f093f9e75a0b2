//! A job of the pool on a tip, and what a share on it is worth.

use mining::{Header, Target, merkle_root_of};
use std::time::Duration;
use subjects::BlockHash;

/// Version bits that miners roll: those of BIP 320, which every pool and all firmware know. The later
/// BIP 323 has them too.
pub const VERSION_MASK: u32 = 0x1fff_e000;

/// What becomes of the jobs before.
pub use stratum_v1::Clean;

/// A job that may be mined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The opened channel that it was given on: each opening has a number of its own.
    pub opening: u64,
    /// The pool's number of it.
    pub id: u32,
    /// The pool's version of the header.
    pub version: u32,
    /// Whether other bits of the version may be used.
    pub rolling: bool,
    /// The tip's hash, as it stands in a header.
    pub prevhash: [u8; 32],
    /// The header's target.
    pub nbits: u32,
    /// The least time of a header, when the job came.
    pub min_ntime: u32,
    /// When it came.
    pub since: Duration,
    /// The coinbase up to what is rolled: the pool's part of the extranonce is in it.
    pub coinbase_prefix: Vec<u8>,
    /// The coinbase after what is rolled.
    pub coinbase_suffix: Vec<u8>,
    /// What the coinbase's hash is hashed with on its way to the merkle root.
    pub merkle_path: Vec<[u8; 32]>,
    /// Bytes that are rolled.
    pub rolled: usize,
    /// What the pool takes as a share.
    pub target: Target,
    /// Whether it is the first on its tip.
    pub clean: Clean,
}

/// A share's part of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// All that is rolled of the extranonce.
    pub extranonce: &'a [u8],
    /// Time.
    pub ntime: u32,
    /// Nonce.
    pub nonce: u32,
    /// Version.
    pub version: u32,
}

/// How far a hash reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is nothing.
    Nothing,
    /// The miner's own target: seen, but too easy for the pool.
    Miner,
    /// The pool's target, or the block's.
    Pool,
}

impl Job {
    /// The version that miners are told: bits that they may roll are clear, since firmware does not
    /// agree on what to do with bits that are not.
    pub const fn told_version(&self) -> u32 {
        if self.rolling { self.version & !VERSION_MASK } else { self.version }
    }

    /// Bits that may be rolled.
    pub const fn mask(&self) -> u32 {
        if self.rolling { VERSION_MASK } else { 0 }
    }

    /// The least time of a header now: as many seconds after the pool's as have passed.
    pub fn least_ntime(&self, now: Duration) -> u32 {
        let passed = now.saturating_sub(self.since).as_secs();
        self.min_ntime.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// How far a share reaches whose miner was asked for `asked`.
    pub fn reach(&self, fields: &Fields<'_>, asked: Target) -> Reach {
        let coinbase =
            [self.coinbase_prefix.as_slice(), fields.extranonce, &self.coinbase_suffix].concat();
        let header = Header {
            version: fields.version,
            prevhash: BlockHash(self.prevhash),
            merkle_root: merkle_root_of(&coinbase, &self.merkle_path),
            ntime: fields.ntime,
            nbits: self.nbits,
            nonce: fields.nonce,
        };
        let hash = header.hash().0;
        let solves = || Target::from_nbits(self.nbits).is_ok_and(|block| block.is_met_by(&hash));
        if self.target.is_met_by(&hash) || solves() {
            Reach::Pool
        } else if asked.is_met_by(&hash) {
            Reach::Miner
        } else {
            Reach::Nothing
        }
    }
}
