//! One message of `SHARES`, reduced to what slices are made of.

use crate::credits::Credits;
use mining::Target;
use sha2::{Digest as _, Sha256};
use subjects::{
    Payload, Work,
    rounds::SolvingShare,
    shares::{Accepted, AcceptedShare},
};

/// A message of the accounting record.
#[derive(Clone, Debug)]
pub struct Entry {
    /// SHA-256 of the payload's bytes, for the hash chain.
    pub digest: [u8; 32],
    /// What it credits, or why nobody can read it. A message that cannot be read credits nothing,
    /// yet stays a link of the chain: whoever replays the stream meets it too.
    pub content: Result<Content, String>,
}

/// What a readable message credits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Work and shares by miner.
    pub credits: Credits,
    /// The last share, if there is any.
    pub last: Option<LastShare>,
}

/// What the last share of a message says about where the slice stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastShare {
    /// Time in its header, in seconds since 1970.
    pub ntime: u32,
    /// Network work of its job: the expected hashes of one block.
    pub network_work: Work,
    /// The block that it solves, if it does.
    pub solves: Option<SolvingShare>,
}

impl Entry {
    /// Reads the payload of a message.
    pub fn read(payload: &[u8]) -> Self {
        let content = Accepted::decode(payload)
            .map_err(|error| Unreadable::Payload(error.to_string()))
            .and_then(|batch| Content::of(&batch));
        Self {
            digest: Sha256::digest(payload).into(),
            content: content.map_err(|unreadable| unreadable.to_string()),
        }
    }
}

/// Why a message credits nothing.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("not a batch of accepted shares: {0}")]
    Payload(String),
    #[error("a share refers to a job that the message does not have")]
    NoJob,
    #[error("the work of its shares overflows 128 bits")]
    Overflow,
    #[error(transparent)]
    Target(#[from] mining::InvalidNbits),
}

impl Content {
    fn of(batch: &Accepted) -> Result<Self, Unreadable> {
        // First by job, of which there are few and which need no search, then by miner.
        let mut by_job = vec![(Work::ZERO, 0_u64); batch.jobs.len()];
        for share in &batch.shares {
            let job = usize::try_from(share.share.job).ok().and_then(|job| by_job.get_mut(job));
            let (work, shares) = job.ok_or(Unreadable::NoJob)?;
            *work = work.checked_add(share.work).ok_or(Unreadable::Overflow)?;
            *shares = shares.saturating_add(1);
        }
        let mut credits = Credits::default();
        for (job, (work, shares)) in batch.jobs.iter().zip(by_job).filter(|(_, did)| did.1 > 0) {
            credits.add(&job.miner, work, shares).ok_or(Unreadable::Overflow)?;
        }
        let last = batch.shares.last().map(|share| LastShare::of(batch, share)).transpose()?;
        Ok(Self { credits, last })
    }
}

impl LastShare {
    fn of(batch: &Accepted, share: &AcceptedShare) -> Result<Self, Unreadable> {
        let job = batch.job_of(share).ok_or(Unreadable::NoJob)?;
        let solves = share.block.map(|hash| SolvingShare {
            hash,
            height: job.height,
            finder: job.miner.clone(),
            identity: job.job.identity.clone(),
            worker: batch.worker_of(share).to_owned(),
        });
        let network_work = Target::from_nbits(job.nbits)?.work();
        Ok(Self { ntime: share.share.ntime, network_work, solves })
    }
}
