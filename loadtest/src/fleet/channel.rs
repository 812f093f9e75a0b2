//! One channel of a fleet: its jobs, and shares that meet its target.

use crate::ShareKey;
use mining::{Prefix, Target};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use stratum_core::mining_sv2::{
    MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, NewExtendedMiningJob,
    NewMiningJob, SetNewPrevHash, SubmitSharesSuccess,
};
use stratum_v2::client::Opened;

/// Hashes after which a target counts as one that cannot be met at once.
const MAX_HASHES: u32 = 1 << 22;
/// Marks messages about one channel, in the extension type of the header.
const CHANNEL_BIT: u16 = 0x8000;
/// Length of a block's header.
const HEADER: usize = 80;
/// Where the nonce stands in it.
const NONCE_AT: usize = 76;

/// The pool sent what it must not, or what cannot be mined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// `SetNewPrevHash` names a job that was not sent.
    #[error("SetNewPrevHash starts job {0}, which was never sent")]
    UnknownJob(u32),
    /// A job is to be mined before there is a tip.
    #[error("job {0} is to be mined at once, before any SetNewPrevHash")]
    NoTip(u32),
    /// A share was answered that does not wait for it.
    #[error("{count} shares up to {last} are acknowledged, which were not sent")]
    NotSent {
        /// How many.
        count: u32,
        /// Up to which.
        last: u32,
    },
    /// No share is found at once.
    #[error("the target {0:?} is too hard: give the pool an easier one")]
    TooHard(Target),
}

#[derive(Debug)]
struct Job {
    version: u32,
    root: Root,
}

#[derive(Debug)]
enum Root {
    Given([u8; 32]),
    Rolled { before: Vec<u8>, after: Vec<u8>, path: Vec<[u8; 32]> },
}

#[derive(Debug)]
struct Tip {
    prevhash: [u8; 32],
    nbits: u32,
    min_ntime: u32,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: u32,
    pub(super) group: u32,
    prefix: Vec<u8>,
    rolled: usize,
    target: Target,
    jobs: BTreeMap<u32, Job>,
    tip: Option<Tip>,
    mined: Option<u32>,
    next_sequence: u32,
    /// Numbers the pieces of header space.
    space: u64,
    nonce: u32,
    /// Shares that wait for an answer, and when each was written.
    owed: VecDeque<(u32, Duration)>,
}

impl Channel {
    pub(super) fn new(opened: &Opened) -> Self {
        Self {
            id: opened.channel_id,
            group: opened.group_channel_id,
            prefix: opened.extranonce_prefix.clone(),
            rolled: opened.extranonce_size.into(),
            target: Target::from_le_bytes(opened.target),
            jobs: BTreeMap::new(),
            tip: None,
            mined: None,
            next_sequence: 0,
            space: 0,
            nonce: 0,
            owed: VecDeque::new(),
        }
    }

    /// Whether there is something to mine.
    pub(super) const fn is_ready(&self) -> bool {
        self.mined.is_some()
    }

    pub(super) fn set_target(&mut self, target: [u8; 32]) {
        self.target = Target::from_le_bytes(target);
    }

    pub(super) fn extended_job(&mut self, job: &NewExtendedMiningJob<'_>) -> Result<(), Violation> {
        let root = Root::Rolled {
            before: [job.coinbase_tx_prefix.as_ref(), &self.prefix].concat(),
            after: job.coinbase_tx_suffix.as_ref().to_vec(),
            path: job.merkle_path.as_slice().iter().map(|node| node.to_array()).collect(),
        };
        let job_id = job.job_id;
        self.job(job_id, Job { version: job.version, root }, job.min_ntime.clone().into_inner())
    }

    pub(super) fn standard_job(&mut self, job: &NewMiningJob<'_>) -> Result<(), Violation> {
        let root = Root::Given(job.merkle_root.to_array());
        let job_id = job.job_id;
        self.job(job_id, Job { version: job.version, root }, job.min_ntime.clone().into_inner())
    }

    fn job(&mut self, id: u32, job: Job, min_ntime: Option<u32>) -> Result<(), Violation> {
        if let Some(min_ntime) = min_ntime {
            self.tip.as_mut().ok_or(Violation::NoTip(id))?.min_ntime = min_ntime;
            // Only the latest job is mined; a share of an earlier one is on its way at most.
            if let Some(before) = self.mined.replace(id) {
                self.jobs.remove(&before);
            }
        }
        self.jobs.insert(id, job);
        Ok(())
    }

    pub(super) fn new_tip(&mut self, tip: &SetNewPrevHash<'_>) -> Result<(), Violation> {
        let id = tip.job_id;
        if !self.jobs.contains_key(&id) {
            return Err(Violation::UnknownJob(id));
        }
        self.jobs.retain(|job, _| *job == id);
        self.tip = Some(Tip {
            prevhash: tip.prev_hash.to_array(),
            nbits: tip.nbits,
            min_ntime: tip.min_ntime,
        });
        self.mined = Some(id);
        Ok(())
    }

