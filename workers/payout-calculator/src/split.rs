//! How a subsidy is split, to the satoshi (money rules, sections 1 and 2).

use primitive_types::U256;
use std::cmp::Reverse;
use subjects::{Sats, Work};

/// Part of the subsidy that the treasury keeps, in thousandths, rounded down.
pub const TREASURY_PER_MILLE: u64 = 5;
/// Part of the subsidy that the nodes get, in thousandths, rounded down.
pub const NODES_PER_MILLE: u64 = 5;

/// The parts of one subsidy; they add up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// `T`, the treasury's.
    pub treasury: Sats,
    /// `N`, the nodes'.
    pub nodes: Sats,
    /// `M`, the miners': all that rounding leaves.
    pub miners: Sats,
}

/// An amount cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Nobody did any work, so nobody can be paid.
    #[error("there is no work to split the amount over")]
    NoWork,
    /// The sum of the work does not fit 128 bits.
    #[error("the sum of the work overflows 128 bits")]
    Overflow,
}

impl Parts {
    /// Splits a subsidy.
    pub fn of(subsidy: Sats) -> Self {
        let treasury = per_mille(subsidy, TREASURY_PER_MILLE);
        let nodes = per_mille(subsidy, NODES_PER_MILLE);
        let rest = subsidy.checked_sub(treasury).and_then(|rest| rest.checked_sub(nodes));
        // Two times five thousandths are never more than the whole.
        Self { treasury, nodes, miners: rest.unwrap_or(Sats::ZERO) }
    }
}

/// Splits `amount` in proportion to `works`: each gets the share rounded down, and what is left
/// goes one satoshi each to the largest remainders, ties in the order of `works`. The result adds
/// up to `amount` exactly.
///
/// # Errors
///
/// When there is no work, or its sum overflows.
pub fn share_out(amount: Sats, works: &[Work]) -> Result<Vec<Sats>, SplitError> {
    let total = works.iter().try_fold(Work::ZERO, |sum, work| sum.checked_add(*work));
    let total = U256::from(total.ok_or(SplitError::Overflow)?.to_u128());
    let mut amounts = Vec::with_capacity(works.len());
    let mut remainders = Vec::with_capacity(works.len());
    let mut left = amount;
    for (index, work) in works.iter().enumerate() {
        let (floor, remainder) = proportion(amount, *work, total).ok_or(SplitError::NoWork)?;
        left = left.checked_sub(floor).ok_or(SplitError::Overflow)?;
        amounts.push(floor);
        remainders.push((Reverse(remainder), index));
    }
    // What is left is less than one satoshi for each, so the first ones take it all.
    let lucky = usize::try_from(left.to_u64()).map_err(|_| SplitError::Overflow)?;
    if lucky < remainders.len() {
        remainders.select_nth_unstable(lucky);
    }
    for (_, index) in remainders.iter().take(lucky) {
        if let Some(amount) = amounts.get_mut(*index) {
            *amount = amount.checked_add(ONE).ok_or(SplitError::Overflow)?;
        }
    }
    if works.is_empty() { Err(SplitError::NoWork) } else { Ok(amounts) }
}

/// `⌊amount · work / total⌋` and the remainder; `None` when there is no total.
fn proportion(amount: Sats, work: Work, total: U256) -> Option<(Sats, u128)> {
    // 2^51 satoshis times 2^128 hashes fit 256 bits.
    let product = U256::from(amount.to_u64()).checked_mul(U256::from(work.to_u128()))?;
    let (floor, remainder) = (!total.is_zero()).then(|| product.div_mod(total))?;
    // The remainder is less than the total.
    Some((Sats::new(u64::try_from(floor).ok()?)?, u128::try_from(remainder).ok()?))
}

fn per_mille(amount: Sats, thousandths: u64) -> Sats {
    // The supply cap times five fits 64 bits.
    let part = amount.to_u64().saturating_mul(thousandths).checked_div(1_000);
    part.and_then(Sats::new).unwrap_or(Sats::ZERO)
}

