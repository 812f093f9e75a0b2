//! Counts that outlive the processes which count.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A count over all starts of a process, of which each begins with 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    total: u64,
    /// Which start was seen last: its process number and what it had counted.
    last: Option<(u32, u64)>,
}

impl Counter {
    /// Takes what the process `pid` has counted so far.
    pub fn add(&mut self, pid: u32, now: u64) {
        let before = match self.last {
            // A process number that came around again begins below what was seen.
            Some((last_pid, last)) if last_pid == pid && last <= now => last,
            Some(_) | None => 0,
        };
        self.total = self.total.saturating_add(now.saturating_sub(before));
        self.last = Some((pid, now));
    }

    /// The count over all starts.
    pub const fn total(self) -> u64 {
        self.total
    }
}

/// What ingresses count, kept between starts of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Shares judged good, stored and acknowledged.
    pub submitted: Counter,
    /// Shares turned away, by reason.
    pub rejected: BTreeMap<String, Counter>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_on_over_restarts() {
        let mut counter = Counter::default();
        counter.add(10, 5);
        counter.add(10, 8);
        counter.add(11, 2);
        counter.add(11, 2);
        assert_eq!(counter.total(), 10);
        let text = serde_json::to_string(&counter).unwrap();
        let mut kept: Counter = serde_json::from_str(&text).unwrap();
        kept.add(11, 3);
        assert_eq!(kept.total(), 11);
        kept.add(11, 1);
        assert_eq!(kept.total(), 12);
    }
}
