//! What a miner tells of itself.

use mining::{Prefix, Target};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use subjects::BlockHash;
use tokio::sync::mpsc;

/// Something happened to a miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A channel is open.
    Opened {
        /// Its header space; `None` when the prefix is not laid out as this network does.
        prefix: Option<Prefix>,
        /// Its first target.
        target: Target,
    },
    /// Another job is being mined.
    Job {
        /// The job's number.
        job: u32,
        /// What it builds on.
        prevhash: BlockHash,
    },
    /// The pool set another target.
    TargetSet(Target),
    /// A share was sent.
    Submitted {
        /// Its number.
        sequence: u32,
    },
    /// Shares were acknowledged.
    Acknowledged {
        /// Their numbers, ascending.
        sequences: Vec<u32>,
    },
    /// A share was refused.
    Refused {
        /// Its number.
        sequence: u32,
        /// Why.
        code: String,
    },
    /// Hashes since the last event of this kind.
    Hashed {
        /// How many.
        hashes: u64,
    },
    /// The miner was stopped: nothing more is sent.
    Draining {
        /// How many shares are not answered yet.
        outstanding: usize,
    },
    /// The pool broke the protocol.
    Violation(String),
    /// The connection is gone.
    Disconnected {
        /// Why.
        why: String,
        /// When the next attempt follows.
        pause: Duration,
    },
}

/// Says something to whoever listens; nobody has to.
pub(super) async fn say(events: &mpsc::Sender<Event>, event: Event) {
    if events.send(event).await.is_err() {
        tracing::trace!("nobody listens to the miner");
    }
}

/// A miner's events, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Hashes done.
    pub hashes: u64,
    /// Shares sent.
    pub submitted: u64,
    /// Shares acknowledged.
    pub acknowledged: u64,
    /// Shares refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Channels opened.
    pub channels: u64,
    /// Jobs mined.
    pub jobs: u64,
    /// Breaks of the connection.
    pub disconnects: u64,
    /// How the pool broke the protocol: the first few of each connection.
    pub violations: Vec<String>,
}

/// Most violations that figures keep in words.
const MAX_VIOLATIONS: usize = 32;

impl Figures {
    /// Counts an event in.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => self.channels += 1,
            Event::Job { .. } => self.jobs += 1,
            Event::TargetSet(_) | Event::Draining { .. } => {}
            Event::Submitted { .. } => self.submitted += 1,
            Event::Acknowledged { sequences } => {
                self.acknowledged += u64::try_from(sequences.len()).unwrap_or(u64::MAX);
            }
            Event::Refused { code, .. } => *self.refused.entry(code.clone()).or_default() += 1,
            Event::Hashed { hashes } => self.hashes += hashes,
            Event::Violation(what) if self.violations.len() < MAX_VIOLATIONS => {
                self.violations.push(what.clone());
            }
            Event::Violation(_) => {}
            Event::Disconnected { .. } => self.disconnects += 1,
        }
    }
}