const ONE: Sats = match Sats::new(1) {
    Some(one) => one,
    None => Sats::ZERO,
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sats(amount: u64) -> Sats {
        Sats::new(amount).unwrap()
    }

    fn shares(amount: u64, works: &[u128]) -> Vec<u64> {
        let works: Vec<_> = works.iter().copied().map(Work::new).collect();
        share_out(sats(amount), &works).unwrap().into_iter().map(Sats::to_u64).collect()
    }

    /// The example of the money rules, section 2.
    #[test]
    fn the_rules_own_examples_hold() {
        let parts = Parts::of(sats(312_500_000));
        assert_eq!((parts.treasury, parts.nodes), (sats(1_562_500), sats(1_562_500)));
        assert_eq!(parts.miners, sats(309_375_000));
        assert_eq!(shares(309_375_000, &[5, 3, 2]), [154_687_500, 92_812_500, 61_875_000]);
        assert_eq!(shares(309_375_000, &[1, 1, 1]), [103_125_000; 3]);
        let tiny = Parts::of(sats(1));
        assert_eq!((tiny.treasury, tiny.nodes, tiny.miners), (Sats::ZERO, Sats::ZERO, sats(1)));
        assert_eq!(shares(1, &[2, 3]), [0, 1], "to the largest remainder");
    }

    #[test]
    fn ties_go_to_the_earlier_one() {
        assert_eq!(shares(2, &[1, 1, 1]), [1, 1, 0]);
        assert_eq!(shares(5, &[3, 1, 3]), [2, 1, 2]);
        assert_eq!(shares(0, &[1, 1]), [0, 0]);
        assert_eq!(shares(7, &[0, 1]), [0, 7]);
    }

    #[test]
    fn no_work_and_too_much_of_it_are_refused() {
        assert_eq!(share_out(sats(1), &[]), Err(SplitError::NoWork));
        assert_eq!(share_out(sats(1), &[Work::ZERO]), Err(SplitError::NoWork));
        let much = [Work::new(u128::MAX), Work::new(1)];
        assert_eq!(share_out(sats(1), &much), Err(SplitError::Overflow));
        assert_eq!(shares(Sats::MAX.to_u64(), &[u128::MAX]), [Sats::MAX.to_u64()]);
    }

    proptest! {
        #[test]
        fn a_subsidy_is_split_without_a_rest(subsidy in 0..=Sats::MAX.to_u64()) {
            let parts = Parts::of(sats(subsidy));
            let sum = parts.treasury.to_u64() + parts.nodes.to_u64() + parts.miners.to_u64();
            prop_assert_eq!(sum, subsidy);
            prop_assert_eq!(u128::from(parts.treasury.to_u64()), u128::from(subsidy) * 5 / 1000);
        }

        #[test]
        fn shares_add_up_and_are_within_one_satoshi_of_the_exact_part(
            amount in 0..=Sats::MAX.to_u64(),
            works in proptest::collection::vec(0_u128..(u128::MAX >> 64), 1..50),
        ) {
            prop_assume!(works.iter().any(|work| *work > 0));
            let amounts = shares(amount, &works);
            prop_assert_eq!(amounts.iter().map(|part| u128::from(*part)).sum::<u128>(), amount.into());
            let total = U256::from(works.iter().sum::<u128>());
            for (part, work) in amounts.iter().zip(&works) {
                let exact = U256::from(amount) * U256::from(*work);
                prop_assert!(U256::from(*part) * total < exact + total, "at most rounded up");
                prop_assert!((U256::from(*part) + 1) * total > exact, "at least rounded down");
            }
        }

        #[test]
        fn whoever_did_more_gets_no_less(
            amount in 0_u64..1_000_000,
            works in proptest::collection::vec(0_u128..1_000, 2..20),
        ) {
            prop_assume!(works.iter().any(|work| *work > 0));
            let amounts = shares(amount, &works);
            for (one, first) in works.iter().zip(&amounts) {
                for (other, second) in works.iter().zip(&amounts) {
                    prop_assert!(one <= other || first >= second);
                }
            }
        }
    }
}
