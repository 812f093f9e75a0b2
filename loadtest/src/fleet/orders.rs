//! What a miner of a fleet is told while it works, and what it tells.

use super::{Pace, tally::Tally};
use crate::ShareKey;
use std::{sync::Arc, time::Duration};
use tokio::sync::{mpsc, watch};
use worker_runtime::clock::{Clock as _, SystemClock};

/// Waited when there is no share to send.
pub(super) const LONG: Duration = Duration::from_secs(3_600);

/// A miner's side of its fleet.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    told: watch::Receiver<Pace>,
    pace: Pace,
    /// When the next share of a steady pace is due.
    due: Duration,
    pub(super) tally: Arc<Tally>,
    clock: SystemClock,
    record: Option<mpsc::Sender<Vec<ShareKey>>>,
    /// Acknowledged shares that are not on record yet.
    noted: Vec<ShareKey>,
}

impl Orders {
    pub(super) const fn new(
        told: watch::Receiver<Pace>,
        tally: Arc<Tally>,
        clock: SystemClock,
        record: Option<mpsc::Sender<Vec<ShareKey>>>,
    ) -> Self {
        let (pace, due) = (Pace::Idle, Duration::ZERO);
        Self { told, pace, due, tally, clock, record, noted: Vec::new() }
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// How many shares are to be sent now, and how long to wait for more, while this many wait for
    /// an answer.
    pub(super) fn shares(&mut self, owed: usize) -> (usize, Duration) {
        let told = *self.told.borrow_and_update();
        let now = self.now();
        if told != self.pace {
            self.pace = told;
            self.due = now + phase(told);
        }
        match self.pace {
            Pace::Idle => (0, LONG),
            Pace::Window(most) => (most.saturating_sub(owed), LONG),
            Pace::Every(time) => {
                let mut shares = 0;
                while self.due <= now {
                    shares += 1;
                    self.due += time.max(Duration::from_micros(1));
                }
                (shares, self.due - now)
            }
        }
    }

    /// Waits until the pace changes; `false` when the fleet is closed. May be cancelled.
    pub(super) async fn changed(&mut self) -> bool {
        self.told.changed().await.is_ok()
    }

    /// A share was acknowledged that was written at `written`.
    pub(super) fn stored(&mut self, written: Duration, now: Duration, key: Option<ShareKey>) {
        self.tally.latencies.note(now.saturating_sub(written), 1);
        if self.record.is_some() {
            self.noted.extend(key);
        }
    }

    /// Puts acknowledged shares on record.
    pub(super) async fn settle(&mut self) {
        if let Some(record) = &self.record
            && !self.noted.is_empty()
        {
            // The record is there as long as the fleet.
            drop(record.send(std::mem::take(&mut self.noted)).await);
        }
    }
}

/// When the first share of a pace is due: not all connections at once.
fn phase(pace: Pace) -> Duration {
    match pace {
        Pace::Idle | Pace::Window(_) => Duration::ZERO,
        Pace::Every(time) => time.mul_f64(rand::random()),
    }
}
