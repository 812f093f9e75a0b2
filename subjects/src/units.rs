//! Quantities that must never be confused with one another. Money and work are integers.

use crate::hexed::read_text;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{borrow::Cow, fmt};

/// A whole number of satoshis, at most the supply cap.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Sats(u64);

impl Sats {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The supply cap: no amount may exceed it.
    pub const MAX: Self = Self(21_000_000 * 100_000_000);

    /// The amount, or `None` above [`Self::MAX`].
    pub const fn new(sats: u64) -> Option<Self> {
        if sats <= Self::MAX.0 { Some(Self(sats)) } else { None }
    }

    /// The number of satoshis.
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The sum, or `None` above the supply cap.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::new(sum),
            None => None,
        }
    }

    /// The difference, or `None` below zero.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }
}

impl fmt::Display for Sats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sat", self.0)
    }
}

impl<'de> Deserialize<'de> for Sats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sats = u64::deserialize(deserializer)?;
        Self::new(sats).ok_or_else(|| D::Error::custom("more than 21 million bitcoin"))
    }
}

/// Expected hashes behind a proof. A decimal string in JSON, because it outgrows 53 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work(u128);

impl Work {
    /// No work.
    pub const ZERO: Self = Self(0);

    /// Wraps an expected hash count.
    pub const fn new(hashes: u128) -> Self {
        Self(hashes)
    }

    /// The expected hash count.
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// The sum, or `None` on overflow.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Work {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Work {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, |text| {
            let digits = text.starts_with(|first: char| matches!(first, '1'..='9'));
            let work = text.parse().ok().filter(|_| digits || text == "0").map(Self);
            work.ok_or("work is a decimal string without leading zeros")
        })
    }
}

impl JsonSchema for Work {
    fn schema_name() -> Cow<'static, str> {
        "Work".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(0|[1-9][0-9]{0,38})$" })
    }
}

/// The exponent is outside of what targets and work can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target exponent {0} is outside of -32 to 95")]
pub struct ExponentOutOfRange(pub i64);

/// A share target as a power of two: difficulty `2^k`, target `(0xFFFF * 2^208) >> k`.
///
/// The exponent is committed in the coinbase that a share hashes, so its price is fixed before
/// its hash is known. A share credits `2^(k + 32)` hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Exponent(i8);

impl Exponent {
    /// The easiest target: work of a single hash.
    pub const MIN: Self = Self(-32);
    /// The hardest target: `2^127` hashes still fit the work type.
    pub const MAX: Self = Self(95);

    /// The exponent, if it lies within [`Self::MIN`] and [`Self::MAX`].
    pub fn new(k: i64) -> Result<Self, ExponentOutOfRange> {
        i8::try_from(k)
            .ok()
            .map(Self)
            .filter(|exponent| (Self::MIN..=Self::MAX).contains(exponent))
            .ok_or(ExponentOutOfRange(k))
    }

    /// The exponent within the bounds that is nearest to `k`.
    pub fn clamped(k: i64) -> Self {
        Self::new(k).unwrap_or(if k < 0 { Self::MIN } else { Self::MAX })
    }

    /// The signed byte that the coinbase commits to.
    pub const fn to_i8(self) -> i8 {
        self.0
    }

    /// Nominal hashes that one share at this target is credited with: `2^(k + 32)`.
    pub fn work(self) -> Work {
        let shift = i16::from(self.0) + 32;
        Work(1_u128 << u32::from(shift.unsigned_abs()).min(127))
    }
}

impl fmt::Display for Exponent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Exponent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Milliseconds since 1970-01-01 UTC, as one host's clock said. Statistics only: no clock decides
/// between hosts.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Milliseconds from `earlier` to `self`; zero when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `millis`.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_two_to_the_exponent_plus_32() {
        assert_eq!(Exponent::MIN.work(), Work::new(1));
        assert_eq!(Exponent::new(0).unwrap().work(), Work::new(1 << 32));
        assert_eq!(Exponent::MAX.work(), Work::new(1 << 127));
        assert_eq!(Exponent::new(96), Err(ExponentOutOfRange(96)));
        assert_eq!(Exponent::clamped(-999), Exponent::MIN);
    }

    #[test]
    fn an_amount_above_the_supply_does_not_exist() {
        assert_eq!(Sats::new(2_100_000_000_000_001), None);
        assert!(serde_json::from_str::<Sats>("2100000000000001").is_err());
        assert_eq!(Sats::MAX.checked_add(Sats::new(1).unwrap()), None);
    }

    #[test]
    fn work_has_one_spelling() {
        assert_eq!(serde_json::to_string(&Work::new(7)).unwrap(), "\"7\"");
        assert!(serde_json::from_str::<Work>("\"07\"").is_err());
        assert!(serde_json::from_str::<Work>("7").is_err());
    }
}
