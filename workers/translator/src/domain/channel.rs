//! One open channel, as the pool tells it: jobs, tips, targets.

use super::job::{Clean, Job};
use mining::Target;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use stratum_core::mining_sv2::{NewExtendedMiningJobOwned, SetNewPrevHashOwned};

/// Jobs that may wait for their tip; the oldest is forgotten for another.
const MAX_WAITING: usize = 16;

/// The pool said what it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// `SetNewPrevHash` names a job that does not wait.
    #[error("the pool starts job {0}, which does not wait for a tip")]
    UnknownJob(u32),
    /// A job without a tip is to be mined at once.
    #[error("the pool starts job {0} before it has named a tip")]
    NoTip(u32),
    /// The extranonce is longer than a coinbase's input may be, or than its fields allow.
    #[error("the pool's extranonce has {0} bytes")]
    Extranonce(usize),
    /// An answer to a question that was not asked.
    #[error("the pool answers request {0}, which was not made")]
    Request(u32),
    /// The opening of a channel was not answered.
    #[error("the pool does not answer the opening of a channel")]
    Silent,
}

/// What `OpenExtendedMiningChannel.Success` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The opening's own number.
    pub opening: u64,
    /// The pool's part of the extranonce.
    pub prefix: Vec<u8>,
    /// What is left to roll, in bytes.
    pub rolled: u16,
    /// The first target.
    pub target: Target,
}

/// Longest extranonce, in bytes: `B0_32`.
const MAX_EXTRANONCE: usize = 32;

#[derive(Debug)]
struct Draft {
    id: u32,
    version: u32,
    rolling: bool,
    coinbase_prefix: Vec<u8>,
    coinbase_suffix: Vec<u8>,
    merkle_path: Vec<[u8; 32]>,
}

#[derive(Clone, Copy, Debug)]
struct Tip {
    prevhash: [u8; 32],
    nbits: u32,
}

/// A channel.
#[derive(Debug)]
pub struct Channel {
    terms: Terms,
    waiting: VecDeque<Draft>,
    tip: Option<Tip>,
    current: Option<Arc<Job>>,
}

impl Channel {
    /// A channel that was just opened.
    ///
    /// # Errors
    ///
    /// When its extranonce cannot be.
    pub fn new(terms: Terms) -> Result<Self, Violation> {
        let whole = terms.prefix.len() + usize::from(terms.rolled);
        if whole > MAX_EXTRANONCE {
            return Err(Violation::Extranonce(whole));
        }
        Ok(Self { terms, waiting: VecDeque::new(), tip: None, current: None })
    }

    /// The opening's own number.
    pub const fn opening(&self) -> u64 {
        self.terms.opening
    }

    /// What is to be mined.
    pub const fn current(&self) -> Option<&Arc<Job>> {
        self.current.as_ref()
    }

    /// `SetTarget`: of the jobs that are started afterwards.
    pub const fn set_target(&mut self, target: Target) {
        self.terms.target = target;
    }

    /// `SetExtranoncePrefix`: of the jobs that come afterwards.
    ///
    /// # Errors
    ///
    /// When its extranonce cannot be.
    pub fn set_prefix(&mut self, prefix: Vec<u8>) -> Result<(), Violation> {
        let whole = prefix.len() + usize::from(self.terms.rolled);
        if whole > MAX_EXTRANONCE {
            return Err(Violation::Extranonce(whole));
        }
        self.terms.prefix = prefix;
        Ok(())
    }

    /// `NewExtendedMiningJob`: to be mined now, or to wait for its tip.
    ///
    /// # Errors
    ///
    /// When it is to be mined now and there is no tip.
    pub fn job(
        &mut self,
        message: &NewExtendedMiningJobOwned,
        now: Duration,
    ) -> Result<Option<Arc<Job>>, Violation> {
        let prefix = message.coinbase_tx_prefix.as_bytes();
        let draft = Draft {
            id: message.job_id,
            version: message.version,
            rolling: message.version_rolling_allowed,
            coinbase_prefix: [prefix, &self.terms.prefix].concat(),
            coinbase_suffix: message.coinbase_tx_suffix.to_owned_bytes(),
            merkle_path: message.merkle_path.iter().map(|node| node.to_array()).collect(),
        };
        match message.min_ntime.clone().into_inner() {
            Some(min_ntime) => {
                let tip = self.tip.ok_or(Violation::NoTip(draft.id))?;
                Ok(Some(self.start(draft, tip, min_ntime, Clean::Keep, now)))
            }
            None => {
                self.waiting.retain(|other| other.id != draft.id);
                if self.waiting.len() >= MAX_WAITING {
                    self.waiting.pop_front();
                }
                self.waiting.push_back(draft);
                Ok(None)
            }
        }
    }

    /// `SetNewPrevHash`: the job that it names is mined, and no other.
    ///
    /// # Errors
    ///
    /// When no such job waits.
    pub fn tip(
        &mut self,
        message: &SetNewPrevHashOwned,
        now: Duration,
    ) -> Result<Arc<Job>, Violation> {
        let place = self.waiting.iter().position(|draft| draft.id == message.job_id);
        let draft = place.and_then(|place| self.waiting.remove(place));
        let draft = draft.ok_or(Violation::UnknownJob(message.job_id))?;
        self.waiting.clear();
        let tip = Tip { prevhash: message.prev_hash.to_array(), nbits: message.nbits };
        self.tip = Some(tip);
        Ok(self.start(draft, tip, message.min_ntime, Clean::Drop, now))
    }

    fn start(
        &mut self,
        draft: Draft,
        tip: Tip,
        min_ntime: u32,
        clean: Clean,
        now: Duration,
    ) -> Arc<Job> {
        let Draft { id, version, rolling, coinbase_prefix, coinbase_suffix, merkle_path } = draft;
        let job = Arc::new(Job {
            opening: self.terms.opening,
            id,
            version,
            rolling,
            prevhash: tip.prevhash,
            nbits: tip.nbits,
            min_ntime,
            since: now,
            coinbase_prefix,
            coinbase_suffix,
            merkle_path,
            rolled: self.terms.rolled.into(),
            target: self.terms.target,
            clean,
        });
        self.current = Some(Arc::clone(&job));
        job
    }
}
