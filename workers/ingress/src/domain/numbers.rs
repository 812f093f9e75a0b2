//! Channel numbers: the last three bytes of extranonce prefixes, and so of header space.

use std::collections::VecDeque;
use subjects::shares::MAX_CHANNEL;

/// Tips that must pass before a freed number is given again: no two miners may ever search the
/// same headers, and old work stays acceptable in Core for a while.
const REST_TIPS: u64 = 2;

/// A channel's number. Not `Clone`: whoever holds it owns that header space.
#[derive(Debug, PartialEq, Eq)]
pub struct Number {
    value: u32,
    /// Session facts said of this number in this boot epoch: their ids go on counting.
    facts: u32,
}

impl Number {
    /// The number itself.
    pub const fn value(&self) -> u32 {
        self.value
    }

    /// The position of the next session fact.
    pub const fn next_fact(&mut self) -> u32 {
        let position = self.facts;
        self.facts = self.facts.saturating_add(1);
        position
    }
}

/// The numbers of one boot epoch.
#[derive(Debug, Default)]
pub struct Numbers {
    /// The least number that was never given.
    fresh: u32,
    /// Freed numbers, with the count of tips at which they were.
    resting: VecDeque<(u64, Number)>,
}

impl Numbers {
    /// Gives a number that nobody had on the tips that still count; `None` when all are taken.
    /// `tips` counts the changes of the tip so far.
    pub fn take(&mut self, tips: u64) -> Option<Number> {
        let rested = |freed: &(u64, Number)| freed.0.saturating_add(REST_TIPS) <= tips;
        if let Some((_, number)) = self.resting.pop_front_if(|freed| rested(freed)) {
            return Some(number);
        }
        if self.fresh > MAX_CHANNEL {
            return None;
        }
        let value = self.fresh;
        self.fresh = self.fresh.saturating_add(1);
        Some(Number { value, facts: 0 })
    }

    /// Takes a number back.
    pub fn free(&mut self, number: Number, tips: u64) {
        self.resting.push_back((tips, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Take,
        Free(usize),
        Tip,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![Just(Step::Take), (0..8_usize).prop_map(Step::Free), Just(Step::Tip)]
    }

    proptest! {
        #[test]
        fn a_number_rests_for_two_tips_and_is_never_held_twice(
            steps in prop::collection::vec(step(), 0..300),
        ) {
            let (mut numbers, mut tips) = (Numbers::default(), 0);
            let (mut held, mut freed_at) = (Vec::<Number>::new(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Take => {
                        let number = numbers.take(tips).unwrap();
                        prop_assert!(held.iter().all(|other| other.value() != number.value()));
                        if let Some(freed) = freed_at.get(&number.value()) {
                            prop_assert!(freed + REST_TIPS <= tips);
                        }
                        held.push(number);
                    }
                    Step::Free(index) if index < held.len() => {
                        let number = held.swap_remove(index);
                        freed_at.insert(number.value(), tips);
                        numbers.free(number, tips);
                    }
                    Step::Free(_) => {}
                    Step::Tip => tips += 1,
                }
            }
        }
    }

    #[test]
    fn a_reused_number_goes_on_counting_its_facts() {
        let mut numbers = Numbers::default();
        let mut number = numbers.take(0).unwrap();
        assert_eq!((number.next_fact(), number.next_fact()), (0, 1));
        numbers.free(number, 0);
        let mut again = numbers.take(2).unwrap();
        assert_eq!((again.value(), again.next_fact()), (0, 2));
    }

    #[test]
    fn there_are_three_bytes_of_numbers() {
        let mut numbers = Numbers { fresh: MAX_CHANNEL, resting: VecDeque::new() };
        assert_eq!(numbers.take(0).unwrap().value(), MAX_CHANNEL);
        assert_eq!(numbers.take(0), None);
    }
}
