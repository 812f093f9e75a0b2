//! Variable difficulty: which target gives a channel the wanted number of shares a minute.
//!
//! Shares of a steady miner are a Poisson process, so two numbers say all there is to know: how
//! many shares came, and how many would have come by now from a miner that suits the target in
//! force. When the target changes, the second number is scaled instead of forgotten; evidence
//! gathered at a wrong target therefore still counts at the next one.
//!
//! A channel starts *unsettled*: what its miner claims is a guess, so little evidence moves it, in
//! steps of up to eight and more. Once a window agrees with the target it is *settled*, and only
//! evidence that chance hardly ever makes moves it.

use std::{num::NonZeroU32, time::Duration};
use subjects::Exponent;

/// The targets that a channel may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The easiest: the configured floor, or what the client said it would take.
    pub easiest: Exponent,
    /// The hardest: a share must never be rarer than a block.
    pub hardest: Exponent,
}

impl Limits {
    /// The exponent within the limits that is nearest to `exponent`. The easiest wins over the
    /// hardest, because clients must never see an easier target than they asked for.
    pub fn clamp(self, exponent: Exponent) -> Exponent {
        exponent.min(self.hardest).max(self.easiest)
    }
}

/// What a channel's shares say about its target.
#[derive(Clone, Copy, Debug)]
pub struct Vardiff {
    /// Shares seen, older ones counted less.
    seen: f64,
    /// Shares that a miner who suits the target would have sent in the same time.
    expected: f64,
    /// The same since the last share.
    expected_since_share: f64,
    /// Until when time was counted.
    counted_to: Duration,
    settled: bool,
}

/// Expected shares after which a window that needs no change counts as settled.
const SETTLED_AFTER: f64 = 16.0;
/// Expected shares at which the past starts to count half.
const WINDOW: f64 = 64.0;
/// Shares that must have come before a target is raised.
const LEAST_SHARES: f64 = 8.0;
/// Bound of a division: no time at all has passed.
const LEAST_EXPECTED: f64 = 1e-6;
/// Expected shares after which silence lowers the target of a channel that is not settled.
const SILENCE: f64 = 2.0;
/// How far silence lowers it: by 2^3 at a time, so that a miner 1 000 times slower than it said is
/// found within 4 x 10 s at 12 shares a minute.
const SILENCE_STEPS: i64 = -3;
/// Expected shares before few shares, rather than none, lower the target of an unsettled channel.
const FEW: f64 = 4.0;
/// Expected shares after which a settled channel is believed to have lost its miner: chance makes
/// such a gap once in 10^7 shares, and once in 3 000 for a miner at half of the wanted rate.
const LOST: f64 = 16.0;
/// Standard deviations that a settled channel's shares must fall short before its target is eased.
const SIGNIFICANCE: f64 = 3.0;

impl Vardiff {
    /// Nothing is known yet at `now` (monotonic).
    pub const fn new(now: Duration) -> Self {
        Self {
            seen: 0.0,
            expected: 0.0,
            expected_since_share: 0.0,
            counted_to: now,
            settled: false,
        }
    }

    /// A share came at `now`.
    pub fn share(&mut self, now: Duration, shares_per_minute: NonZeroU32) {
        self.pass(now, shares_per_minute);
        self.seen += 1.0;
        self.expected_since_share = 0.0;
    }

    /// The exponent that the channel should have from `now` on, given the one that it has.
    pub fn decide(
        &mut self,
        now: Duration,
        shares_per_minute: NonZeroU32,
        current: Exponent,
        limits: Limits,
    ) -> Exponent {
        self.pass(now, shares_per_minute);
        self.forget_a_lost_miner();
        let wanted = i64::from(current.to_i8()).saturating_add(self.steps());
        let next = limits.clamp(Exponent::clamped(wanted));
        let scale = (f64::from(next.to_i8()) - f64::from(current.to_i8())).exp2();
        self.expected *= scale;
        self.expected_since_share *= scale;
        if next == current {
            self.age();
        }
        next
    }

