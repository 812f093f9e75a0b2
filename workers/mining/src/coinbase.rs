//! The coinbase's bytes, and what it pays.

use crate::{Job, MAX_EXTRANONCE_LENGTH, Payee, WorkTemplate, hash, prefix::SV1_LENGTH};
use sha2::{Digest, Sha256};
use subjects::{Exponent, Sats};

/// Bytes before the scriptSig's length: version 4, input count 1, null outpoint 36.
pub(crate) const BEFORE_SCRIPT_SIG: usize = 41;
/// Bytes of BIP 144's marker and flag.
pub(crate) const MARKER_AND_FLAG: [u8; 2] = [0, 1];
/// The witness of a coinbase: one item of 32 zeros, BIP 141's reserved value.
const WITNESS: [u8; 34] = {
    let mut witness = [0; 34];
    let [items, length, ..] = &mut witness;
    (*items, *length) = (1, 32);
    witness
};

/// What a coinbase pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Value of output 0, the treasury's.
    pub treasury: Sats,
    /// Value of output 1, the finder's.
    pub finder: Sats,
    /// What output 0 took in the finder's place, so that the ledger owes it.
    pub owed: Sats,
}

impl Split {
    /// Splits subsidy `S` and fees `F`: `F` to the finder, or to the treasury where `payee` is not
    /// paid. `None` when they exceed the supply.
    pub fn of(subsidy: Sats, fees: Sats, payee: &Payee) -> Option<Self> {
        let all = subsidy.checked_add(fees)?;
        Some(if payee.is_paid(fees) { Self::paid(subsidy, fees) } else { Self::unpaid(all, fees) })
    }
}

impl Split {
    pub(crate) const fn paid(subsidy: Sats, fees: Sats) -> Self {
        Self { treasury: subsidy, finder: fees, owed: Sats::ZERO }
    }

    pub(crate) const fn unpaid(all: Sats, fees: Sats) -> Self {
        Self { treasury: all, finder: Sats::ZERO, owed: fees }
    }
}

/// The start of a scriptSig that BIP 34 wants: the block's height, pushed as `bitcoind` pushes it.
pub fn bip34_push(height: u32) -> Vec<u8> {
    match height {
        0 => vec![0],
        1..=16 => vec![0x50_u8.saturating_add(height.to_le_bytes()[0])],
        _ => {
            let number = u64::from(height);
            // Script numbers carry their sign in the top bit.
            let length = (1..=4).find(|length| number < 1 << (8 * length - 1)).unwrap_or(5_u8);
            let bytes = number.to_le_bytes();
            std::iter::once(length).chain(bytes).take(1 + usize::from(length)).collect()
        }
    }
}

/// The coinbase up to the exponent, for one length of the extranonce.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) bytes: Box<[u8]>,
    midstate: Sha256,
}

impl Head {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { midstate: Sha256::new_with_prefix(&bytes), bytes: bytes.into() }
    }
}

/// The lengths of an extranonce that coinbases of ours may have.
pub(crate) const EXTRANONCE_LENGTHS: std::ops::RangeInclusive<u8> =
    SV1_LENGTH..=MAX_EXTRANONCE_LENGTH;

impl WorkTemplate {
    /// Appends the coinbase up to the extranonce, without BIP 141 data: the `coinbase_tx_prefix`
    /// of a job, and so what commits to its exponent. Returns the bytes written; `None` for an
    /// `extranonce_length` outside of 6 to [`MAX_EXTRANONCE_LENGTH`].
    pub fn write_coinbase_prefix(
        &self,
        buffer: &mut Vec<u8>,
        exponent: Exponent,
        extranonce_length: u8,
    ) -> Option<usize> {
        let head = self.head(extranonce_length)?;
        buffer.extend_from_slice(&head.bytes);
        buffer.extend_from_slice(&exponent.to_i8().to_be_bytes());
        Some(head.bytes.len() + 1)
    }

    /// Appends the coinbase after the extranonce, without BIP 141 data: the `coinbase_tx_suffix`
    /// of a job. Returns the bytes written.
    pub fn write_coinbase_suffix(&self, buffer: &mut Vec<u8>, payee: &Payee) -> usize {
        let [outputs, payee, rest] = self.tail(payee);
        buffer.extend_from_slice(outputs);
        buffer.extend_from_slice(payee);
        buffer.extend_from_slice(rest);
        outputs.len() + payee.len() + rest.len()
    }

    /// Bytes of a job's `coinbase_tx_prefix`.
    pub fn coinbase_prefix_length(&self) -> usize {
        self.head(MAX_EXTRANONCE_LENGTH).map_or(0, |head| head.bytes.len() + 1)
    }

    /// Bytes of a job's `coinbase_tx_suffix`.
    pub fn coinbase_suffix_length(&self, payee: &Payee) -> usize {
        self.tail(payee).iter().map(|part| part.len()).sum()
    }

    /// The transaction id of a job's coinbase; `rolled` is the extranonce after the prefix. `None`
    /// when the two do not make the job's extranonce.
    pub fn coinbase_txid(&self, job: &Job<'_>, rolled: &[u8]) -> Option<[u8; 32]> {
        let head = self.head_of(job, rolled)?;
        let mut engine = head.midstate.clone();
        engine.update(job.exponent.to_i8().to_be_bytes());
        engine.update(job.extranonce_prefix);
        engine.update(rolled);
        for part in self.tail(job.payee) {
            engine.update(part);
        }
        Some(hash::finish(engine))
    }

    /// The merkle root of a job's header: for a standard job with nothing rolled, that of
    /// `NewMiningJob`. `None` as in [`Self::coinbase_txid`].
    pub fn merkle_root(&self, job: &Job<'_>, rolled: &[u8]) -> Option<[u8; 32]> {
        Some(hash::merkle_root(self.coinbase_txid(job, rolled)?, self.merkle_path()))
    }

    /// A job's coinbase with its witness, as it goes into the block. `None` as in
    /// [`Self::coinbase_txid`].
    pub fn full_coinbase(&self, job: &Job<'_>, rolled: &[u8]) -> Option<Vec<u8>> {
        let (version, head) = self.head_of(job, rolled)?.bytes.split_at_checked(4)?;
        let [outputs, payee, rest] = self.tail(job.payee);
        let (rest, locktime) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
        let exponent = job.exponent.to_i8().to_be_bytes();
        let parts = [
            version,
            &MARKER_AND_FLAG,
            head,
            &exponent,
            job.extranonce_prefix,
            rolled,
            outputs,
            payee,
            rest,
            &WITNESS,
            locktime,
        ];
        Some(parts.concat())
    }

    fn head_of(&self, job: &Job<'_>, rolled: &[u8]) -> Option<&Head> {
        let length = job.extranonce_prefix.len().checked_add(rolled.len())?;
        self.head(job.extranonce_length).filter(|_| length == usize::from(job.extranonce_length))
    }
}
