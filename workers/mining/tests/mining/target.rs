//! Targets, against vectors and against two other implementations.

use mining::{
    Hashrate, Target,
    target::{difficulty_sum, easiest_within, hardest_on},
};
use proptest::prelude::*;
use std::num::NonZeroU32;
use stratum_core::channels_sv2::target::hash_rate_to_target;
use subjects::{Exponent, Work};

fn k(exponent: i64) -> Exponent {
    Exponent::new(exponent).unwrap()
}

fn shares(per_minute: u32) -> NonZeroU32 {
    NonZeroU32::new(per_minute).unwrap()
}

#[test]
fn exponents_are_powers_of_two_of_difficulty_one() {
    let target = |exponent| format!("{:?}", Target::of(k(exponent)));
    assert_eq!(target(0), format!("00000000ffff{}", "0".repeat(52)));
    assert_eq!(target(1), format!("000000007fff8{}", "0".repeat(51)));
    assert_eq!(target(-16), format!("0000ffff{}", "0".repeat(56)));
    assert_eq!(target(-32), format!("ffff{}", "0".repeat(60)));
    assert_eq!(Target::of(k(0)).difficulty_ppm(), 1_000_000);
    assert_eq!(Target::of(k(10)).difficulty_ppm(), 1_024_000_000);
    assert_eq!(Target::of(k(-16)).difficulty_ppm(), 15);
}

#[test]
fn nbits_are_read_as_consensus_reads_them() {
    let target = |nbits| Target::from_nbits(nbits).map(|target| format!("{target:?}"));
    assert_eq!(target(0x1d00_ffff), Ok(format!("{:?}", Target::of(k(0)))));
    assert_eq!(target(0x207f_ffff), Ok(format!("7fffff{}", "0".repeat(58))));
    assert_eq!(target(0x1e03_77ae), Ok(format!("00000377ae{}", "0".repeat(54))));
    assert_eq!(target(0x0112_3456), Ok(format!("{}12", "0".repeat(62))));
    // Bitcoin Core's arith_uint256 tests: zero, negative, overflow.
    for refused in [0, 0x0012_3456, 0x0100_3456, 0x01fe_dcba, 0x0492_3456, 0xff12_3456, 0x2300_0001]
    {
        assert!(target(refused).is_err(), "{refused:#x}");
    }
    assert_eq!(target(0x2200_0001), Ok(format!("01{}", "0".repeat(62))));
}

#[test]
fn network_work_is_what_bitcoind_counts() {
    let work = |nbits| Target::from_nbits(nbits).unwrap().work();
    assert_eq!(work(0x1d00_ffff), Work::new(0x1_0001_0001));
    assert_eq!(work(0x207f_ffff), Work::new(2));
    assert_eq!(work(0x0101_0000), Work::new(u128::MAX));
    assert_eq!(Target::from_le_bytes([0xff; 32]).work(), Work::new(1));
}

#[test]
fn a_clients_max_target_bounds_the_easiest_exponent() {
    assert_eq!(easiest_within(Target::from_le_bytes([0xff; 32])), Some(Exponent::MIN));
    assert_eq!(easiest_within(Target::of(k(5))), Some(k(5)));
    let mut below = Target::of(k(5)).to_le_bytes();
    below[20] = 0;
    below[26] -= 1;
    assert_eq!(easiest_within(Target::from_le_bytes(below)), Some(k(6)));
    assert_eq!(easiest_within(Target::from_le_bytes([0; 32])), None);
}

#[test]
fn no_job_is_harder_than_its_block() {
    assert_eq!(hardest_on(Target::of(k(7))), k(7));
    assert_eq!(hardest_on(Target::from_nbits(0x1d00_fffe).unwrap()), k(0));
    assert_eq!(hardest_on(Target::from_nbits(0x207f_ffff).unwrap()), Exponent::MIN);
}

