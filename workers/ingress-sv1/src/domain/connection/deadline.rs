//! What a connection does when time passes and nothing is heard.

use super::{Connection, Outbox, Seat};
use crate::domain::closing::Closing;
use ingress::domain::Moment;
use std::time::Duration;

/// Longest time without a job: some firmware reconnects after a minute without one.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

impl Connection {
    /// When [`Connection::tick`] is to be called at the latest, if ever.
    pub fn deadline(&self) -> Option<Duration> {
        let rules = &self.rules;
        let (owed, job) = match self.seat {
            Seat::None => (Some(self.waiting_since.saturating_add(rules.setup_deadline)), None),
            Seat::Reserved(_) | Seat::Resumed(_) => {
                (Some(self.waiting_since.saturating_add(rules.channel_deadline)), None)
            }
            Seat::Working(_) => (None, Some(self.told_at.saturating_add(KEEP_ALIVE))),
        };
        let idle = self.heard_at.saturating_add(rules.idle_deadline);
        // A connection that we do not read is not to blame for its silence.
        let idle = self.wants_input().then_some(idle);
        [owed, job, idle, self.check_at].into_iter().flatten().min()
    }

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// When a deadline was missed.
    pub fn tick(&mut self, moment: Moment, out: &mut Outbox) -> Result<(), Closing> {
        let now = moment.elapsed;
        let passed = |since: Duration, deadline| now.saturating_sub(since) >= deadline;
        match self.seat {
            Seat::None if passed(self.waiting_since, self.rules.setup_deadline) => {
                return Err(Closing::SetupDeadline);
            }
            Seat::Reserved(_) | Seat::Resumed(_)
                if passed(self.waiting_since, self.rules.channel_deadline) =>
            {
                return Err(Closing::ChannelDeadline);
            }
            Seat::None | Seat::Reserved(_) | Seat::Resumed(_) | Seat::Working(_) => {}
        }
        if self.wants_input() && passed(self.heard_at, self.rules.idle_deadline) {
            return Err(Closing::Idle);
        }
        if self.check_at.is_some_and(|at| at <= now) {
            self.adjust(moment, out);
            self.look_again(moment);
        }
        if passed(self.told_at, KEEP_ALIVE) {
            self.renew(moment, out);
        }
        Ok(())
    }
}
