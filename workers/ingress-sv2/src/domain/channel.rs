//! One mining channel: its jobs, its target, and the judgement of its shares.

use crate::{
    domain::{
        Moment,
        job::{Job, Jobs},
        lane::Taken,
        miner::Miner,
        numbers::Number,
        proofs::{Novelty, Proofs},
        rules::Rules,
        selection::Work,
        vardiff::{Limits, Vardiff},
    },
    wire::{Frames, JobHeader, OpenedChannel, Submit},
};
use mining::{
    Prefix, SV2_EXTRANONCE_LENGTH, SV2_ROLLED_LENGTH, ShareFields, TipWork, WorkTemplate, judge,
    judge_on_root, solution,
};
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use subjects::{
    Exponent, Timestamp, Work as Credit,
    blocks::Claimed,
    shares::{self, Extranonce, JobKind, Reason, WorkSource},
};

/// How far a job's least time may run ahead of its tip's, in seconds: half of the window in which
/// Core takes shares, so that a miner may roll for as long again.
const NTIME_LEAD_SECS: u32 = mining::NTIME_WINDOW_SECS / 2;

/// An open channel.
#[derive(Debug)]
pub struct Channel {
    /// Its id on the connection.
    pub id: u32,
    /// Its number in this boot epoch.
    pub number: Number,
    /// How its miner rolls.
    pub kind: JobKind,
    /// Who is credited.
    pub miner: Arc<Miner>,
    /// The exponent of the target in force.
    pub exponent: Exponent,
    prefix: Extranonce,
    /// The easiest target that both the client and we accept.
    easiest: Exponent,
    tip: Arc<TipWork>,
    jobs: Jobs,
    proofs: Proofs,
    vardiff: Vardiff,
}

/// What was agreed on when a channel opens.
#[derive(Debug)]
pub struct Terms {
    /// Its id on the connection.
    pub id: u32,
    /// Its number in this boot epoch.
    pub number: Number,
    /// How its miner rolls.
    pub kind: JobKind,
    /// Who is credited.
    pub miner: Arc<Miner>,
    /// The easiest target that both the client and we accept.
    pub easiest: Exponent,
    /// The exponent of the first target.
    pub exponent: Exponent,
}

/// A share that counts.
#[derive(Debug)]
pub struct Good {
    /// What goes to the lane.
    pub taken: Taken,
    /// What it is worth.
    pub work: Credit,
    /// What is claimed if it solves the block.
    pub claim: Option<Claimed>,
}

impl Channel {
    /// Opens a channel and says so: the answer to request `request_id`, a future job, the tip that
    /// starts it, and the job for the next tip if one is prepared.
    ///
    /// `None` when the number has more than three bytes, which [`Number`] never has.
    pub fn open(
        terms: Terms,
        request_id: u32,
        rules: &Rules,
        work: &Work,
        moment: Moment,
        frames: &mut Frames,
    ) -> Option<Self> {
        let prefix = Prefix::new(rules.lane, rules.boot_epoch, terms.number.value())?;
        let prefix = match terms.kind {
            JobKind::Extended => Extranonce::new(&prefix.to_sv2())?,
            JobKind::Standard => Extranonce::new(&prefix.to_standard())?,
        };
        let Terms { id, number, kind, miner, easiest, exponent } = terms;
        let mut channel = Self {
            id,
            number,
            kind,
            miner,
            exponent,
            prefix,
            easiest,
            tip: Arc::clone(&work.tip),
            jobs: Jobs::default(),
            proofs: Proofs::default(),
            vardiff: Vardiff::new(moment.elapsed),
        };
        channel.say_opened(request_id, frames);
        channel.enter_tip(work, moment.at, frames);
        channel.prepare(work, frames);
        Some(channel)
    }

    fn say_opened(&self, request_id: u32, frames: &mut Frames) {
        let prefix = self.prefix.as_slice();
        let opened = OpenedChannel {
            request_id,
            channel_id: self.id,
            exponent: self.exponent,
            prefix,
            rolled: 0,
        };
        match self.kind {
            JobKind::Standard => frames.opened_standard(opened),
            JobKind::Extended => {
                frames
                    .opened_extended(OpenedChannel { rolled: SV2_ROLLED_LENGTH.into(), ..opened });
            }
        }
    }