#[test]
fn the_dev_networks_miners_get_65536_hashes_a_share() {
    assert_eq!(Hashrate::new(200_000).exponent(shares(180)), k(-16));
    assert_eq!(Hashrate::new(0).exponent(shares(6)), Exponent::MIN);
    assert_eq!(Hashrate::new(u128::MAX).exponent(shares(1)), Exponent::MAX);
    assert_eq!(Hashrate::of_work(k(-16).work(), 500), Hashrate::new(131_072));
    assert_eq!(difficulty_sum(Work::new(3 << 32)), 3);
    assert_eq!(difficulty_sum(Work::new(u128::MAX)), u64::MAX);
}

#[test]
fn a_hashrate_that_cannot_be_is_refused() {
    for refused in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, -f32::MIN_POSITIVE] {
        assert!(Hashrate::from_sv2(refused).is_err(), "{refused}");
    }
    assert_eq!(Hashrate::from_sv2(0.0), Ok(Hashrate::new(0)));
    assert_eq!(Hashrate::from_sv2(-0.0), Ok(Hashrate::new(0)));
    assert_eq!(Hashrate::from_sv2(0.99), Ok(Hashrate::new(0)));
    assert_eq!(Hashrate::from_sv2(1.5), Ok(Hashrate::new(1)));
    assert_eq!(Hashrate::from_sv2(1e14), Ok(Hashrate::new(100_000_000_376_832)));
    assert_eq!(Hashrate::from_sv2(f32::MAX), Ok(Hashrate::new(u128::MAX - (u128::MAX >> 24))));
}

proptest! {
    #[test]
    fn nbits_agree_with_rust_bitcoin(nbits: u32) {
        if let Ok(target) = Target::from_nbits(nbits) {
            let theirs = bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(nbits));
            prop_assert_eq!(target.to_le_bytes(), theirs.to_le_bytes());
            let work = u128::from_str_radix(&format!("{:x}", theirs.to_work()), 16);
            prop_assert_eq!(target.work().to_u128(), work.unwrap_or(u128::MAX));
        }
    }

    #[test]
    fn a_hash_meets_a_target_as_numbers_compare(hash: [u8; 32], exponent in -32..=95_i64) {
        let (mut big, mut limit) = (hash, Target::of(k(exponent)).to_le_bytes());
        big.reverse();
        limit.reverse();
        prop_assert_eq!(Target::of(k(exponent)).is_met_by(&hash), big <= limit);
    }

    #[test]
    fn the_credited_work_is_the_expected_work(exponent in -31..=94_i64) {
        // 2^(k+32) counts a target of 0xFFFF.. as 0x10000..: 1 in 65 536 below the exact count.
        let (nominal, exact) = (k(exponent).work().to_u128(), Target::of(k(exponent)).work().to_u128());
        prop_assert!(exact >= nominal && exact - nominal <= (nominal >> 15) + 1);
    }

    #[test]
    fn a_float_is_read_as_its_whole_part(rate in 0.0_f32..1e30) {
        let whole: u128 = format!("{:.0}", rate.trunc()).parse().unwrap();
        prop_assert_eq!(Hashrate::from_sv2(rate), Ok(Hashrate::new(whole)));
    }

    #[test]
    fn an_exponent_is_the_power_of_two_nearest_to_the_library_target(
        rate in 1_000_000_u64..1_000_000_000_000_000, per_minute in 1_u32..120,
    ) {
        let ours = Target::of(Hashrate::new(rate.into()).exponent(shares(per_minute)));
        let rate = f64::from(u32::try_from(rate >> 20).unwrap()) * f64::from(1_u32 << 20);
        let theirs = hash_rate_to_target(rate, f64::from(per_minute)).unwrap();
        let ratio = ours.difficulty_ppm().max(1);
        let theirs = Target::from_le_bytes(theirs.to_le_bytes()).difficulty_ppm().max(1);
        // Within √2 of one another, with room for what the float and the ppm round away.
        prop_assert!(ratio * 100 <= theirs * 150 + 300 && theirs * 100 <= ratio * 150 + 300);
    }
}
