//! A channel's place on a link, whether the channel is open or not.

use super::{Event, LONGEST_PAUSE, Open, Outbox};
use crate::domain::{MinerId, channel::Channel, verdict::Rejection};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Whose channel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// One miner's.
    Miner(MinerId),
    /// All miners'.
    All,
}

/// A share that the pool owes an answer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) miner: MinerId,
    /// The miner's number of it.
    pub(super) number: u64,
    pub(super) since: Duration,
}

/// How far the opening is.
#[derive(Debug)]
pub(super) enum State {
    /// Nothing was asked.
    Free,
    /// Nothing is asked before then.
    Waiting(Duration),
    /// The pool was asked.
    Asked,
    /// It is open.
    Open { id: u32, group: u32, channel: Box<Channel> },
}

/// A place.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) open: Open,
    pub(super) state: State,
    pub(super) members: BTreeSet<MinerId>,
    /// Shares by their number on the channel.
    pub(super) owed: BTreeMap<u32, Owed>,
    /// How often the pool has refused since it came.
    pub(super) refusals: u32,
    /// Shares of a shared channel, ever.
    shares: u64,
}

impl Seat {
    pub(super) const fn new(open: Open) -> Self {
        Self {
            open,
            state: State::Free,
            members: BTreeSet::new(),
            owed: BTreeMap::new(),
            refusals: 0,
            shares: 0,
        }
    }

    pub(super) fn channel(&self) -> Option<&Channel> {
        match &self.state {
            State::Open { channel, .. } => Some(channel),
            State::Free | State::Waiting(_) | State::Asked => None,
        }
    }

    pub(super) const fn is_free(&self) -> bool {
        matches!(self.state, State::Free)
    }

    /// When the pool is to be asked again.
    pub(super) const fn again_at(&self) -> Option<Duration> {
        match self.state {
            State::Waiting(until) => Some(until),
            State::Free | State::Asked | State::Open { .. } => None,
        }
    }

    /// Whether messages for this channel or group concern it.
    pub(super) const fn hears(&self, channel_id: u32) -> bool {
        match self.state {
            State::Open { id, group, .. } => id == channel_id || group == channel_id,
            State::Free | State::Waiting(_) | State::Asked => false,
        }
    }

    /// The channel's number for a share; `None` when they are used up. A miner's own channel counts
    /// like the miner, also what was not sent, so that both have one name for a share.
    pub(super) fn number(&mut self, key: Key, of_miner: u64) -> Option<u32> {
        match key {
            Key::Miner(_) => u32::try_from(of_miner).ok(),
            Key::All => {
                self.shares = self.shares.saturating_add(1);
                u32::try_from(self.shares).ok()
            }
        }
    }

    /// Waits before the pool is asked again, longer each time.
    pub(super) fn wait(&mut self, now: Duration) {
        let pause = 1_u64.checked_shl(self.refusals.min(16)).unwrap_or(u64::MAX);
        self.refusals = self.refusals.saturating_add(1);
        let pause = Duration::from_secs(pause).min(LONGEST_PAUSE);
        self.state = State::Waiting(now.saturating_add(pause));
    }

    /// The channel is gone: says so, and for every share that was not answered.
    pub(super) fn vacate(&mut self, out: &mut Outbox) {
        let was_open = self.channel().is_some();
        self.state = State::Free;
        self.shares = 0;
        for owed in std::mem::take(&mut self.owed).into_values() {
            out.events.push((owed.miner, Event::Rejected(owed.number, Rejection::Away)));
        }
        if was_open {
            out.events.extend(self.members.iter().map(|miner| (*miner, Event::Away)));
        }
    }
}
