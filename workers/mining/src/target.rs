//! 256-bit targets: of shares (powers of two) and of blocks (nbits).

use primitive_types::U256;
use std::fmt;
use subjects::{Exponent, Work};

/// The largest number that a hash may be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(U256);

/// The compact form is not a target (consensus: negative, zero or above 256 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nbits {0:#010x} is negative, zero or overflows")]
pub struct InvalidNbits(pub u32);

/// The sign bit of a compact number.
const COMPACT_SIGN: u32 = 0x0080_0000;

impl Target {
    /// The target of a share's exponent: `(0xFFFF · 2^208) >> k`, shifted left for negative `k`.
    pub fn of(exponent: Exponent) -> Self {
        let one = U256::from(0xFFFF_u32) << 208;
        let k = exponent.to_i8();
        let shift = u32::from(k.unsigned_abs());
        Self(if k < 0 { one << shift } else { one >> shift })
    }

    /// The target of a block's compact form, as consensus reads it.
    ///
    /// # Errors
    ///
    /// When the number is negative, zero or does not fit 256 bits: no block may carry it.
    pub fn from_nbits(nbits: u32) -> Result<Self, InvalidNbits> {
        let (size, mantissa) = (nbits >> 24, nbits & 0x007f_ffff);
        let value = if size <= 3 {
            U256::from(mantissa >> (8 * (3 - size)))
        } else {
            let highest = (mantissa.checked_ilog2().unwrap_or(0) + 1) + 8 * (size - 3);
            if highest > 256 {
                return Err(InvalidNbits(nbits));
            }
            U256::from(mantissa) << (8 * (size - 3))
        };
        if nbits & COMPACT_SIGN != 0 || value.is_zero() {
            return Err(InvalidNbits(nbits));
        }
        Ok(Self(value))
    }

    /// Reads 32 little-endian bytes: SV2's `U256`.
    pub fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_little_endian(&bytes))
    }

    /// The 32 little-endian bytes: SV2's `U256`.
    pub fn to_le_bytes(self) -> [u8; 32] {
        self.0.to_little_endian()
    }

    /// Whether a hash, in the byte order of headers, is good enough.
    pub fn is_met_by(self, hash: &[u8; 32]) -> bool {
        U256::from_little_endian(hash) <= self.0
    }

    /// Expected number of hashes for this target, `2^256 / (target + 1)`, as `bitcoind` counts
    /// chain work; saturates at the largest [`Work`].
    pub fn work(self) -> Work {
        // 2^256 does not fit: 2^256 / (t + 1) = (2^256 - t - 1) / (t + 1) + 1.
        let hashes = match self.0.checked_add(U256::one()) {
            Some(above) => (!self.0 / above).saturating_add(U256::one()),
            None => U256::one(),
        };
        Work::new(u128::try_from(hashes).unwrap_or(u128::MAX))
    }

    /// Difficulty in millionths of difficulty 1 (target `0xFFFF · 2^208`), for people to look at.
    pub fn difficulty_ppm(self) -> u128 {
        let one = (U256::from(0xFFFF_u32) << 208) * U256::from(1_000_000_u32);
        u128::try_from(one / self.0.max(U256::one())).unwrap_or(u128::MAX)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:064x}", self.0)
    }
}

/// The easiest exponent whose target a client that names `max_target` will take; `None` when even
/// the hardest is too easy for it.
pub fn easiest_within(max_target: Target) -> Option<Exponent> {
    exponents().find(|exponent| Target::of(*exponent) <= max_target)
}

/// The hardest exponent that a job may commit to on a block of target `network`: a share target
/// below the block's would turn solving shares away.
pub fn hardest_on(network: Target) -> Exponent {
    exponents().rev().find(|exponent| Target::of(*exponent) >= network).unwrap_or(Exponent::MIN)
}

fn exponents() -> impl DoubleEndedIterator<Item = Exponent> {
    let bounds = i64::from(Exponent::MIN.to_i8())..=i64::from(Exponent::MAX.to_i8());
    bounds.map(Exponent::clamped)
}

/// What SV2's `new_shares_sum` says for credited work: whole units of difficulty 1 (2^32 hashes).
pub fn difficulty_sum(work: Work) -> u64 {
    u64::try_from(work.to_u128() >> 32).unwrap_or(u64::MAX)
}
