//! Any value of every payload, within the bounds that its type states.

#![expect(clippy::unwrap_used, reason = "a generator makes valid values only")]

mod template;

mod share;

mod block;

mod round;

mod payout;

use proptest::{
    arbitrary::{StrategyFor, any},
    collection::vec,
    prelude::*,
};
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, MinerId, NodeId, ProviderId, Sats, TemplateId,
    Timestamp, Work, shares,
};

pub(crate) use block::{block_submitted, claimed, outcome, solved};
pub(crate) use payout::{block_statement, parked, statement};
pub(crate) use round::{progress, round_closed, slice_closed, slice_lines};
pub(crate) use share::{accepted, refused, rejected, session, submitted};
pub(crate) use template::{template_health, template_new, template_tip};

fn token<T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T>
{
    "[a-z0-9_-]{1,32}".prop_map(|text| text.parse().unwrap())
}

fn node() -> impl Strategy<Value = NodeId> {
    token()
}

fn provider() -> impl Strategy<Value = ProviderId> {
    token()
}

/// Text of at most 255 bytes, not only ASCII.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![".{0,60}", "[a-zA-Z0-9.]{0,255}"]
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn lane() -> impl Strategy<Value = Lane> {
    any::<u16>().prop_map(Lane)
}

fn epoch() -> impl Strategy<Value = BootEpoch> {
    any::<u16>().prop_map(BootEpoch)
}

fn channel() -> std::ops::RangeInclusive<u32> {
    0..=shares::MAX_CHANNEL
}

fn sats() -> impl Strategy<Value = Sats> {
    (0..=Sats::MAX.to_u64()).prop_map(|sats| Sats::new(sats).unwrap())
}

fn work() -> impl Strategy<Value = Work> {
    any::<u128>().prop_map(Work::new)
}

fn exponent() -> impl Strategy<Value = Exponent> {
    (-32_i64..=95).prop_map(|k| Exponent::new(k).unwrap())
}

fn hash() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash)
}

fn template() -> impl Strategy<Value = TemplateId> {
    any::<[u8; 16]>().prop_map(TemplateId)
}

fn miner() -> impl Strategy<Value = MinerId> {
    vec(any::<u8>(), 1..=MinerId::MAX_LENGTH).prop_map(|bytes| MinerId::new(bytes).unwrap())
}

fn bytes(most: usize) -> impl Strategy<Value = HexBytes> {
    vec(any::<u8>(), 0..=most).prop_map(HexBytes)
}

fn digest() -> impl Strategy<Value = HexBytes> {
    any::<[u8; 32]>().prop_map(|digest| HexBytes(digest.to_vec()))
}

fn u64s() -> StrategyFor<u64> {
    any::<u64>()
}

fn u32s() -> StrategyFor<u32> {
    any::<u32>()
}
