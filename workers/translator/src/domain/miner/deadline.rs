//! What a connection does when time passes and nothing is heard.

use super::{Miner, Outbox, Seat};
use crate::domain::closing::Closing;
use std::time::Duration;

/// Longest time without a job: some firmware reconnects after a minute without one.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

impl Miner {
    /// When [`Miner::tick`] is to be called at the latest, if ever.
    pub fn deadline(&self) -> Option<Duration> {
        let rules = &self.rules;
        let owed = match self.seat {
            Seat::None if !self.subscribed => Some(rules.greeting_deadline),
            Seat::None => Some(rules.authorize_deadline),
            // The pool's affair, not the miner's.
            Seat::Asked | Seat::Open | Seat::Away => None,
        };
        let owed = owed.map(|owed| self.waiting_since.saturating_add(owed));
        let is_open = self.seat == Seat::Open;
        let job =
            (is_open && !self.jobs.is_empty()).then(|| self.told_at.saturating_add(KEEP_ALIVE));
        let idle = self.patience().map(|patience| self.heard_at.saturating_add(patience));
        [owed, job, idle, self.check_at].into_iter().flatten().min()
    }

    /// How long the miner may be silent. One without work has nothing to say, but is not waited for
    /// without end either: its connection may be long dead.
    fn patience(&self) -> Option<Duration> {
        match self.seat {
            Seat::None => None,
            Seat::Asked | Seat::Away => Some(self.rules.away_deadline),
            // A connection that we do not read is not to blame for its silence.
            Seat::Open => self.wants_input().then_some(self.rules.idle_deadline),
        }
    }

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// When a deadline was missed.
    pub fn tick(&mut self, now: Duration, out: &mut Outbox) -> Result<(), Closing> {
        let passed = |since: Duration, deadline| now.saturating_sub(since) >= deadline;
        if self.seat == Seat::None {
            if !self.subscribed && passed(self.waiting_since, self.rules.greeting_deadline) {
                return Err(Closing::SetupDeadline);
            }
            if self.subscribed && passed(self.waiting_since, self.rules.authorize_deadline) {
                return Err(Closing::ChannelDeadline);
            }
        }
        if self.patience().is_some_and(|patience| passed(self.heard_at, patience)) {
            return Err(Closing::Idle);
        }
        if self.check_at.is_some_and(|at| at <= now) {
            self.adjust(now, out);
            self.look_again(now);
        }
        if self.seat == Seat::Open && passed(self.told_at, KEEP_ALIVE) {
            self.renew(now, out);
        }
        Ok(())
    }
}
