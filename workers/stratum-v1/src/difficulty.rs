//! Difficulties: decimal on the wire, powers of two here.

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

#[cfg(test)]
mod tests {
    use super::*;

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
