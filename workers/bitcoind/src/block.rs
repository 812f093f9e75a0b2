//! A block, put together from its parts.

use crate::merkle;
use bitcoin::{Transaction, VarInt, consensus};
use subjects::{HexBytes, templates::MerkleHash};

/// Length of a block's header in bytes.
pub const HEADER_LENGTH: usize = 80;

/// The parts do not make the block that they were meant for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidParts {
    /// A kept transaction is none.
    #[error("transaction {index} of the template cannot be read: {reason}")]
    Transaction {
        /// Its position after the coinbase, counted from 0.
        index: usize,
        /// Why.
        reason: String,
    },
    /// The kept transactions are not those that the template was made of.
    #[error("the kept transactions do not hash to the template's merkle path")]
    MerklePath,
}

/// Checks that these transactions, in this order, are the ones behind a template's merkle path.
///
/// # Errors
///
/// When one cannot be read, or the path is another one.
pub fn check_transactions<T: AsRef<[u8]>>(
    transactions: &[T],
    merkle_path: &[MerkleHash],
) -> Result<(), InvalidParts> {
    let mut txids = Vec::with_capacity(transactions.len());
    for (index, bytes) in transactions.iter().enumerate() {
        let transaction: Transaction = consensus::deserialize(bytes.as_ref())
            .map_err(|error| InvalidParts::Transaction { index, reason: error.to_string() })?;
        txids.push(*AsRef::<[u8; 32]>::as_ref(&transaction.compute_txid()));
    }
    let expected = merkle_path.iter().map(|hash| hash.0);
    if merkle::path(&txids).into_iter().eq(expected) {
        Ok(())
    } else {
        Err(InvalidParts::MerklePath)
    }
}

/// The bytes of a block: header, number of transactions, coinbase with its witness, the others.
pub fn assemble<T: AsRef<[u8]>>(
    header: &HexBytes,
    coinbase: &HexBytes,
    transactions: &[T],
) -> Vec<u8> {
    let rest: usize = transactions.iter().map(|bytes| bytes.as_ref().len()).sum();
    let count = consensus::serialize(&VarInt::from(transactions.len().saturating_add(1)));
    let mut block = Vec::with_capacity(HEADER_LENGTH + count.len() + coinbase.0.len() + rest);
    block.extend_from_slice(header.as_slice());
    block.extend_from_slice(&count);
    block.extend_from_slice(coinbase.as_slice());
    for transaction in transactions {
        block.extend_from_slice(transaction.as_ref());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_what_the_bitcoin_crate_reads_back() {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Signet);
        let header = HexBytes(consensus::serialize(&genesis.header));
        let coinbase = HexBytes(consensus::serialize(&genesis.txdata[0]));
        let block = assemble::<Vec<u8>>(&header, &coinbase, &[]);
        assert_eq!(consensus::deserialize::<bitcoin::Block>(&block).unwrap(), genesis);
    }

    #[test]
    fn transactions_are_those_behind_the_path() {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Signet);
        let bytes = consensus::serialize(&genesis.txdata[0]);
        let txid = *AsRef::<[u8; 32]>::as_ref(&genesis.txdata[0].compute_txid());
        assert_eq!(check_transactions(&[&bytes], &[MerkleHash(txid)]), Ok(()));
        assert_eq!(check_transactions::<Vec<u8>>(&[], &[]), Ok(()));
        let other = check_transactions(&[&bytes, &bytes], &[MerkleHash(txid)]);
        assert_eq!(other, Err(InvalidParts::MerklePath));
        let cut = check_transactions(&[&bytes[1..]], &[MerkleHash(txid)]);
        assert!(matches!(cut, Err(InvalidParts::Transaction { index: 0, .. })));
    }
}
