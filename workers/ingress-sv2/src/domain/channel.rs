//! One mining channel: what its client is told of its search space.

use crate::{
    domain::{
        groups::{Key, Shared},
        workers::Workers,
    },
    wire::{self, BadName, Frames, JobHeader, OpenedChannel, Submit},
};
use ingress::domain::{
    Moment,
    job::Job,
    miner::Miner,
    numbers::Number,
    reject_run::{RejectRun, Remedy},
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
    /// The group that it belongs to.
    pub group: u32,
    space: SearchSpace,
    workers: Workers,
    bad_shares: RejectRun,
}

/// What was agreed on when a channel opens.
#[derive(Debug)]
pub struct Terms {
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

/// Ids of jobs, counted on the connection: what is sent to a group has an id that none of its
/// channels had.
#[derive(Debug, Default)]
pub struct JobIds {
    given: u32,
}

impl JobIds {
    /// An id that no job on the connection had. Ids count from 1, because firmware takes 0 for
    /// none.
    pub const fn next(&mut self) -> u32 {
        self.given = self.given.saturating_add(1);
        self.given
    }
}

/// What a client is told work from, and where it is written.
#[derive(Debug)]
pub struct Telling<'a> {
    /// The work that is current.
    pub work: &'a Work,
    /// Now.
    pub moment: Moment,
    /// Where job ids come from.
    pub jobs: &'a mut JobIds,
    /// What is sent.
    pub frames: &'a mut Frames,
}

impl Channel {
    /// Opens a channel in `group` and says so: the answer to request `request_id`, a future job, the
    /// tip that starts it, and the job for the next tip if one is prepared, which is `shared` if its
    /// group has one.
    ///
    /// `None` when the number has more than three bytes, which [`Number`] never has.
    pub fn open(
        [id, group]: [u32; 2],
        terms: Terms,
        request_id: u32,
        rules: &Rules,
        shared: Option<&Shared>,
        to: &mut Telling<'_>,
    ) -> Option<Self> {
        let Terms { number, kind, miner, easiest, exponent } = terms;
        let terms = space::Terms {
            prefix: prefix(rules, &number, kind)?,
            number,
            kind,
            extranonce_length: SV2_EXTRANONCE_LENGTH,
            miner,
            easiest,
            hardest: Exponent::MAX,
            exponent,
            version_mask: u32::MAX,
        };
        let space = SearchSpace::new(terms, &to.work.tip, to.moment);
        let (workers, bad_shares) = (Workers::default(), RejectRun::default());
        let mut channel = Self { id, group, space, workers, bad_shares };
        channel.say_opened(request_id, to.frames);
        channel.enter_tip(to);
        channel.prepare(shared, to);
        Some(channel)
    }

    /// Its search space.
    pub const fn space(&self) -> &SearchSpace {
        &self.space
    }

    /// The workers that its shares name.
    pub const fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The same, to be changed.
    pub const fn workers_mut(&mut self) -> &mut Workers {
        &mut self.workers
    }

    /// The worker that a share is counted for. `room` says whether another name may be remembered.
    ///
    /// # Errors
    ///
    /// `InvalidIdentity` for a name that is longer than extension 0x0002 allows.
    pub fn worker_of(&mut self, share: &Submit<'_>, room: bool) -> Result<Arc<Miner>, Reason> {
        let miner = self.space.miner();
        if !self.workers.are_named() || share.kind != JobKind::Extended {
            return Ok(Arc::clone(miner));
        }
        let name = wire::worker_name(share.fields).map_err(|BadName| Reason::InvalidIdentity)?;
        Ok(name.map_or_else(|| Arc::clone(miner), |name| self.workers.find(name, miner, room)))
    }

