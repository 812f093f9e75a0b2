//! Quantiles of the last minute from histograms that count since a process began.

use super::metrics::Buckets;
use std::collections::VecDeque;

/// How many observations are kept: a minute of one a second.
const KEPT: usize = 61;

/// The last minute of one histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    seen: VecDeque<Buckets>,
}

impl Window {
    /// Takes the histogram as it is now.
    pub fn add(&mut self, now: Buckets) {
        if self.seen.back().is_some_and(|last| began_again(last, &now)) {
            self.seen.clear();
        }
        if self.seen.len() == KEPT {
            self.seen.pop_front();
        }
        self.seen.push_back(now);
    }

    /// The value that a part `q` (0 to 1) of the window's observations does not exceed, assuming
    /// that they spread evenly within a bucket. `None` without observations.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let counts = self.counts()?;
        let (_, total) = *counts.last()?;
        if total == 0 {
            return None;
        }
        let rank = q * float(total);
        let (mut lower, mut below) = (0.0, 0_u64);
        for (bound, count) in counts {
            if float(count) >= rank {
                // Nothing is known of what is above the last bound but that it is.
                if bound.is_infinite() {
                    return Some(lower);
                }
                let within = (rank - float(below)) / float(count.saturating_sub(below)).max(1.0);
                return Some(lower + (bound - lower) * within);
            }
            (lower, below) = (bound, count);
        }
        Some(lower)
    }

    /// The window's own counts: what is now, less what was a minute ago. A process that has just
    /// begun has nothing before its first observation.
    fn counts(&self) -> Option<Buckets> {
        let (now, before) = (self.seen.back()?, self.seen.front()?);
        let since_start = self.seen.len() < KEPT;
        let less = |((bound, now), (_, before)): (&(f64, u64), &(f64, u64))| {
            (*bound, if since_start { *now } else { now.saturating_sub(*before) })
        };
        Some(now.iter().zip(before).map(less).collect())
    }
}

/// Whether the process was started again in between: counts went down, or the form changed.
fn began_again(before: &Buckets, now: &Buckets) -> bool {
    before.len() != now.len() || before.iter().zip(now).any(|((_, a), (_, b))| b < a)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a minute are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: [u64; 4]) -> Buckets {
        [1.0, 10.0, 100.0, f64::INFINITY].into_iter().zip(counts).collect()
    }

    fn near(found: Option<f64>, wanted: f64) {
        let found = found.unwrap();
        assert!((found - wanted).abs() < 1e-9, "{found} is not {wanted}");
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut window = Window::default();
        window.add(buckets([50, 90, 100, 100]));
        near(window.quantile(0.5), 1.0);
        near(window.quantile(0.25), 0.5);
        near(window.quantile(0.9), 10.0);
        near(window.quantile(0.99), 91.0);
        window.add(buckets([50, 90, 100, 200]));
        near(window.quantile(0.99), 100.0);
    }

    #[test]
    fn only_the_last_minute_counts() {
        let mut window = Window::default();
        window.add(buckets([1_000, 1_000, 1_000, 1_000]));
        for _ in 0..KEPT {
            window.add(buckets([1_000, 1_000, 1_000, 1_000]));
        }
        assert_eq!(window.quantile(0.5), None);
        window.add(buckets([1_000, 1_000, 1_010, 1_010]));
        near(window.quantile(0.5), 55.0);
    }

    #[test]
    fn a_restart_begins_anew() {
        let mut window = Window::default();
        window.add(buckets([0, 0, 0, 100]));
        window.add(buckets([4, 4, 4, 4]));
        near(window.quantile(0.5), 0.5);
        assert_eq!(Window::default().quantile(0.5), None);
        window.add(buckets([0, 0, 0, 0]));
        assert_eq!(window.quantile(0.5), None);
    }
}
