//! How fast a miner says or is seen to be. SV2 says it as a float; here it becomes an integer.

use std::num::NonZeroU32;
use subjects::{Exponent, Work};

/// Hashes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hashrate(u128);

/// SV2's `nominal_hash_rate` is negative, infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a hashrate of {0} H/s cannot be")]
pub struct InvalidHashrate(pub f32);

impl InvalidHashrate {
    /// The code of SV2's `OpenMiningChannel.Error` and `UpdateChannel.Error`.
    pub const CODE: &'static str = "invalid-nominal-hashrate";
}

/// Bits of the mantissa that a 32-bit float stores.
const MANTISSA_BITS: u32 = 23;
/// What is added to the exponent of a 32-bit float whose mantissa is read as an integer.
const EXPONENT_BIAS: u32 = 127 + MANTISSA_BITS;
/// `√2 · 2^63`: half a power of two, as the top 64 bits of a number.
const SQRT_TWO: u128 = 0xB504_F333_F9DE_6484;

impl Hashrate {
    /// Wraps hashes per second.
    pub const fn new(hashes_per_second: u128) -> Self {
        Self(hashes_per_second)
    }

    /// Hashes per second.
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// The rate at which `work` was done in `millis`; zero time counts as one millisecond.
    pub fn of_work(work: Work, millis: u64) -> Self {
        Self(work.to_u128().saturating_mul(1_000) / u128::from(millis.max(1)))
    }

    /// Reads SV2's `nominal_hash_rate`, rounded down to whole hashes per second.
    ///
    /// # Errors
    ///
    /// When it is negative, infinite or not a number.
    pub fn from_sv2(rate: f32) -> Result<Self, InvalidHashrate> {
        if !rate.is_finite() || (rate.is_sign_negative() && rate != 0.0) {
            return Err(InvalidHashrate(rate));
        }
        let bits = rate.to_bits();
        let stored = u128::from(bits & ((1 << MANTISSA_BITS) - 1));
        let exponent = (bits >> MANTISSA_BITS) & 0xff;
        let mantissa = if exponent == 0 { stored } else { stored | 1 << MANTISSA_BITS };
        // A finite float is below 2^128, so the shift to the left loses nothing.
        Ok(Self(if exponent >= EXPONENT_BIAS {
            mantissa.checked_shl(exponent - EXPONENT_BIAS).unwrap_or(u128::MAX)
        } else {
            mantissa.checked_shr(EXPONENT_BIAS - exponent.max(1)).unwrap_or(0)
        }))
    }

    /// The exponent whose shares such a miner finds nearest to `shares_per_minute` times a minute,
    /// between `1/√2` and `√2` of it.
    pub fn exponent(self, shares_per_minute: NonZeroU32) -> Exponent {
        let hashes = self.0.saturating_mul(60) / u128::from(shares_per_minute.get());
        let Some(floor) = hashes.checked_ilog2() else { return Exponent::MIN };
        let top = (hashes << (127 - floor)) >> 64;
        let log2 = i64::from(floor) + i64::from(top >= SQRT_TWO);
        Exponent::clamped(log2 - 32)
    }
}