    /// Catches up with the work that is current, whatever happened in between.
    pub fn follow(&mut self, work: &Work, at: Timestamp, frames: &mut Frames) {
        if self.tip.prevhash() != work.tip.prevhash() {
            self.enter_tip(work, at, frames);
        } else if self.jobs.current().is_none_or(|job| job.template.id() != work.template.id()) {
            self.start_job(&work.template, at, frames);
        }
        self.prepare(work, frames);
    }

    /// Starts the pre-sent job of this tip, or sends and starts one.
    fn enter_tip(&mut self, work: &Work, at: Timestamp, frames: &mut Frames) {
        self.tip = Arc::clone(&work.tip);
        let exponent = self.limits().clamp(self.exponent);
        let ready = self
            .jobs
            .future()
            .is_some_and(|job| job.template.id() == work.template.id() && job.exponent == exponent);
        if !ready {
            let before = std::mem::replace(&mut self.exponent, exponent);
            if exponent > before {
                frames.set_target(self.id, exponent);
            }
            self.send_future(&work.template, frames);
            if exponent < before {
                frames.set_target(self.id, exponent);
            }
        }
        self.proofs.clear();
        if let Some(id) = self.jobs.activate() {
            frames.new_prevhash(self.id, id, &self.tip, self.least_ntime(at));
        }
    }

    /// Sends the job for the next tip, unless it was sent.
    fn prepare(&mut self, work: &Work, frames: &mut Frames) {
        let Some(prepared) = &work.prepared else { return };
        if self.jobs.future().is_none_or(|job| job.template.id() != prepared.id()) {
            self.send_future(prepared, frames);
        }
    }

    /// Gives the channel another target. Raised: target first, job after, so that no share misses
    /// the target that its job commits to. Eased: job first. A job that waits is replaced.
    fn retarget(&mut self, exponent: Exponent, at: Timestamp, frames: &mut Frames) {
        let raised = exponent > self.exponent;
        self.exponent = exponent;
        if raised {
            frames.set_target(self.id, exponent);
        }
        if let Some(template) = self.jobs.current().map(|job| Arc::clone(&job.template)) {
            self.start_job(&template, at, frames);
        }
        if !raised {
            frames.set_target(self.id, exponent);
        }
        if let Some(template) = self.jobs.future().map(|job| Arc::clone(&job.template)) {
            self.send_future(&template, frames);
        }
    }

    /// Adjusts the target to the shares that came; whether it changed.
    pub fn adjust(&mut self, rules: &Rules, moment: Moment, frames: &mut Frames) -> bool {
        let limits = self.limits();
        let rate = rules.shares_per_minute;
        let next = self.vardiff.decide(moment.elapsed, rate, self.exponent, limits);
        self.take_target(next, moment.at, frames)
    }

    /// Takes a client's word for its hashrate and for the easiest target that it accepts; whether
    /// the target changed. `exponent` is what suits the hashrate, if it named one.
    pub fn renegotiate(
        &mut self,
        easiest: Exponent,
        exponent: Option<Exponent>,
        moment: Moment,
        frames: &mut Frames,
    ) -> bool {
        self.easiest = easiest;
        if exponent.is_some() {
            self.vardiff = Vardiff::new(moment.elapsed);
        }
        let next = self.limits().clamp(exponent.unwrap_or(self.exponent));
        self.take_target(next, moment.at, frames)
    }

    fn take_target(&mut self, next: Exponent, at: Timestamp, frames: &mut Frames) -> bool {
        if next == self.exponent {
            return false;
        }
        self.retarget(next, at, frames);
        true
    }

    /// How long a silent channel can be left alone; `None` when its target cannot be eased.
    pub fn next_check(&self, rate: NonZeroU32, now: Duration) -> Option<Duration> {
        self.vardiff.next_check(now, rate, self.exponent, self.limits())
    }

    fn limits(&self) -> Limits {
        Limits { easiest: self.easiest, hardest: self.tip.hardest_exponent() }
    }

    /// Whether the channel can remember no further proof and must be closed.
    pub fn is_exhausted(&self) -> bool {
        self.proofs.is_full()
    }