    /// Finds a share and returns its frame, plain. `None` when there is no job.
    pub(super) fn share(&mut self, now: Duration) -> Result<Option<Vec<u8>>, Violation> {
        let job = self.mined.and_then(|id| self.jobs.get(&id).map(|job| (id, job)));
        let Some(((id, job), tip)) = job.zip(self.tip.as_ref()) else { return Ok(None) };
        self.space += 1;
        let extranonce = rolled(self.rolled, self.space);
        let mut header = [0; HEADER];
        let root = job.merkle_root(&extranonce);
        let (version, ntime) = (job.version.to_le_bytes(), tip.min_ntime.to_le_bytes());
        let parts: [&[u8]; 5] = [&version, &tip.prevhash, &root, &ntime, &tip.nbits.to_le_bytes()];
        for (place, byte) in header.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *byte;
        }
        let nonce = self.nonce.wrapping_add(search(&mut header, self.nonce, self.target)?);
        self.nonce = nonce.wrapping_add(1);
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        self.owed.push_back((sequence, now));
        let numbers = [self.id, sequence, id, nonce, tip.min_ntime, job.version];
        Ok(Some(submission(&numbers, &job.root, &extranonce)))
    }

    /// How many shares wait for an answer.
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// What names a share everywhere, when the prefix is laid out as our own pool does.
    fn key(&self, sequence: u32) -> Option<ShareKey> {
        let own = self.prefix.get(..usize::from(mining::prefix::SV2_LENGTH))?;
        let (Prefix { lane, boot_epoch, channel }, _) = Prefix::parse(own).ok()?;
        Some(ShareKey { lane, boot_epoch, channel, sequence })
    }

    /// Shares are acknowledged: when each was written, and what names it.
    pub(super) fn stored(
        &mut self,
        said: &SubmitSharesSuccess,
        mut each: impl FnMut(Duration, Option<ShareKey>),
    ) -> Result<(), Violation> {
        let (count, last) = (said.new_submits_accepted_count, said.last_sequence_number);
        for _ in 0..count {
            let (sequence, written) =
                self.owed.pop_front().ok_or(Violation::NotSent { count, last })?;
            if sequence > last {
                return Err(Violation::NotSent { count, last });
            }
            each(written, self.key(sequence));
        }
        Ok(())
    }

    /// A share is refused.
    pub(super) fn refused(&mut self, sequence: u32) {
        self.owed.retain(|(owed, _)| *owed != sequence);
    }
}

impl Job {
    fn merkle_root(&self, extranonce: &[u8]) -> [u8; 32] {
        match &self.root {
            Root::Given(root) => *root,
            Root::Rolled { before, after, path } => {
                path_from([before.as_slice(), extranonce, after], path)
            }
        }
    }
}

/// The merkle root over a coinbase in pieces.
pub(super) fn path_from<const N: usize>(coinbase: [&[u8]; N], path: &[[u8; 32]]) -> [u8; 32] {
    let whole = coinbase.into_iter().fold(Sha256::new(), Sha256::chain_update);
    let txid = Sha256::digest(whole.finalize()).into();
    path.iter().fold(txid, |left: [u8; 32], right| {
        let pair = Sha256::new_with_prefix(left).chain_update(right);
        Sha256::digest(pair.finalize()).into()
    })
}

/// How many nonces after `first` one meets the target.
pub(super) fn search(
    header: &mut [u8; HEADER],
    first: u32,
    target: Target,
) -> Result<u32, Violation> {
    for tried in 0..MAX_HASHES {
        let nonce = first.wrapping_add(tried).to_le_bytes();
        header.split_at_mut(NONCE_AT).1.copy_from_slice(&nonce);
        if target.is_met_by(&Sha256::digest(Sha256::digest(*header)).into()) {
            return Ok(tried);
        }
    }
    Err(Violation::TooHard(target))
}

/// The bytes to roll for the `space`-th piece of header space: its number, big endian, at the end.
pub(super) fn rolled(length: usize, space: u64) -> Vec<u8> {
    let number = space.to_be_bytes();
    let padding = length.saturating_sub(number.len());
    let digits = number.iter().skip(number.len().saturating_sub(length));
    std::iter::repeat_n(0, padding).chain(digits.copied()).collect()
}

fn submission(numbers: &[u32; 6], root: &Root, extranonce: &[u8]) -> Vec<u8> {
    let (kind, rolled) = match root {
        Root::Given(_) => (MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, None),
        Root::Rolled { .. } => (MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, Some(extranonce)),
    };
    let payload = 4 * numbers.len() + rolled.map_or(0, |rolled| 1 + rolled.len());
    // A share is shorter than 100 bytes.
    let length = u8::try_from(payload).unwrap_or(u8::MAX);
    let [low, high] = CHANNEL_BIT.to_le_bytes();
    let mut frame = vec![low, high, kind, length, 0, 0];
    frame.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    if let Some(rolled) = rolled {
        frame.push(u8::try_from(rolled.len()).unwrap_or(u8::MAX));
        frame.extend_from_slice(rolled);
    }
    frame
}