    /// When [`Vardiff::decide`] can next lower the target if no share comes: from `now`, or `None`
    /// when it cannot go lower.
    pub fn next_check(
        &self,
        now: Duration,
        shares_per_minute: NonZeroU32,
        current: Exponent,
        limits: Limits,
    ) -> Option<Duration> {
        if current <= limits.easiest {
            return None;
        }
        let missing = if self.settled {
            let few = (2.0 * self.seen).max(4.0 * SIGNIFICANCE * SIGNIFICANCE);
            (few - self.expected).min(LOST - self.expected_since_share)
        } else if self.seen < 1.0 {
            SILENCE - self.expected
        } else {
            (2.0 * self.seen).max(FEW) - self.expected
        };
        let uncounted = now.saturating_sub(self.counted_to);
        let wait =
            Duration::from_secs_f64((missing.max(0.0) / rate(shares_per_minute)).min(3600.0));
        Some(wait.saturating_sub(uncounted).max(SHORTEST_WAIT))
    }

    fn pass(&mut self, now: Duration, shares_per_minute: NonZeroU32) {
        let elapsed = now.saturating_sub(self.counted_to).as_secs_f64();
        self.counted_to = self.counted_to.max(now);
        self.expected += elapsed * rate(shares_per_minute);
        self.expected_since_share += elapsed * rate(shares_per_minute);
    }

    fn forget_a_lost_miner(&mut self) {
        if self.settled && self.expected_since_share >= LOST {
            (self.seen, self.expected) = (0.0, self.expected_since_share);
            self.settled = false;
        }
    }

    /// Powers of two by which the target is wrong, as far as there is evidence; otherwise 0.
    fn steps(&self) -> i64 {
        let Self { seen, expected, settled, .. } = *self;
        if seen >= LEAST_SHARES && seen >= 2.0 * expected {
            return log2(seen / expected.max(LEAST_EXPECTED));
        }
        let few = seen <= expected / 2.0;
        let enough = if settled {
            expected - seen >= SIGNIFICANCE * expected.sqrt()
        } else if seen < 1.0 {
            expected >= SILENCE
        } else {
            expected >= FEW
        };
        match few && enough {
            true if seen < 1.0 => SILENCE_STEPS,
            true => log2(seen / expected).min(-1),
            false => 0,
        }
    }

    fn age(&mut self) {
        self.settled |= self.expected >= SETTLED_AFTER;
        if self.expected >= WINDOW {
            self.seen /= 2.0;
            self.expected /= 2.0;
        }
    }
}

/// From the easiest exponent to the hardest.
const MAX_STEPS: i64 = 127;
/// Least time between two looks at a channel without shares.
const SHORTEST_WAIT: Duration = Duration::from_millis(250);

fn rate(shares_per_minute: NonZeroU32) -> f64 {
    f64::from(shares_per_minute.get()) / 60.0
}

