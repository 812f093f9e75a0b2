//! What a fleet saw, counted by all its miners at once.

use serde::Serialize;
use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Parts that each doubling of a latency is told apart in: an error of 3 %.
const PARTS: u64 = 32;
/// Microseconds up to 2^32, in parts.
const BUCKETS: usize = 1_024;

/// How long something took, many times.
pub struct Latencies([AtomicU64; BUCKETS]);

impl Default for Latencies {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:?} p99 {:?}", self.quantile(0.5), self.quantile(0.99))
    }
}

impl Latencies {
    /// Notes `count` that took equally long.
    pub fn note(&self, took: Duration, count: u64) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let last = BUCKETS - 1;
        let place = usize::try_from(bucket(micros)).unwrap_or(last).min(last);
        if let Some(bucket) = self.0.get(place) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many are noted.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// What this part of all took at most; zero when nothing is noted.
    pub fn quantile(&self, part: f64) -> Duration {
        let all = crate::bench::meter::float(self.count());
        let mut below = 0.0;
        for (place, bucket) in (0_u64..).zip(&self.0) {
            below += crate::bench::meter::float(bucket.load(Ordering::Relaxed));
            if below > 0.0 && below >= part * all {
                return Duration::from_micros(upper(place));
            }
        }
        Duration::ZERO
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for bucket in &self.0 {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

fn bucket(micros: u64) -> u64 {
    let doublings = u64::from(micros.max(1).ilog2()).saturating_sub(u64::from(PARTS.ilog2()));
    doublings * PARTS + (micros >> doublings)
}

/// The largest latency of a bucket.
const fn upper(bucket: u64) -> u64 {
    let doublings = (bucket / PARTS).saturating_sub(1);
    ((bucket - doublings * PARTS + 1) << doublings) - 1
}

/// A tally in words that machines read.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    seconds: u64,
    submitted: u64,
    acknowledged: u64,
    refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    latency_ms_p50: f64,
    latency_ms_p95: f64,
    latency_ms_p99: f64,
    /// From the first miner that heard of a tip to each.
    tip_spread_ms_p50: f64,
    tip_spread_ms_p99: f64,
    tip_spread_ms_max: f64,
}

/// The tip that miners are on their way to.
#[derive(Debug, Default)]
struct Front {
    prevhash: [u8; 32],
    /// When the first miner heard of it.
    first: Duration,
    /// Since when it could be heard of.
    since: Duration,
    /// When the next one could be, if somebody said so.
    marked: Option<Duration>,
}

/// What a fleet saw.
#[derive(Debug, Default)]
pub struct Tally {
    submitted: AtomicU64,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    prevhashes: AtomicU64,
    jobs: AtomicU64,
    /// From the writing of a share to its acknowledgement.
    pub latencies: Latencies,
    /// From the moment that was marked, or else the first miner that heard of a tip, to each.
    pub tips: Latencies,
    /// From the first miner that heard of a tip to each.
    pub spread: Latencies,
    /// From the loss of a connection to work on the next.
    pub breaks: Latencies,
    front: Mutex<Front>,
    lost: AtomicU64,
    /// Shares whose connection broke before they were answered.
    forsaken: AtomicU64,
    why: Mutex<Option<String>>,
}

impl Tally {
    /// Shares that were sent.
    pub fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Acquire)
    }

    /// Shares that the pool said it has.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Shares that the pool did not take.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// Shares that wait for an answer.
    pub fn unanswered(&self) -> u64 {
        let forsaken = self.forsaken.load(Ordering::Acquire);
        let answered = self.acknowledged() + self.refused() + forsaken;
        self.submitted().saturating_sub(answered)
    }

    /// New tips that came.
    pub fn prevhashes(&self) -> u64 {
        self.prevhashes.load(Ordering::Acquire)
    }

    /// Jobs that came, for now or for the next tip.
    pub fn jobs(&self) -> u64 {
        self.jobs.load(Ordering::Acquire)
    }

    /// The code with which a share was refused last.
    pub fn refusal(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that broke; each was made again where the plan says so.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Acquire)
    }

    /// The next tip may be heard of from this moment on.
    pub fn mark(&self, now: Duration) {
        self.front().marked = Some(now);
    }

    /// All of it as a line for machines, of a load that lasted `time`.
    pub fn report(&self, time: Duration) -> Report {
        let millis = |part| self.latencies.quantile(part).as_secs_f64() * 1e3;
        let spread = |part| self.spread.quantile(part).as_secs_f64() * 1e3;
        Report {
            seconds: time.as_secs(),
            submitted: self.submitted(),
            acknowledged: self.acknowledged(),
            refused: self.refused(),
            refusal: self.refusal(),
            latency_ms_p50: millis(0.5),
            latency_ms_p95: millis(0.95),
            latency_ms_p99: millis(0.99),
            tip_spread_ms_p50: spread(0.5),
            tip_spread_ms_p99: spread(0.99),
            tip_spread_ms_max: spread(1.0),
        }
    }

    pub(super) fn sent(&self, shares: u64) {
        self.submitted.fetch_add(shares, Ordering::AcqRel);
    }

    pub(super) fn stored(&self, shares: u64) {
        self.acknowledged.fetch_add(shares, Ordering::AcqRel);
    }

    pub(super) fn turned_down(&self, why: String) {
        self.refused.fetch_add(1, Ordering::AcqRel);
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    pub(super) fn broke(&self, unanswered: usize) {
        self.lost.fetch_add(1, Ordering::AcqRel);
        let unanswered = u64::try_from(unanswered).unwrap_or(u64::MAX);
        self.forsaken.fetch_add(unanswered, Ordering::AcqRel);
    }

    fn front(&self) -> MutexGuard<'_, Front> {
        self.front.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A miner that works is told of another tip.
    pub(super) fn told_of_tip(&self, prevhash: &[u8; 32], now: Duration) {
        self.new_tip();
        let mut front = self.front();
        if front.prevhash != *prevhash {
            let since = front.marked.take().unwrap_or(now);
            *front = Front { prevhash: *prevhash, first: now, since, marked: None };
        }
        self.tips.note(now.saturating_sub(front.since), 1);
        self.spread.note(now.saturating_sub(front.first), 1);
    }

    /// A miner has its first tip.
    pub(super) fn new_tip(&self) {
        self.prevhashes.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn new_job(&self) {
        self.jobs.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_latency_lies_in_its_bucket(micros in 0_u64..1 << 32) {
            let place = bucket(micros);
            prop_assert!(place < BUCKETS as u64);
            prop_assert!(micros <= upper(place));
            prop_assert!(place == 0 || micros > upper(place - 1));
        }
    }

    #[test]
    fn quantiles_count_every_latency() {
        let latencies = Latencies::default();
        latencies.note(Duration::from_micros(10), 98);
        latencies.note(Duration::from_millis(5), 2);
        assert_eq!(latencies.count(), 100);
        assert_eq!(latencies.quantile(0.5), Duration::from_micros(10));
        assert_eq!(latencies.quantile(0.98), Duration::from_micros(10));
        assert!(latencies.quantile(0.99) >= Duration::from_millis(5));
        latencies.clear();
        assert_eq!(latencies.quantile(0.5), Duration::ZERO);
    }
}
