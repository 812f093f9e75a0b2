//! One mining channel: what its client is told of its search space.

use crate::wire::{Frames, JobHeader, OpenedChannel, Submit};
use ingress::domain::{
    Moment,
    job::Job,
    miner::Miner,
    numbers::Number,
    rules::Rules,
    selection::Work,
    space::{self, Good, SearchSpace, Submission},
};
use mining::{Prefix, SV2_EXTRANONCE_LENGTH, SV2_ROLLED_LENGTH, ShareFields, WorkTemplate};
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use subjects::{
    Exponent,
    shares::{Extranonce, JobKind, Reason},
};

/// An open channel.
#[derive(Debug)]
pub struct Channel {
    /// Its id on the connection.
    pub id: u32,
    space: SearchSpace,
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
        let terms = space::Terms {
            number,
            kind,
            prefix,
            extranonce_length: SV2_EXTRANONCE_LENGTH,
            miner,
            easiest,
            hardest: Exponent::MAX,
            exponent,
            version_mask: u32::MAX,
        };
        let mut channel = Self { id, space: SearchSpace::new(terms, &work.tip, moment) };
        channel.say_opened(request_id, frames);
        channel.enter_tip(work, moment, frames);
        channel.prepare(work, frames);
        Some(channel)
    }

    /// Its search space.
    pub const fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// Its number in this boot epoch, and the position of the next session fact of that number.
    pub const fn next_fact(&mut self) -> (u32, u32) {
        let number = self.space.number();
        (number.value(), number.next_fact())
    }

    /// Gives the number back.
    pub fn into_number(self) -> Number {
        self.space.into_number()
    }

    fn say_opened(&self, request_id: u32, frames: &mut Frames) {
        let opened = OpenedChannel {
            request_id,
            channel_id: self.id,
            exponent: self.space.exponent(),
            prefix: self.space.prefix(),
            rolled: 0,
        };
        match self.space.kind() {
            JobKind::Standard => frames.opened_standard(opened),
            JobKind::Extended => {
                frames
                    .opened_extended(OpenedChannel { rolled: SV2_ROLLED_LENGTH.into(), ..opened });
            }
        }
    }

    /// Catches up with the work that is current, whatever happened in between.
    pub fn follow(&mut self, work: &Work, moment: Moment, frames: &mut Frames) {
        let current = self.space.jobs().current();
        if self.space.tip().prevhash() != work.tip.prevhash() {
            self.enter_tip(work, moment, frames);
        } else if current.is_none_or(|job| job.template.id() != work.template.id()) {
            self.start_job(&work.template, moment, frames);
        }
        self.prepare(work, frames);
    }

    /// Starts the pre-sent job of this tip, or sends and starts one.
    fn enter_tip(&mut self, work: &Work, moment: Moment, frames: &mut Frames) {
        self.space.enter(&work.tip);
        let exponent = self.space.limits().clamp(self.space.exponent());
        let ready =
            self.space.jobs().future().is_some_and(|job| {
                job.template.id() == work.template.id() && job.exponent == exponent
            });
        if !ready {
            let before = self.space.exponent();
            self.space.set_exponent(exponent);
            if exponent > before {
                frames.set_target(self.id, exponent);
            }
            self.send_future(&work.template, frames);
            if exponent < before {
                frames.set_target(self.id, exponent);
            }
        }
        if let Some(id) = self.space.activate(moment.elapsed) {
            frames.new_prevhash(self.id, id, self.space.tip(), self.space.least_ntime(moment.at));
        }
    }

    /// Sends the job for the next tip, unless it was sent.
    fn prepare(&mut self, work: &Work, frames: &mut Frames) {
        let Some(prepared) = &work.prepared else { return };
        if self.space.jobs().future().is_none_or(|job| job.template.id() != prepared.id()) {
            self.send_future(prepared, frames);
        }
    }

    /// Gives the channel another target. Raised: target first, job after, so that no share misses
    /// the target that its job commits to. Eased: job first. A job that waits is replaced.
    fn retarget(&mut self, exponent: Exponent, moment: Moment, frames: &mut Frames) {
        let raised = exponent > self.space.exponent();
        self.space.set_exponent(exponent);
        if raised {
            frames.set_target(self.id, exponent);
        }
        let template = |job: &Job| Arc::clone(&job.template);
        if let Some(template) = self.space.jobs().current().map(template) {
            self.start_job(&template, moment, frames);
        }
        if !raised {
            frames.set_target(self.id, exponent);
        }
        if let Some(template) = self.space.jobs().future().map(template) {
            self.send_future(&template, frames);
        }
    }

    /// Adjusts the target to the shares that came; whether it changed.
    pub fn adjust(&mut self, rules: &Rules, moment: Moment, frames: &mut Frames) -> bool {
        let next = self.space.decide(rules, moment.elapsed);
        self.take_target(next, moment, frames)
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
        let next = self.space.renegotiated(easiest, exponent, moment.elapsed);
        self.take_target(next, moment, frames)
    }

    fn take_target(&mut self, next: Exponent, moment: Moment, frames: &mut Frames) -> bool {
        if next == self.space.exponent() {
            return false;
        }
        self.retarget(next, moment, frames);
        true
    }

    /// How long a silent channel can be left alone; `None` when its target cannot be eased.
    pub fn next_check(&self, rate: NonZeroU32, now: Duration) -> Option<Duration> {
        self.space.next_check(rate, now)
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
        if share.kind != self.space.kind() {
            return Err(Reason::InvalidChannelId);
        }
        let miner = Arc::clone(self.space.miner());
        let Submit { extranonce, ntime, nonce, version, .. } = *share;
        let submission = Submission {
            job_id: share.job_id,
            sequence: share.sequence_number,
            worker: &miner,
            fields: ShareFields { extranonce, ntime, nonce, version },
        };
        self.space.submit(&submission, rules, work, moment)
    }

    fn start_job(&mut self, template: &Arc<WorkTemplate>, moment: Moment, frames: &mut Frames) {
        let min_ntime = Some(self.space.least_ntime(moment.at));
        let job = self.send_job(template, min_ntime, frames);
        self.space.start(job, moment.elapsed);
    }

    fn send_future(&mut self, template: &Arc<WorkTemplate>, frames: &mut Frames) {
        let job = self.send_job(template, None, frames);
        self.space.wait(job);
    }

    fn send_job(
        &mut self,
        template: &Arc<WorkTemplate>,
        min_ntime: Option<u32>,
        frames: &mut Frames,
    ) -> Job {
        let job = self.space.job_on(template);
        let header = JobHeader { channel_id: self.id, job_id: job.id, min_ntime };
        match job.merkle_root.as_deref() {
            None => frames.extended_job(header, template, job.exponent, &self.space.miner().payee),
            Some(root) => frames.standard_job(header, template.version(), root),
        }
        job
    }
}
