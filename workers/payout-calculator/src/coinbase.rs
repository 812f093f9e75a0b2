//! What a block's own coinbase paid.

use bitcoin::{Transaction, TxOut, consensus};
use subjects::{MinerId, Sats, blocks::Solved, payouts::FeesPaidBy};

/// A solved block, reduced to what a statement needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// Its height.
    pub height: u32,
    /// Subsidy `S`.
    pub subsidy: Sats,
    /// Fees `F`.
    pub fees: Sats,
    /// Output 1: the finder's script and what it got.
    finder: (Vec<u8>, Sats),
}

/// The coinbase is not one that our rules allow. Core checked it before it said that the block was
/// solved, so a person has to look.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoinbaseError {
    /// Not a transaction.
    #[error("it is not a transaction: {0}")]
    NotATransaction(String),
    /// Its outputs do not add up to subsidy and fees.
    #[error("its outputs do not add up to subsidy and fees")]
    Value,
    /// There is no output 1.
    #[error("it has no output for the finder")]
    NoFinder,
    /// Output 1 pays something that is neither nothing nor the fees, or pays somebody else.
    #[error("output 1 pays neither nothing nor exactly the fees to the finder")]
    WrongFinder,
}

impl Paid {
    /// Reads a solved block.
    ///
    /// # Errors
    ///
    /// When its coinbase is not one that our rules allow.
    pub fn of(solved: &Solved) -> Result<Self, CoinbaseError> {
        let coinbase: Transaction = consensus::deserialize(solved.coinbase.as_slice())
            .map_err(|error| CoinbaseError::NotATransaction(error.to_string()))?;
        let sum = coinbase
            .output
            .iter()
            .try_fold(Sats::ZERO, |sum, output| sum.checked_add(value(output)?));
        let whole = solved.subsidy.checked_add(solved.fees);
        if sum.is_none() || sum != whole {
            return Err(CoinbaseError::Value);
        }
        let finder = coinbase.output.get(1).ok_or(CoinbaseError::NoFinder)?;
        let amount = value(finder).ok_or(CoinbaseError::Value)?;
        Ok(Self {
            height: solved.height,
            subsidy: solved.subsidy,
            fees: solved.fees,
            finder: (finder.script_pubkey.to_bytes(), amount),
        })
    }

    /// How `finder` gets the fees: the coinbase paid them, or the ledger owes them because they
    /// are dust or the finder has no address.
    ///
    /// # Errors
    ///
    /// When output 1 pays something else.
    pub fn fees_to(&self, finder: &MinerId) -> Result<FeesPaidBy, CoinbaseError> {
        let (script, amount) = &self.finder;
        if script == finder.as_bytes() && *amount == self.fees {
            return Ok(FeesPaidBy::Coinbase);
        }
        if *amount == Sats::ZERO {
            return Ok(FeesPaidBy::Ledger);
        }
        Err(CoinbaseError::WrongFinder)
    }
}

fn value(output: &TxOut) -> Option<Sats> {
    Sats::new(output.value.to_sat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::{Amount, ScriptBuf, TxIn, absolute::LockTime, transaction::Version};
    use subjects::{BlockHash, HexBytes, TemplateId};

    fn solved(outputs: &[(u64, &[u8])]) -> Solved {
        let output = |(value, script): &(u64, &[u8])| TxOut {
            value: Amount::from_sat(*value),
            script_pubkey: ScriptBuf::from_bytes(script.to_vec()),
        };
        let coinbase = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn::default()],
            output: outputs.iter().map(output).collect(),
        };
        Solved {
            hash: BlockHash([1; 32]),
            height: 7,
            header: HexBytes(vec![0; 80]),
            coinbase: HexBytes(consensus::serialize(&coinbase)),
            template: TemplateId([2; 16]),
            provider: "main".parse().unwrap(),
            subsidy: Sats::new(1_000).unwrap(),
            fees: Sats::new(300).unwrap(),
        }
    }

    fn fees(outputs: &[(u64, &[u8])]) -> Result<FeesPaidBy, CoinbaseError> {
        Paid::of(&solved(outputs))?.fees_to(&MinerId::new(b"finder".to_vec()).unwrap())
    }

    #[test]
    fn output_1_tells_how_the_finder_is_paid() {
        assert_eq!(fees(&[(1_000, b"t"), (300, b"finder"), (0, b"w")]), Ok(FeesPaidBy::Coinbase));
        assert_eq!(fees(&[(1_300, b"t"), (0, b"finder")]), Ok(FeesPaidBy::Ledger), "dust");
        assert_eq!(fees(&[(1_300, b"t"), (0, b"commitment")]), Ok(FeesPaidBy::Ledger));
    }

    #[test]
    fn a_coinbase_that_our_rules_do_not_allow_is_told() {
        assert_eq!(fees(&[(1_000, b"t"), (300, b"other")]), Err(CoinbaseError::WrongFinder));
        assert_eq!(fees(&[(1_200, b"t"), (100, b"finder")]), Err(CoinbaseError::WrongFinder));
        assert_eq!(fees(&[(1_000, b"t"), (299, b"finder")]), Err(CoinbaseError::Value));
        assert_eq!(fees(&[(1_300, b"t")]), Err(CoinbaseError::NoFinder));
        let mut cut = solved(&[(1_000, b"t"), (300, b"finder")]);
        cut.coinbase.0.pop();
        assert!(matches!(Paid::of(&cut), Err(CoinbaseError::NotATransaction(_))));
    }
}
