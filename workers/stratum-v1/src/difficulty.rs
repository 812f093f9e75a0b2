//! Difficulties: decimal on the wire; powers of two here, and any target of other pools.

use mining::Target;
use primitive_types::U512;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::fmt;
use subjects::Exponent;

/// A difficulty that a miner names. Difficulty 1 is the target `0xFFFF · 2^208`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Difficulty(f64);

/// The number is zero, negative, infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a difficulty is above 0, {0} is not")]
pub struct InvalidDifficulty(pub f64);

/// Bits of the mantissa that a 64-bit float stores.
const MANTISSA_BITS: u32 = 52;
/// What is added to the exponent of a 64-bit float.
const EXPONENT_BIAS: i64 = 1_023;
/// The stored mantissa of `√2`.
const SQRT_TWO: u64 = 0x6_A09E_667F_3BCD;

impl Difficulty {
    /// A difficulty.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn new(difficulty: f64) -> Result<Self, InvalidDifficulty> {
        let is_one = difficulty.is_finite() && difficulty > 0.0;
        if is_one { Ok(Self(difficulty)) } else { Err(InvalidDifficulty(difficulty)) }
    }

    /// The power of two that is nearest, as far as there are such targets.
    pub fn nearest(self) -> Exponent {
        let (floor, mantissa) = self.parts();
        Exponent::clamped(floor + i64::from(mantissa >= SQRT_TWO))
    }

    /// The least power of two that is not below it, as far as there are such targets.
    pub fn at_least(self) -> Exponent {
        let (floor, mantissa) = self.parts();
        Exponent::clamped(floor + i64::from(mantissa > 0))
    }

    /// The greatest power of two that is not above it, and what is stored of the mantissa.
    const fn parts(self) -> (i64, u64) {
        let bits = self.0.to_bits();
        let exponent = (bits >> MANTISSA_BITS) & 0x7ff;
        #[expect(clippy::cast_possible_wrap, reason = "eleven bits")]
        let exponent = exponent as i64;
        (exponent - EXPONENT_BIAS, bits & ((1 << MANTISSA_BITS) - 1))
    }
}

impl<'de> Deserialize<'de> for Difficulty {
    /// A number, or a number as text.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        let number = match Form::deserialize(deserializer)? {
            Form::Number(number) => number,
            Form::Text(text) => text.trim().parse().map_err(D::Error::custom)?,
        };
        Self::new(number).map_err(D::Error::custom)
    }
}

/// An exponent's difficulty `2^k` as a decimal number, exact and without an exponent: some firmware
/// reads neither `1e-3` nor rounds well.
pub(super) struct Decimal(pub(super) Exponent);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let k = self.0.to_i8();
        if k >= 0 {
            return write!(f, "{}", 1_u128 << k);
        }
        // 2^-n is 5^n / 10^n: n decimals. The least is 2^-32, and 5^32 < 2^75.
        let decimals = k.unsigned_abs();
        let digits = 5_u128.pow(u32::from(decimals));
        write!(f, "0.{digits:0>width$}", width = usize::from(decimals))
    }
}

/// The least decimal number that is not below a target's difficulty, to twelve digits: rounded to
/// the other side, shares would be refused that a miner was asked for. From a thousand on it is
/// whole: some firmware reads no fractions.
pub(super) struct AtLeast(pub(super) Target);

/// Decimals that are computed, of which the first [`DIGITS`] that say something are written.
const DECIMALS: usize = 40;
/// Digits of a number with a fraction.
const DIGITS: usize = 12;
/// From here on numbers are whole.
const WHOLE: u64 = 1_000;

impl fmt::Display for AtLeast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = U512::from(0xFFFF_u32) << 208;
        let target = U512::from_little_endian(&self.0.to_le_bytes()).max(U512::one());
        let ten = U512::from(10_u8);
        if target <= one / WHOLE || (one % target).is_zero() {
            return write!(f, "{}", one.div_ceil(target));
        }
        let scaled = (one * ten.pow(DECIMALS.into())).div_ceil(target);
        let exact = (one * ten.pow(DECIMALS.into()) % target).is_zero();
        let digits = scaled.to_string().len();
        let cut = if exact { 0 } else { digits.saturating_sub(DIGITS) };
        let unit = ten.pow(cut.into());
        let rounded = scaled.div_ceil(unit) * unit;
        let scale = ten.pow(DECIMALS.into());
        let fraction = (rounded % scale).to_string();
        let fraction = format!("{fraction:0>DECIMALS$}");
        write!(f, "{}", rounded / scale)?;
        match fraction.trim_end_matches('0') {
            "" => Ok(()),
            fraction => write!(f, ".{fraction}"),
        }
    }
}

