//! What a connection does when time passes and nothing is heard.

use super::{Connection, Outbox};
use crate::domain::closing::Closing;
use ingress::domain::Moment;
use std::time::Duration;
use subjects::sessions::Event;

impl Connection {
    /// When [`Connection::tick`] is to be called at the latest, if ever.
    pub fn deadline(&self) -> Option<Duration> {
        let rules = &self.rules;
        let owed = match (&self.client, self.channels.is_empty()) {
            (None, _) => Some(self.waiting_since.saturating_add(rules.setup_deadline)),
            (Some(_), true) => Some(self.waiting_since.saturating_add(rules.channel_deadline)),
            (Some(_), false) => None,
        };
        let idle = self.heard_at.saturating_add(rules.idle_deadline);
        // A connection that we do not read is not to blame for its silence.
        let idle = self.wants_input().then_some(idle);
        [owed, idle, self.check_at].into_iter().flatten().min()
    }

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// When a deadline was missed.
    pub fn tick(&mut self, moment: Moment, out: &mut Outbox) -> Result<(), Closing> {
        let now = moment.elapsed;
        let passed = |since: Duration, deadline| now.saturating_sub(since) >= deadline;
        if self.client.is_none() && passed(self.waiting_since, self.rules.setup_deadline) {
            return Err(Closing::SetupDeadline);
        }
        if self.channels.is_empty() && passed(self.waiting_since, self.rules.channel_deadline) {
            return Err(Closing::ChannelDeadline);
        }
        if self.wants_input() && passed(self.heard_at, self.rules.idle_deadline) {
            return Err(Closing::Idle);
        }
        if self.check_at.is_some_and(|at| at <= now) {
            self.ease(moment, out);
        }
        Ok(())
    }

    /// Looks at every channel's target, as if a share had just not come.
    fn ease(&mut self, moment: Moment, out: &mut Outbox) {
        let mut eased = Vec::new();
        for channel in self.channels.values_mut() {
            if let Some(exponent) = channel.adjusted(&self.rules, moment.elapsed) {
                eased.push((channel.id, exponent));
            }
        }
        for (id, exponent) in eased {
            self.retarget(id, exponent, moment, out);
            self.tell(id, Event::Renegotiated, None, moment, out);
        }
        let rate = self.rules.shares_per_minute;
        let checks = self.channels.values().filter_map(|channel| {
            Some(moment.elapsed.saturating_add(channel.next_check(rate, moment.elapsed)?))
        });
        self.check_at = checks.min();
    }
}
