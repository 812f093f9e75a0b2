//! Which pool is tried when.

use std::time::Duration;

/// Bounds of the pause after all pools were tried in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// The first is at most this.
    pub first: Duration,
    /// None is longer.
    pub longest: Duration,
}

/// A connection that ends sooner than this was none: the next attempt waits like after a failure.
const WORTHWHILE: Duration = Duration::from_secs(30);

/// The next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The pool's place in the list.
    pub place: usize,
    /// To be waited before.
    pub pause: Duration,
}

/// The way through the list of pools: each round begins with the first. It never runs out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Route {
    next: usize,
    /// Rounds that failed one after the other.
    rounds: u32,
}

impl Route {
    /// The next attempt, of a list of `pools`. `random` spreads the translators that lost one pool:
    /// between a tenth of and the whole of what the pause may be.
    pub fn attempt(&mut self, pools: usize, pauses: Pauses, random: u32) -> Attempt {
        if self.next >= pools {
            self.next = 0;
        }
        let place = self.next;
        self.next = self.next.saturating_add(1);
        if place > 0 || self.rounds == 0 {
            self.rounds = self.rounds.max(1);
            return Attempt { place, pause: Duration::ZERO };
        }
        let doubled = 1_u32.checked_shl(self.rounds.saturating_sub(1).min(16)).unwrap_or(u32::MAX);
        let most = pauses.first.saturating_mul(doubled).min(pauses.longest);
        self.rounds = self.rounds.saturating_add(1);
        let least = most / 10;
        let span = u64::try_from((most - least).as_millis()).unwrap_or(u64::MAX);
        let part = u64::from(random).saturating_mul(span) >> 32;
        Attempt { place, pause: least + Duration::from_millis(part) }
    }

    /// A connection that stood for so long has ended: the first pool is next, at once if it was
    /// worth something.
    pub fn ended(&mut self, stood: Duration) {
        self.next = 0;
        self.rounds = if stood >= WORTHWHILE { 0 } else { self.rounds.max(1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses =
        Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

    #[test]
    fn pools_are_tried_in_their_order_and_pauses_double_up_to_a_minute() {
        let mut route = Route::default();
        let mut attempts = Vec::new();
        for _ in 0..18 {
            let Attempt { place, pause } = route.attempt(2, PAUSES, u32::MAX);
            attempts.push((place, pause.as_millis()));
        }
        let pauses = [0, 999, 1_999, 3_999, 7_999, 15_999, 31_999, 59_999, 59_999];
        let expected: Vec<_> = pauses.into_iter().flat_map(|ms| [(0, ms), (1, 0)]).collect();
        assert_eq!(attempts, expected);
    }

    #[test]
    fn what_stood_is_tried_again_at_once_and_what_did_not_is_not() {
        let mut route = Route::default();
        for _ in 0..7 {
            route.attempt(2, PAUSES, 0);
        }
        route.ended(WORTHWHILE);
        assert_eq!(route.attempt(2, PAUSES, 0), Attempt { place: 0, pause: Duration::ZERO });
        route.ended(Duration::from_secs(1));
        let pause = Duration::from_millis(100);
        assert_eq!(route.attempt(2, PAUSES, 0), Attempt { place: 0, pause });
    }

    #[test]
    fn a_list_that_became_shorter_is_begun_again() {
        let mut route = Route::default();
        route.attempt(3, PAUSES, 0);
        route.attempt(3, PAUSES, 0);
        assert_eq!(route.attempt(1, PAUSES, 0).place, 0);
    }
}