    /// Judges a share against its own job.
    ///
    /// # Errors
    ///
    /// The first reason why it does not count.
    pub fn submit(
        &mut self,
        share: &Submit<'_>,
        rules: &Rules,
        work: &Work,
        moment: Moment,
    ) -> Result<Good, Reason> {
        if share.kind != self.kind {
            return Err(Reason::InvalidChannelId);
        }
        let job = self.jobs.find(share.job_id)?;
        let facts = mining::Job {
            kind: self.kind,
            exponent: job.exponent,
            extranonce_prefix: self.prefix.as_slice(),
            extranonce_length: SV2_EXTRANONCE_LENGTH,
            payee: &self.miner.payee,
            version_mask: job.template.version_mask(),
        };
        let Submit { extranonce, ntime, nonce, version, .. } = *share;
        let fields = ShareFields { extranonce, ntime, nonce, version };
        let judged = match job.merkle_root.as_deref() {
            Some(root) => judge_on_root(&job.template, &self.tip, &facts, *root, &fields)?,
            None => judge(&job.template, &self.tip, &facts, &fields)?,
        };
        match self.proofs.insert(judged.fingerprint()) {
            Novelty::New => self.vardiff.share(moment.elapsed, rules.shares_per_minute),
            Novelty::Duplicate => return Err(Reason::DuplicateShare),
        }
        let solved = if judged.is_block {
            solution(&job.template, &self.tip, &facts, &fields)
        } else {
            None
        };
        let claim = solved.map(|solved| solved.claimed(rules.node.clone(), &job.template));
        let job = record(job, &facts, &self.miner, &self.tip);
        let taken = Taken {
            tips: work.tips,
            job,
            miner: Arc::clone(&self.miner),
            channel: self.number.value(),
            sequence: share.sequence_number,
            extranonce: Extranonce::new(extranonce).ok_or(Reason::BadExtranonceSize)?,
            ntime,
            nonce,
            version,
            at: moment.at,
        };
        Ok(Good { taken, work: judged.work, claim })
    }

    fn start_job(&mut self, template: &Arc<WorkTemplate>, at: Timestamp, frames: &mut Frames) {
        let min_ntime = Some(self.least_ntime(at));
        let job = self.send_job(template, min_ntime, frames);
        self.jobs.start(job);
    }

    fn send_future(&mut self, template: &Arc<WorkTemplate>, frames: &mut Frames) {
        let job = self.send_job(template, None, frames);
        self.jobs.wait(job);
    }

    fn send_job(
        &mut self,
        template: &Arc<WorkTemplate>,
        min_ntime: Option<u32>,
        frames: &mut Frames,
    ) -> Job {
        let header = JobHeader { channel_id: self.id, job_id: self.jobs.next_id(), min_ntime };
        let mut merkle_root = None;
        match self.kind {
            JobKind::Extended => {
                frames.extended_job(header, template, self.exponent, &self.miner.payee);
            }
            JobKind::Standard => {
                let root = self.merkle_root(template);
                frames.standard_job(header, template.version(), &root);
                merkle_root = Some(Box::new(root));
            }
        }
        let template = Arc::clone(template);
        Job { id: header.job_id, template, exponent: self.exponent, merkle_root, record: None }
    }

    fn merkle_root(&self, template: &WorkTemplate) -> [u8; 32] {
        let job = mining::Job {
            kind: self.kind,
            exponent: self.exponent,
            extranonce_prefix: self.prefix.as_slice(),
            extranonce_length: SV2_EXTRANONCE_LENGTH,
            payee: &self.miner.payee,
            version_mask: template.version_mask(),
        };
        #[expect(clippy::expect_used, reason = "a standard prefix is SV2_EXTRANONCE_LENGTH long")]
        template.merkle_root(&job, &[]).expect("the prefix is the whole extranonce")
    }

    /// Where a miner's header time starts: now, as far as the tip's window allows.
    fn least_ntime(&self, at: Timestamp) -> u32 {
        let least = self.tip.min_ntime();
        let now = u32::try_from(at.0 / 1_000).unwrap_or(u32::MAX);
        now.clamp(least, least.saturating_add(NTIME_LEAD_SECS))
    }
}

/// How batches name the job; made once.
fn record(
    job: &mut Job,
    facts: &mining::Job<'_>,
    miner: &Miner,
    tip: &TipWork,
) -> Arc<shares::Job> {
    let source = WorkSource::Template { template: job.template.id(), prevhash: tip.prevhash() };
    let record = job.record.get_or_insert_with(|| {
        Arc::new(shares::Job {
            source,
            kind: facts.kind,
            exponent: facts.exponent,
            extranonce_prefix: Extranonce::new(facts.extranonce_prefix).unwrap_or_default(),
            extranonce_length: facts.extranonce_length,
            identity: miner.identity.clone(),
            version_mask: facts.version_mask,
        })
    });
    Arc::clone(record)
}
