//! Merkle trees of a block: the path from the coinbase, and the witness commitment.
//!
//! Hashes are in the byte order that is hashed, not in the reversed order of their text.

use sha2::{Digest, Sha256};

/// `OP_RETURN`, a push of 36 bytes, and the header that marks a witness commitment (BIP 141).
const COMMITMENT_HEADER: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The witness reserved value that every coinbase of ours carries (BIP 141).
pub const WITNESS_RESERVED_VALUE: [u8; 32] = [0; 32];

/// SHA-256 twice.
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// The hashes from the first leaf, the coinbase, to the root, lowest first. `rest` are the leaves
/// after it; without any, the path is empty and the coinbase is the root.
pub fn path(rest: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut path = Vec::new();
    let mut level = rest.to_vec();
    while let Some((beside, others)) = level.split_first() {
        path.push(*beside);
        // Where a level has an odd number of hashes, the last one is paired with itself.
        let pairs = others.chunks(2).map(|pair| match pair {
            [left, right] => parent(left, right),
            alone => alone.first().map_or([0; 32], |last| parent(last, last)),
        });
        level = pairs.collect();
    }
    path
}

/// The root above a first leaf and its path.
pub fn root<'a>(leaf: [u8; 32], path: impl IntoIterator<Item = &'a [u8; 32]>) -> [u8; 32] {
    path.into_iter().fold(leaf, |left, right| parent(&left, right))
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut pair = [0; 64];
    let (first, second) = pair.split_at_mut(32);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    sha256d(&pair)
}

/// The script of the output that commits to the witnesses of a block (BIP 141), whose transactions
/// after the coinbase have these ids.
pub fn witness_commitment(wtxids: &[[u8; 32]]) -> Vec<u8> {
    // The coinbase's own witness id counts as zeros.
    let witness_root = root([0; 32], &path(wtxids));
    let committed = sha256d(&[witness_root, WITNESS_RESERVED_VALUE].concat());
    [COMMITMENT_HEADER.as_slice(), committed.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash as _;
    use proptest::prelude::*;

    #[test]
    fn an_empty_block_has_the_well_known_commitment() {
        let script = "6a24aa21a9ede2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
        assert_eq!(hex::encode(witness_commitment(&[])), script);
    }

    proptest! {
        #[test]
        fn the_root_is_the_one_that_the_bitcoin_crate_computes(
            coinbase in any::<[u8; 32]>(),
            rest in prop::collection::vec(any::<[u8; 32]>(), 0..70),
        ) {
            let leaves = std::iter::once(coinbase).chain(rest.iter().copied());
            let theirs = bitcoin::merkle_tree::calculate_root(
                leaves.map(bitcoin::hashes::sha256d::Hash::from_byte_array),
            );
            let ours = root(coinbase, &path(&rest));
            prop_assert_eq!(Some(ours), theirs.map(|hash| hash.to_byte_array()));
        }

        #[test]
        fn a_path_is_as_long_as_the_tree_is_high(leaves in 0_usize..3_000) {
            let rest = vec![[7; 32]; leaves];
            let height = usize::BITS - leaves.leading_zeros();
            prop_assert_eq!(path(&rest).len(), usize::try_from(height).unwrap());
        }
    }
}