/// The whole number nearest to `log2(ratio)`, for a positive finite ratio.
fn log2(ratio: f64) -> i64 {
    let (mut rest, mut log2) = (ratio, 0);
    while rest >= std::f64::consts::SQRT_2 && log2 < MAX_STEPS {
        (rest, log2) = (rest / 2.0, log2 + 1);
    }
    while rest < std::f64::consts::FRAC_1_SQRT_2 && log2 > -MAX_STEPS {
        (rest, log2) = (rest * 2.0, log2 - 1);
    }
    log2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// The figure of the specification: 12 shares a minute.
    const WANTED: NonZeroU32 = NonZeroU32::new(12).unwrap();

    const LIMITS: Limits = Limits { easiest: Exponent::MIN, hardest: Exponent::MAX };

    /// A miner whose hashrate suits exponent `suits` exactly, starting at `start`: the exponents
    /// that it was given, with the second of each.
    fn run(seed: u64, suits: f64, start: Exponent, seconds: u64) -> Vec<(u64, i8)> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut vardiff = Vardiff::new(Duration::ZERO);
        let (mut current, mut now, mut given) = (start, Duration::ZERO, vec![(0, start.to_i8())]);
        let end = Duration::from_secs(seconds);
        while now < end {
            let per_second = rate(WANTED) * (suits - f64::from(current.to_i8())).exp2();
            let gap = -random.gen_range(f64::MIN_POSITIVE..1.0_f64).ln() / per_second;
            let share = now + Duration::from_secs_f64(gap.min(1e6));
            let check = vardiff.next_check(now, WANTED, current, LIMITS).map(|wait| now + wait);
            if check.is_some_and(|check| check < share) {
                now = check.unwrap_or(end);
            } else {
                now = share;
                vardiff.share(now, WANTED);
            }
            let next = vardiff.decide(now, WANTED, current, LIMITS);
            if next != current {
                current = next;
                given.push((now.as_secs(), current.to_i8()));
            }
        }
        given
    }

    fn in_force(given: &[(u64, i8)], second: u64) -> i8 {
        given.iter().take_while(|(at, _)| *at <= second).last().unwrap().1
    }

    /// Chance is part of the matter, so the seeds are fixed and the promise is a share of them.
    fn of_1000(holds: impl Fn(u64) -> bool) -> usize {
        (0..1_000).filter(|seed| holds(*seed)).count()
    }

    #[test]
    fn a_start_that_is_wrong_by_1000_is_right_within_a_minute() {
        for wrong in [-10.0, -7.3, -3.5, 3.5, 7.3, 10.0] {
            let off = |seed| {
                let given = run(seed, wrong, Exponent::clamped(0), 60);
                (f64::from(in_force(&given, 60)) - wrong).abs()
            };
            let (by_two, by_four) =
                (of_1000(|seed| off(seed) <= 1.0), of_1000(|seed| off(seed) <= 2.0));
            assert!(by_two >= 800, "{by_two} of 1000 starts wrong by 2^{wrong} are right to 2");
            assert!(by_four >= 970, "{by_four} of 1000 starts wrong by 2^{wrong} are right to 4");
        }
    }

    #[test]
    fn a_steady_miner_keeps_its_target_within_a_factor_of_two() {
        for offset in [-0.5, -0.2, 0.0, 0.3, 0.5] {
            let steady = of_1000(|seed| {
                let given = run(seed, offset, Exponent::clamped(0), 2 * 3600);
                let settled = given.iter().filter(|(at, _)| *at > 300).map(|(_, k)| *k);
                let all: Vec<i8> = settled.chain([in_force(&given, 300)]).collect();
                all.iter().max().unwrap() - all.iter().min().unwrap() <= 1
                    && all.iter().all(|k| (-1..=1).contains(k))
            });
            assert!(steady >= 998, "{steady} of 1000 miners off by 2^{offset} were left in peace");
        }
    }

    proptest! {
        #[test]
        fn a_target_stays_within_its_limits_whatever_comes(
            gaps in prop::collection::vec((0_u64..100_000, any::<bool>()), 0..200),
            start in any::<i8>(), floor in -32_i64..40, room in 0_i64..50,
        ) {
            let limits =
                Limits { easiest: Exponent::clamped(floor), hardest: Exponent::clamped(floor + room) };
            let (mut vardiff, mut now) = (Vardiff::new(Duration::ZERO), Duration::ZERO);
            let mut current = limits.clamp(Exponent::clamped(start.into()));
            for (gap, share) in gaps {
                now += Duration::from_millis(gap);
                if share {
                    vardiff.share(now, WANTED);
                }
                current = vardiff.decide(now, WANTED, current, limits);
                prop_assert_eq!(current, limits.clamp(current));
                let wait = vardiff.next_check(now, WANTED, current, limits);
                prop_assert_eq!(wait.is_none(), current == limits.easiest);
            }
        }
    }

    #[test]
    fn a_target_never_leaves_its_limits() {
        let limits = Limits { easiest: Exponent::clamped(3), hardest: Exponent::clamped(5) };
        assert_eq!(limits.clamp(Exponent::MAX), Exponent::clamped(5));
        assert_eq!(limits.clamp(Exponent::MIN), Exponent::clamped(3));
        let crossed = Limits { easiest: Exponent::clamped(9), ..limits };
        assert_eq!(crossed.clamp(Exponent::MIN), Exponent::clamped(9));
    }

    #[test]
    fn a_miner_that_falls_silent_is_given_easier_targets_and_one_at_the_floor_is_left_alone() {
        let mut vardiff = Vardiff::new(Duration::ZERO);
        let mut now = Duration::ZERO;
        let zero = Exponent::clamped(0);
        for _ in 0..40 {
            now += Duration::from_secs(5);
            vardiff.share(now, WANTED);
            assert_eq!(vardiff.decide(now, WANTED, zero, LIMITS), zero);
        }
        let wait = vardiff.next_check(now, WANTED, zero, LIMITS).unwrap();
        assert!(wait <= Duration::from_secs(81), "{wait:?}");
        assert!(vardiff.decide(now + wait, WANTED, zero, LIMITS) < zero);
        let floor = Limits { easiest: zero, hardest: Exponent::MAX };
        assert_eq!(vardiff.next_check(now, WANTED, zero, floor), None);
    }
}
