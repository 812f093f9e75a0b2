//! Search spaces of miners whose connections were lost. Who comes back soon and names its session
//! goes on with the headers that it searched, and what it found meanwhile still counts.

use super::space::SearchSpace;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// How long a search space waits for its miner: as long as cgminer keeps what it found.
pub const KEPT: Duration = Duration::from_secs(120);

/// What a miner left behind.
#[derive(Debug)]
pub struct Parked {
    /// Its headers, jobs and proofs.
    pub space: Box<SearchSpace>,
    /// Shares that came of it, good or not.
    pub sequence: u32,
}

/// What miners left behind, by their sessions.
#[derive(Debug)]
pub struct Parking {
    most: usize,
    parked: BTreeMap<u64, (Duration, Parked)>,
    /// In the order in which they came; those that are gone are passed over.
    order: VecDeque<(Duration, u64)>,
}

impl Parking {
    /// Room for so many.
    pub const fn new(most: usize) -> Self {
        Self { most, parked: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Keeps what a session left behind; what has to go is returned.
    #[must_use]
    pub fn park(&mut self, session: u64, parked: Parked, now: Duration) -> Vec<Parked> {
        let before = self.parked.insert(session, (now, parked));
        self.order.push_back((now, session));
        let mut gone = self.expired(now);
        while self.order.len() > self.most {
            gone.extend(self.pop());
        }
        gone.extend(before.map(|(_, parked)| parked));
        gone
    }

    /// What this session left behind, if it is still kept.
    pub fn resume(&mut self, session: u64, now: Duration) -> Option<Parked> {
        let (since, _) = self.parked.get(&session)?;
        let kept = now.saturating_sub(*since) < KEPT;
        if kept { self.parked.remove(&session).map(|(_, parked)| parked) } else { None }
    }

    /// What nobody came back for in time.
    #[must_use]
    pub fn expired(&mut self, now: Duration) -> Vec<Parked> {
        let mut gone = Vec::new();
        while self.order.front().is_some_and(|(since, _)| now.saturating_sub(*since) >= KEPT) {
            gone.extend(self.pop());
        }
        gone
    }

    fn pop(&mut self) -> Option<Parked> {
        let (since, session) = self.order.pop_front()?;
        // It may have come back and gone again meanwhile.
        let is_it = self.parked.get(&session).is_some_and(|(parked, _)| *parked == since);
        if is_it { self.parked.remove(&session).map(|(_, parked)| parked) } else { None }
    }
}
