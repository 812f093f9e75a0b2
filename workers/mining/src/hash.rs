//! Double SHA-256, in the byte order that headers use.

use sha2::{Digest, Sha256};

/// SHA-256 of the SHA-256 that `inner` is about to give.
pub(crate) fn finish(inner: Sha256) -> [u8; 32] {
    Sha256::digest(inner.finalize()).into()
}

/// Double SHA-256 of `bytes`.
pub(crate) fn sha256d(bytes: &[u8]) -> [u8; 32] {
    finish(Sha256::new_with_prefix(bytes))
}

/// Folds a leaf up a merkle path whose nodes are all on the right: the coinbase is the first leaf.
pub(crate) fn merkle_root(leaf: [u8; 32], path: &[[u8; 32]]) -> [u8; 32] {
    path.iter().fold(leaf, |left, right| {
        let mut pair = [0; 64];
        let (first, second) = pair.split_at_mut(32);
        first.copy_from_slice(&left);
        second.copy_from_slice(right);
        sha256d(&pair)
    })
}
