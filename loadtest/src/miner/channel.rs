//! One channel as its miner sees it: jobs, tip, target, shares. No I/O.

use super::{
    acknowledgements::{Acknowledgements, BrokenAnswer, MAX_OUTSTANDING},
    event::Event,
    work::{Found, Source, Work},
};
use crate::ShareKey;
use mining::{Prefix, Target, VERSION_MASK};
use std::{collections::BTreeMap, time::Duration};
use stratum_core::{
    mining_sv2::{
        NewExtendedMiningJobOwned, NewMiningJobOwned, SetNewPrevHashOwned, SubmitSharesErrorOwned,
        SubmitSharesExtendedOwned, SubmitSharesStandardOwned, SubmitSharesSuccess,
    },
    parsers_sv2::MiningOwned,
};
use stratum_v2::client::Opened;
use subjects::{BlockHash, shares::JobKind};

/// Most jobs that a pool may leave open on a channel.
const MAX_JOBS: usize = 64;

/// What follows from a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Mine this from now.
    Mine(Work),
    /// Mine nothing: the pool closed the channel.
    Close(String),
    /// These shares were acknowledged.
    Acknowledged(Vec<u32>),
    /// Say this.
    Say(Event),
}

/// The pool sent what it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    /// An answer to shares that cannot be.
    #[error(transparent)]
    Answer(#[from] BrokenAnswer),
    /// `SetNewPrevHash` names a job that was not sent.
    #[error("SetNewPrevHash activates job {0}, which was never sent")]
    UnknownJob(u32),
    /// A job without a tip is to be mined at once.
    #[error("job {0} is to be mined at once, before any SetNewPrevHash")]
    NoTip(u32),
    /// The pool keeps opening jobs.
    #[error("more than {MAX_JOBS} jobs are open")]
    TooManyJobs,
    /// The pool answers no shares any more.
    #[error("{MAX_OUTSTANDING} shares are not answered")]
    Silent,
    /// A message for another kind of channel or another protocol.
    #[error("a message that does not belong here: {0}")]
    Foreign(String),
}

struct Job {
    version: u32,
    version_mask: u32,
    source: Source,
}

struct Tip {
    prevhash: [u8; 32],
    nbits: u32,
    min_ntime: u32,
    since: Duration,
}

/// A channel's state.
pub(super) struct Channel {
    kind: JobKind,
    opened: Opened,
    target: Target,
    jobs: BTreeMap<u32, Job>,
    tip: Option<Tip>,
    mined: Option<u32>,
    generation: u64,
    /// Finds of this generation and of earlier ones belong to another channel.
    foreign: u64,
    next_sequence: u32,
    answers: Acknowledgements,
}

impl Channel {
    /// A channel that was just opened; shares are numbered from `first_sequence`; `generation` is
    /// the last one of work that was given out before.
    pub(super) fn new(kind: JobKind, opened: Opened, first_sequence: u32, generation: u64) -> Self {
        Self {
            kind,
            target: Target::from_le_bytes(opened.target),
            opened,
            jobs: BTreeMap::new(),
            tip: None,
            mined: None,
            generation,
            foreign: generation,
            next_sequence: first_sequence,
            answers: Acknowledgements::default(),
        }
    }

    /// The channel's header space, when the prefix is laid out as this network does.
    pub(super) fn prefix(&self) -> Option<Prefix> {
        let own = self.opened.extranonce_prefix.get(..usize::from(mining::prefix::SV2_LENGTH))?;
        Prefix::parse(own).ok().map(|(prefix, _)| prefix)
    }

    /// What names a share of this channel everywhere.
    pub(super) fn key(&self, sequence: u32) -> Option<ShareKey> {
        let Prefix { lane, boot_epoch, channel } = self.prefix()?;
        Some(ShareKey { lane, boot_epoch, channel, sequence })
    }

    /// The channel's target.
    pub(super) const fn target(&self) -> Target {
        self.target
    }

    /// How many answers are due.
    pub(super) fn outstanding(&self) -> usize {
        self.answers.outstanding()
    }

    /// Takes a message of the pool that came at `now`.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other message is for a miner's channel")]
    pub(super) fn take(
        &mut self,
        message: MiningOwned,
        now: Duration,
    ) -> Result<Vec<Effect>, Violation> {
        match message {
            MiningOwned::NewExtendedMiningJob(job) if self.kind == JobKind::Extended => {
                self.extended_job(&job, now)
            }
            MiningOwned::NewMiningJob(job) if self.kind == JobKind::Standard => {
                self.standard_job(&job, now)
            }
            MiningOwned::SetNewPrevHash(tip) => self.new_tip(&tip, now),
            MiningOwned::SetTarget(set) => {
                Ok(self.set_target(Target::from_le_bytes(set.maximum_target.to_array())))
            }
            MiningOwned::SetExtranoncePrefix(set) => {
                self.opened.extranonce_prefix = set.extranonce_prefix.to_owned_bytes();
                Ok(Vec::new())
            }
            MiningOwned::SetGroupChannel(set) => {
                self.opened.group_channel_id = set.group_channel_id;
                Ok(Vec::new())
            }
            MiningOwned::SubmitSharesSuccess(success) => self.success(success),
            MiningOwned::SubmitSharesError(error) => self.error(&error),
            MiningOwned::CloseChannel(close) => {
                Ok(vec![Effect::Close(close.reason_code.as_utf8_or_hex())])
            }
            other => Err(Violation::Foreign(other.to_string().chars().take(200).collect())),
        }
    }