    /// What it has in common with others of its group, at the target `exponent`.
    pub fn key(&self, exponent: Exponent) -> Key {
        Key::Jobs { payee: self.space.miner().payee, exponent }
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
            group_id: self.group,
        };
        match self.space.kind() {
            JobKind::Standard => frames.opened_standard(opened),
            JobKind::Extended => {
                frames
                    .opened_extended(OpenedChannel { rolled: SV2_ROLLED_LENGTH.into(), ..opened });
            }
        }
    }

    /// Catches up with the work that is current, whatever happened in between, by messages of its
    /// own.
    pub fn follow(&mut self, to: &mut Telling<'_>) {
        let current = self.space.jobs().current();
        if self.space.tip().prevhash() != to.work.tip.prevhash() {
            self.enter_tip(to);
        } else if current.is_none_or(|job| job.template.id() != to.work.template.id()) {
            let template = Arc::clone(&to.work.template);
            self.start_job(&template, to);
        }
        self.prepare(None, to);
    }

    /// Starts the pre-sent job of this tip, or sends and starts one.
    fn enter_tip(&mut self, to: &mut Telling<'_>) {
        self.space.enter(&to.work.tip);
        let exponent = self.space.limits().clamp(self.space.exponent());
        let ready = self.space.jobs().future().is_some_and(|job| {
            job.template.id() == to.work.template.id() && job.exponent == exponent
        });
        if !ready {
            let before = self.space.exponent();
            self.space.set_exponent(exponent);
            if exponent > before {
                to.frames.set_target(self.id, exponent);
            }
            let template = Arc::clone(&to.work.template);
            self.send_future(&template, to);
            if exponent < before {
                to.frames.set_target(self.id, exponent);
            }
        }
        if let Some(id) = self.space.activate(to.moment.elapsed) {
            let min_ntime = self.space.least_ntime(to.moment.at);
            self.space.told_ntime(min_ntime);
            to.frames.new_prevhash(self.id, id, self.space.tip(), min_ntime);
        }
    }

    /// Sends the job for the next tip, unless it was sent: the group's if it has one.
    fn prepare(&mut self, shared: Option<&Shared>, to: &mut Telling<'_>) {
        let waits = self.space.jobs().future();
        if let Some(shared) = shared {
            if !waits.is_some_and(|job| shared.is(job)) {
                self.send_shared(shared, to);
            }
            return;
        }
        let Some(prepared) = &to.work.prepared else { return };
        if waits.is_none_or(|job| job.template.id() != prepared.id()) {
            let prepared = Arc::clone(prepared);
            self.send_future(&prepared, to);
        }
    }

    /// Gives the channel another target, and a job that commits to it. A job that waits is replaced,
    /// by the one that its group waits with if there is one.
    ///
    /// A client that takes `SetTarget` for the job at hand must never work at an easier target than
    /// that job commits to: an eased job goes before its target. By section 5.3.21 the target counts
    /// for the jobs that come after it only: so a job goes behind the target too.
    pub fn retarget(&mut self, exponent: Exponent, shared: Option<&Shared>, to: &mut Telling<'_>) {
        let eased = exponent < self.space.exponent();
        self.space.set_exponent(exponent);
        let template = |job: &Job| Arc::clone(&job.template);
        let current = self.space.jobs().current().map(template);
        if let Some(template) = current.as_ref().filter(|_| eased) {
            self.start_job(template, to);
        }
        to.frames.set_target(self.id, exponent);
        if let Some(template) = &current {
            self.start_job(template, to);
        }
        if let Some(shared) = shared {
            self.send_shared(shared, to);
        } else if let Some(template) = self.space.jobs().future().map(template) {
            self.send_future(&template, to);
        }
    }

    /// The extranonce prefix that another number would give it; `None` for more than three bytes,
    /// which [`Number`] never has.
    pub fn prefix_of(&self, number: &Number, rules: &Rules) -> Option<Extranonce> {
        prefix(rules, number, self.space.kind())
    }

    /// Gives the channel other headers to search, those of `number`, and a job on them; the number
    /// that is free now. Jobs that it was told before are over: they have the prefix before, whose
    /// proofs are no longer remembered.
    pub fn renumber(&mut self, number: Number, prefix: Extranonce, to: &mut Telling<'_>) -> Number {
        let template = |job: &Job| Arc::clone(&job.template);
        let current = self.space.jobs().current().map(template);
        let future = self.space.jobs().future().map(template);
        let free = self.space.renumber(number, prefix, to.moment.elapsed);
        to.frames.set_prefix(self.id, self.space.prefix());
        if let Some(template) = current {
            self.start_job(&template, to);
        }
        if let Some(template) = future {
            self.send_future(&template, to);
        }
        free
    }

    /// A good share came.
    pub fn good_share(&mut self) {
        self.bad_shares.good();
    }

    /// A bad share came; what is to be done about it.
    pub fn bad_share(&mut self, rules: &Rules, now: Duration) -> Option<Remedy> {
        self.bad_shares.bad(rules.reject_patience, now)
    }

    /// Tells its target and its work again.
    pub fn resend(&mut self, to: &mut Telling<'_>) {
        to.frames.set_target(self.id, self.space.exponent());
        if let Some(template) = self.space.jobs().current().map(|job| Arc::clone(&job.template)) {
            self.start_job(&template, to);
        }
    }

    /// The target that its shares ask for, if that is another one.
    pub fn adjusted(&mut self, rules: &Rules, now: Duration) -> Option<Exponent> {
        let next = self.space.decide(rules, now);
        (next != self.space.exponent()).then_some(next)
    }

    /// Takes a client's word for its hashrate and for the easiest target that it accepts; the target
    /// that follows, if that is another one. `suits` is what suits the hashrate, if it named one.
    pub fn renegotiated(
        &mut self,
        easiest: Exponent,
        suits: Option<Exponent>,
        now: Duration,
    ) -> Option<Exponent> {
        let next = self.space.renegotiated(easiest, suits, now);
        (next != self.space.exponent()).then_some(next)
    }

    /// How long a silent channel can be left alone; `None` when its target cannot be eased.
    pub fn next_check(&self, rate: NonZeroU32, now: Duration) -> Option<Duration> {
        self.space.next_check(rate, now)
    }

    /// Its group was told a job that waits for its tip.
    pub fn wait(&mut self, shared: &Shared) {
        let job = self.space.job(shared.id, &shared.template);
        self.space.wait(job);
    }

    /// Its group was told a job that starts at once, at `min_ntime`.
    pub fn start(&mut self, shared: &Shared, min_ntime: u32, now: Duration) {
        self.space.told_ntime(min_ntime);
        let job = self.space.job(shared.id, &shared.template);
        self.space.start(job, now);
    }

    /// Its group is told the tip of `work` now, with jobs at this target.
    pub fn enter(&mut self, work: &Work, exponent: Exponent) {
        self.space.enter(&work.tip);
        self.space.set_exponent(exponent);
    }

    /// Its group was told that the job starts, at `min_ntime`, which waited for the tip.
    pub fn activate(&mut self, min_ntime: u32, now: Duration) {
        self.space.told_ntime(min_ntime);
        self.space.activate(now);
    }

    /// Judges a share against its own job.
    ///
    /// # Errors
    ///
    /// The first reason why it does not count.
    pub fn submit(
        &mut self,
        share: &Submit<'_>,
        worker: &Arc<Miner>,
        rules: &Rules,
        work: &Work,
        moment: Moment,
    ) -> Result<Good, Reason> {
        if share.kind != self.space.kind() {
            return Err(Reason::InvalidChannelId);
        }
        let Submit { extranonce, ntime, nonce, version, .. } = *share;
        let submission = Submission {
            job_id: share.job_id,
            sequence: share.sequence_number,
            worker,
            fields: ShareFields { extranonce, ntime, nonce, version },
        };
        self.space.submit(&submission, rules, work, moment)
    }

    fn start_job(&mut self, template: &Arc<WorkTemplate>, to: &mut Telling<'_>) {
        let min_ntime = self.space.least_ntime(to.moment.at);
        self.space.told_ntime(min_ntime);
        let id = to.jobs.next();
        let job = self.send_job(id, template, Some(min_ntime), to.frames);
        self.space.start(job, to.moment.elapsed);
    }

    fn send_future(&mut self, template: &Arc<WorkTemplate>, to: &mut Telling<'_>) {
        let id = to.jobs.next();
        let job = self.send_job(id, template, None, to.frames);
        self.space.wait(job);
    }

    /// Tells the job that the others of its group wait with.
    fn send_shared(&mut self, shared: &Shared, to: &mut Telling<'_>) {
        let job = self.send_job(shared.id, &shared.template, None, to.frames);
        self.space.wait(job);
    }

    fn send_job(
        &self,
        id: u32,
        template: &Arc<WorkTemplate>,
        min_ntime: Option<u32>,
        frames: &mut Frames,
    ) -> Job {
        let mut job = self.space.job(id, template);
        let header = JobHeader { channel_id: self.id, job_id: job.id, min_ntime };
        match self.space.merkle_root(&job) {
            None => frames.extended_job(header, template, job.exponent, &self.space.miner().payee),
            Some(root) => {
                frames.standard_job(header, template.version(), &root);
                job.merkle_root = Some(Box::new(root));
            }
        }
        job
    }
}

/// The extranonce prefix of a number: on a standard channel the whole extranonce.
fn prefix(rules: &Rules, number: &Number, kind: JobKind) -> Option<Extranonce> {
    let prefix = Prefix::new(rules.lane, rules.boot_epoch, number.value())?;
    match kind {
        JobKind::Extended => Extranonce::new(&prefix.to_sv2()),
        JobKind::Standard => Extranonce::new(&prefix.to_standard()),
    }
}
