//! The 80 bytes that are hashed.

use crate::{ShareFields, TipWork, hash};
use subjects::{BlockHash, blocks::HEADER_LENGTH};

/// The root of a tree whose first leaf is a coinbase, of whatever pool: serialized without witnesses,
/// and followed by the `path` that its hash takes.
pub fn merkle_root_of(coinbase: &[u8], path: &[[u8; 32]]) -> [u8; 32] {
    hash::merkle_root(hash::sha256d(coinbase), path)
}

/// A block header, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Version.
    pub version: u32,
    /// Hash of the previous block.
    pub prevhash: BlockHash,
    /// Root of the tree of transaction ids.
    pub merkle_root: [u8; 32],
    /// Time, in seconds since 1970.
    pub ntime: u32,
    /// Compact target.
    pub nbits: u32,
    /// Nonce.
    pub nonce: u32,
}

impl Header {
    /// The header of a share on `tip` whose job gives `merkle_root`.
    pub const fn of(tip: &TipWork, merkle_root: [u8; 32], share: &ShareFields<'_>) -> Self {
        Self {
            version: share.version,
            prevhash: tip.prevhash(),
            merkle_root,
            ntime: share.ntime,
            nbits: tip.nbits(),
            nonce: share.nonce,
        }
    }

    /// Takes 80 bytes apart; `None` for any other number of them.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (version, bytes) = bytes.split_first_chunk()?;
        let (prevhash, bytes) = bytes.split_first_chunk()?;
        let (merkle_root, bytes) = bytes.split_first_chunk()?;
        let (ntime, bytes) = bytes.split_first_chunk()?;
        let (nbits, bytes) = bytes.split_first_chunk()?;
        let nonce = bytes.try_into().ok()?;
        Some(Self {
            version: u32::from_le_bytes(*version),
            prevhash: BlockHash(*prevhash),
            merkle_root: *merkle_root,
            ntime: u32::from_le_bytes(*ntime),
            nbits: u32::from_le_bytes(*nbits),
            nonce: u32::from_le_bytes(nonce),
        })
    }

    /// The 80 bytes.
    pub fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        let parts: [&[u8]; 6] = [
            &self.version.to_le_bytes(),
            &self.prevhash.0,
            &self.merkle_root,
            &self.ntime.to_le_bytes(),
            &self.nbits.to_le_bytes(),
            &self.nonce.to_le_bytes(),
        ];
        let mut rest = bytes.as_mut_slice();
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        bytes
    }

    /// The block's hash, in the byte order of headers.
    pub fn hash(self) -> BlockHash {
        BlockHash(hash::sha256d(&self.to_bytes()))
    }
}