    fn extended_job(
        &mut self,
        message: &NewExtendedMiningJobOwned,
        now: Duration,
    ) -> Result<Vec<Effect>, Violation> {
        let prefix = self.opened.extranonce_prefix.as_slice();
        let job = Job {
            version: message.version,
            version_mask: if message.version_rolling_allowed { VERSION_MASK } else { 0 },
            source: Source::Extended {
                before: [message.coinbase_tx_prefix.as_bytes(), prefix].concat(),
                rolled: usize::from(self.opened.extranonce_size),
                after: message.coinbase_tx_suffix.to_owned_bytes(),
                path: message.merkle_path.as_slice().iter().map(|node| node.to_array()).collect(),
            },
        };
        self.new_job(message.job_id, job, message.min_ntime.clone().into_inner(), now)
    }

    fn standard_job(
        &mut self,
        message: &NewMiningJobOwned,
        now: Duration,
    ) -> Result<Vec<Effect>, Violation> {
        let job = Job {
            version: message.version,
            version_mask: VERSION_MASK,
            source: Source::Standard(message.merkle_root.to_array()),
        };
        self.new_job(message.job_id, job, message.min_ntime.clone().into_inner(), now)
    }

    /// A job with a least time is mined at once; one without waits for its tip.
    fn new_job(
        &mut self,
        id: u32,
        job: Job,
        min_ntime: Option<u32>,
        now: Duration,
    ) -> Result<Vec<Effect>, Violation> {
        if self.jobs.len() >= MAX_JOBS {
            return Err(Violation::TooManyJobs);
        }
        self.jobs.insert(id, job);
        let Some(min_ntime) = min_ntime else { return Ok(Vec::new()) };
        let tip = self.tip.as_mut().ok_or(Violation::NoTip(id))?;
        (tip.min_ntime, tip.since) = (min_ntime, now);
        Ok(self.mine(id))
    }

    fn new_tip(
        &mut self,
        message: &SetNewPrevHashOwned,
        now: Duration,
    ) -> Result<Vec<Effect>, Violation> {
        let id = message.job_id;
        if !self.jobs.contains_key(&id) {
            return Err(Violation::UnknownJob(id));
        }
        // A tip makes all other jobs invalid (SV2 section 5.3.17).
        self.jobs.retain(|job, _| *job == id);
        self.tip = Some(Tip {
            prevhash: message.prev_hash.to_array(),
            nbits: message.nbits,
            min_ntime: message.min_ntime,
            since: now,
        });
        Ok(self.mine(id))
    }

    /// The target holds from now on, as firmware has it, whichever job is being mined.
    fn set_target(&mut self, target: Target) -> Vec<Effect> {
        self.target = target;
        let again = self.mined.and_then(|id| self.work(id)).map(Effect::Mine);
        std::iter::once(Effect::Say(Event::TargetSet(target))).chain(again).collect()
    }

    fn mine(&mut self, id: u32) -> Vec<Effect> {
        self.generation += 1;
        self.mined = Some(id);
        let Some(work) = self.work(id) else { return Vec::new() };
        let prevhash = BlockHash(work.prevhash);
        vec![Effect::Mine(work), Effect::Say(Event::Job { job: id, prevhash })]
    }

    fn work(&self, id: u32) -> Option<Work> {
        let (job, tip) = (self.jobs.get(&id)?, self.tip.as_ref()?);
        Some(Work {
            job: id,
            generation: self.generation,
            version: job.version,
            version_mask: job.version_mask,
            prevhash: tip.prevhash,
            nbits: tip.nbits,
            min_ntime: tip.min_ntime,
            since: tip.since,
            target: self.target,
            source: job.source.clone(),
        })
    }

    fn success(&mut self, success: SubmitSharesSuccess) -> Result<Vec<Effect>, Violation> {
        let (last, count) = (success.last_sequence_number, success.new_submits_accepted_count);
        let sequences = self.answers.acknowledged(last, count)?;
        let event = Event::Acknowledged { sequences: sequences.clone() };
        Ok(vec![Effect::Acknowledged(sequences), Effect::Say(event)])
    }

    fn error(&mut self, error: &SubmitSharesErrorOwned) -> Result<Vec<Effect>, Violation> {
        let (sequence, code) = (error.sequence_number, error.error_code.as_utf8_or_hex());
        self.answers.refused(sequence, &code)?;
        Ok(vec![Effect::Say(Event::Refused { sequence, code })])
    }

    /// The message for a share, and its number; `None` when it is worth nothing any more: its job
    /// is gone, or the target has become harder.
    pub(super) fn submit(&mut self, found: Found) -> Result<Option<(u32, MiningOwned)>, Violation> {
        let known = self.jobs.contains_key(&found.job) && found.generation > self.foreign;
        if !known || !self.target.is_met_by(&found.hash) {
            return Ok(None);
        }
        if self.answers.outstanding() >= MAX_OUTSTANDING {
            return Err(Violation::Silent);
        }
        let sequence = self.next_sequence;
        let Some(message) = self.message(sequence, found) else { return Ok(None) };
        self.next_sequence = sequence.wrapping_add(1);
        self.answers.sent(sequence);
        Ok(Some((sequence, message)))
    }

    fn message(&self, sequence_number: u32, found: Found) -> Option<MiningOwned> {
        let Found { job: job_id, nonce, ntime, version, extranonce, .. } = found;
        let channel_id = self.opened.channel_id;
        Some(match self.kind {
            JobKind::Extended => MiningOwned::SubmitSharesExtended(SubmitSharesExtendedOwned {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
                extranonce: extranonce.try_into().ok()?,
            }),
            JobKind::Standard => MiningOwned::SubmitSharesStandard(SubmitSharesStandardOwned {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
            }),
        })
    }
}
