//! From `getblocktemplate` to a template in the terms of Stratum V2.

use bitcoind_rpc::{BlockTemplate, Chain, merkle, transactions::MAX_TRANSACTIONS};
use mining::coinbase::bip34_push;
use subjects::{
    BlockHash, HexBytes, ProviderId, Sats, Timestamp,
    templates::{CoinbaseRule, MerkleHash, New, Output},
};

/// Rules that our coinbases and jobs obey (BIP 9 names, without the leading `!`).
const KNOWN_RULES: [&str; 4] = ["csv", "segwit", "taproot", "signet"];

/// Version of a block before any template was seen (BIP 9: no bit set).
pub const BASE_VERSION: u32 = 0x2000_0000;

/// Version of our coinbase transactions.
const COINBASE_VERSION: u32 = 2;

/// The sequence that makes an input final, so that the lock time would not bind.
const FINAL_SEQUENCE: u32 = 0xffff_ffff;

/// What all templates of one session have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whose templates they are.
    pub provider: ProviderId,
    /// When the session began.
    pub session: Timestamp,
    /// The chain, for its subsidy.
    pub chain: Chain,
    /// What Core decided about every coinbase.
    pub rule: CoinbaseRule,
}

/// Why a template of bitcoind is not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateRefusal {
    /// It must be understood, and we do not.
    #[error("the template obeys the unknown rule `{0}`, which a miner must understand")]
    UnknownRule(String),
    /// Version bits that miners roll must be set.
    #[error("the template requires version bits {0:#010x}, which miners roll")]
    RequiredVersionBits(u32),
    /// Less than the subsidy.
    #[error("the coinbase value of {value} sat is below the subsidy of {subsidy}")]
    BelowSubsidy {
        /// Coinbase value in satoshis.
        value: u64,
        /// Subsidy of the height.
        subsidy: Sats,
    },
    /// The fees told are not what the coinbase may take.
    #[error("the transactions' fees are {told} sat, the coinbase value leaves {left} sat")]
    Fees {
        /// Sum of the transactions' fees in satoshis.
        told: i64,
        /// Coinbase value minus subsidy, in satoshis.
        left: u64,
    },
    /// More money than there is.
    #[error("the coinbase value of {0} sat exceeds the supply")]
    BeyondSupply(u64),
    /// The commitment is not the one of the transactions.
    #[error("the template's witness commitment is not the one of its transactions")]
    WitnessCommitment,
    /// More transactions than a block can hold.
    #[error("the template has {0} transactions")]
    TooManyTransactions(usize),
}

impl TemplateRefusal {
    /// A short name for a metric's label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::UnknownRule(_) => "unknown-rule",
            Self::RequiredVersionBits(_) => "required-version-bits",
            Self::BelowSubsidy { .. } => "below-subsidy",
            Self::Fees { .. } => "fees",
            Self::BeyondSupply(_) => "beyond-supply",
            Self::WitnessCommitment => "witness-commitment",
            Self::TooManyTransactions(_) => "too-many-transactions",
        }
    }
}

impl Frame {
    /// The template of a block without other transactions: it can be made before its parent is
    /// known.
    pub fn empty(
        &self,
        number: u64,
        height: u32,
        version: u32,
        prevhash: Option<BlockHash>,
    ) -> New {
        New {
            provider: self.provider.clone(),
            session: self.session,
            template: number,
            height,
            prevhash,
            subsidy: self.chain.subsidy(height),
            fees: Sats::ZERO,
            version: version & !self.rule.version_mask,
            coinbase_prefix: HexBytes(bip34_push(height)),
            tx_version: COINBASE_VERSION,
            input_sequence: self.sequence(number),
            // BIP 54: the lock time of a coinbase is the height before it.
            locktime: height.saturating_sub(1),
            coinbase_outputs: vec![commitment(&[])],
            merkle_path: Vec::new(),
            coinbase_rule: self.rule.clone(),
        }
    }

    /// The template that bitcoind made.
    ///
    /// # Errors
    ///
    /// The first [`TemplateRefusal`] that applies.
    pub fn full(&self, number: u64, made: &BlockTemplate) -> Result<New, TemplateRefusal> {
        check_rules(&made.rules)?;
        check_version_bits(made.required_version_bits, self.rule.version_mask)?;
        if made.transactions.len() > MAX_TRANSACTIONS {
            return Err(TemplateRefusal::TooManyTransactions(made.transactions.len()));
        }
        let fees = self.fees(made)?;
        let wtxids: Vec<_> = made.transactions.iter().map(|tx| tx.wtxid).collect();
        let output = commitment(&wtxids);
        if made.witness_commitment.as_ref().is_some_and(|theirs| *theirs != output.script) {
            return Err(TemplateRefusal::WitnessCommitment);
        }
        let txids: Vec<_> = made.transactions.iter().map(|tx| tx.txid).collect();
        let merkle_path = merkle::path(&txids).into_iter().map(MerkleHash).collect();
        let version = made.version.cast_unsigned();
        let empty = self.empty(number, made.height, version, Some(made.prevhash));
        Ok(New { fees, coinbase_outputs: vec![output], merkle_path, ..empty })
    }

    /// Sequence of the coinbase's input. It binds a coinbase to its template: two templates of the
    /// same transactions, e.g. two empty ones, would else have the same coinbases, and a block
    /// could be claimed for either. Consensus asks nothing of it, BIP 54 that it is not final.
    fn sequence(&self, number: u64) -> u32 {
        let name = format!("{}/{}/{number}", self.provider, self.session.0);
        let [a, b, c, d, ..] = merkle::sha256d(name.as_bytes());
        u32::from_be_bytes([a, b, c, d]).min(FINAL_SEQUENCE - 1)
    }

    /// What the coinbase may take beyond the subsidy; the transactions must agree, where the node
    /// tells all of their fees.
    fn fees(&self, made: &BlockTemplate) -> Result<Sats, TemplateRefusal> {
        let (value, subsidy) = (made.coinbase_value, self.chain.subsidy(made.height));
        let left = value
            .checked_sub(subsidy.to_u64())
            .ok_or(TemplateRefusal::BelowSubsidy { value, subsidy })?;
        let told: Option<i64> = made
            .transactions
            .iter()
            .try_fold(0_i64, |sum, transaction| sum.checked_add(transaction.fee?));
        if let Some(told) = told.filter(|told| u64::try_from(*told) != Ok(left)) {
            return Err(TemplateRefusal::Fees { told, left });
        }
        let whole = Sats::new(value).and_then(|value| value.checked_sub(subsidy));
        whole.ok_or(TemplateRefusal::BeyondSupply(value))
    }
}

fn check_rules(rules: &[String]) -> Result<(), TemplateRefusal> {
    let unknown = rules
        .iter()
        .filter_map(|rule| rule.strip_prefix('!'))
        .find(|forced| !KNOWN_RULES.contains(forced));
    unknown
        .map_or(Ok(()), |rule| Err(TemplateRefusal::UnknownRule(rule.chars().take(32).collect())))
}

fn check_version_bits(required: u32, mask: u32) -> Result<(), TemplateRefusal> {
    match required & mask {
        0 => Ok(()),
        rolled => Err(TemplateRefusal::RequiredVersionBits(rolled)),
    }
}

/// The output that every template brings along, also an empty one: with a witness in the coinbase
/// a block must commit to it (BIP 141).
fn commitment(wtxids: &[[u8; 32]]) -> Output {
    Output { value: Sats::ZERO, script: HexBytes(merkle::witness_commitment(wtxids)) }
}

#[cfg(test)]
mod tests;