trait DivCeil {
    /// The quotient, rounded up. The divisor is not zero.
    fn div_ceil(self, divisor: Self) -> Self;
}

impl DivCeil for U512 {
    fn div_ceil(self, divisor: Self) -> Self {
        let (quotient, rest) = self.div_mod(divisor);
        if rest.is_zero() { quotient } else { quotient + Self::one() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A number of `AtLeast` in units of its last possible decimal.
    fn scaled(text: &str) -> U512 {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = format!("{fraction:0<DECIMALS$}");
        U512::from_dec_str(whole).unwrap() * U512::from(10_u8).pow(DECIMALS.into())
            + U512::from_dec_str(&fraction).unwrap()
    }

    proptest! {
        #[test]
        fn no_share_of_a_difficulty_misses_its_target(
            bytes in any::<[u8; 32]>(), zeros in 0..32_usize,
        ) {
            let mut bytes = bytes;
            bytes[32 - zeros..].fill(0);
            bytes[0] |= 1;
            let target = Target::from_le_bytes(bytes);
            let told = AtLeast(target).to_string();
            let one = (U512::from(0xFFFF_u32) << 208) * U512::from(10_u8).pow(DECIMALS.into());
            let exact = one / U512::from_little_endian(&bytes);
            let told = scaled(&told);
            prop_assert!(told >= exact, "{told} {exact}");
            // And hardly any work is wasted.
            prop_assert!(told - exact <= exact / WHOLE + U512::one(), "{told} {exact}");
        }
    }

    #[test]
    fn a_target_of_ours_has_the_same_difficulty_either_way() {
        for k in -32..=95 {
            let text = AtLeast(Target::of(exponent(k))).to_string();
            assert_eq!(text, Decimal(exponent(k)).to_string(), "2^{k}");
        }
    }

    #[test]
    fn targets_of_other_pools_are_decimal_and_never_too_easy() {
        let difficulty = |hex: &str| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(format!("{hex:0<64}"), &mut bytes).unwrap();
            bytes.reverse();
            AtLeast(Target::from_le_bytes(bytes)).to_string()
        };
        assert_eq!(difficulty("00000000ffff"), "1");
        // The whole range below 2^224 is a little easier than difficulty 1.
        assert_eq!(difficulty("0000000100"), "0.9999847412109375");
        assert_eq!(difficulty("00000000aaaa"), "1.5");
        assert_eq!(difficulty("0000000000123456"), "3600");
        assert_eq!(difficulty("000000009b"), "1.65158770162");
        assert_eq!(difficulty("ffff"), "0.00000000023283064365386962890625");
    }

    fn exponent(k: i64) -> Exponent {
        Exponent::new(k).unwrap()
    }

    #[test]
    fn decimals_are_exact() {
        let text = |k| Decimal(exponent(k)).to_string();
        assert_eq!(text(0), "1");
        assert_eq!(text(10), "1024");
        assert_eq!(text(-1), "0.5");
        assert_eq!(text(-12), "0.000244140625");
        assert_eq!(text(-32), "0.00000000023283064365386962890625");
        assert_eq!(text(95), "39614081257132168796771975168");
        for k in -32..=95 {
            let number: f64 = text(k).parse().unwrap();
            assert_eq!(number.to_bits(), 2_f64.powi(i32::try_from(k).unwrap()).to_bits(), "2^{k}");
        }
    }

    #[test]
    fn a_difficulty_is_followed_by_the_nearest_power_of_two() {
        let nearest = |number| Difficulty::new(number).unwrap().nearest();
        assert_eq!(nearest(1.0), exponent(0));
        assert_eq!(nearest(1_000.0), exponent(10));
        assert_eq!(nearest(1.41), exponent(0));
        assert_eq!(nearest(1.42), exponent(1));
        assert_eq!(nearest(0.000_15), exponent(-13));
        assert_eq!(nearest(f64::MIN_POSITIVE / 4.0), Exponent::MIN);
        assert_eq!(nearest(1e300), Exponent::MAX);
    }

    #[test]
    fn a_least_difficulty_is_never_gone_below() {
        let at_least = |number| Difficulty::new(number).unwrap().at_least();
        assert_eq!(at_least(2_048.0), exponent(11));
        assert_eq!(at_least(2_048.5), exponent(12));
        assert_eq!(at_least(500_000.0), exponent(19));
        assert_eq!(at_least(0.75), exponent(0));
    }

    #[test]
    fn what_is_no_difficulty_is_none() {
        for number in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Difficulty::new(number).is_err(), "{number}");
        }
        assert!(serde_json::from_str::<Difficulty>("\"1e\"").is_err());
        let text: Difficulty = serde_json::from_str("\" 512 \"").unwrap();
        assert_eq!(text, Difficulty::new(512.0).unwrap());
    }
}
