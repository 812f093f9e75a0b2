//! A search space: the headers that one miner searches, its jobs, its target, and the judgement of
//! its shares.

use crate::domain::{
    Moment,
    job::{Job, Jobs},
    lane::Taken,
    miner::Miner,
    numbers::Number,
    proofs::{Novelty, Proofs},
    rules::Rules,
    selection::Work,
    vardiff::{Limits, Vardiff},
};
use mining::{ShareFields, TipWork, WorkTemplate, judge, judge_on_root, solution};
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use subjects::{
    Exponent, Timestamp, Work as Credit,
    blocks::Claimed,
    shares::{self, Extranonce, JobKind, Reason, WorkSource},
};

/// How far a job's least time may run ahead of its tip's, in seconds: half of the window in which
/// Core takes shares, so that a miner may roll for as long again.
const NTIME_LEAD_SECS: u32 = mining::NTIME_WINDOW_SECS / 2;

/// What was agreed on when a search space is given to a miner.
#[derive(Debug)]
pub struct Terms {
    /// Its number in this boot epoch.
    pub number: Number,
    /// How its miner rolls.
    pub kind: JobKind,
    /// The extranonce prefix, which nobody else has; on standard jobs the whole extranonce.
    pub prefix: Extranonce,
    /// Bytes of the whole extranonce, prefix included.
    pub extranonce_length: u8,
    /// Who is credited.
    pub miner: Arc<Miner>,
    /// The easiest target that both the client and we accept.
    pub easiest: Exponent,
    /// The hardest target that the client accepts.
    pub hardest: Exponent,
    /// The exponent of the first target.
    pub exponent: Exponent,
    /// Version bits that the miner may roll, where the template allows them.
    pub version_mask: u32,
}

/// The headers that one miner searches.
#[derive(Debug)]
pub struct SearchSpace {
    terms: Terms,
    tip: Arc<TipWork>,
    /// The greatest least time that a miner was told on the tip, in seconds since 1970.
    told_ntime: u32,
    jobs: Jobs,
    proofs: Proofs,
    vardiff: Vardiff,
}

/// What a miner says of a share, besides its job.
#[derive(Clone, Copy, Debug)]
pub struct Submission<'a> {
    /// The job that it names.
    pub job_id: u32,
    /// The miner's number of the share.
    pub sequence: u32,
    /// The worker that found it: the search space's miner, or another worker of its identity.
    pub worker: &'a Arc<Miner>,
    /// What it rolled.
    pub fields: ShareFields<'a>,
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

impl SearchSpace {
    /// A search space without a job.
    pub fn new(terms: Terms, tip: &Arc<TipWork>, moment: Moment) -> Self {
        Self {
            terms,
            tip: Arc::clone(tip),
            told_ntime: 0,
            jobs: Jobs::default(),
            proofs: Proofs::default(),
            vardiff: Vardiff::new(moment.elapsed),
        }
    }

    /// Other headers for the same miner, whose jobs go on counting; and the number that is free now.
    pub fn succeed(self, terms: Terms, tip: &Arc<TipWork>, moment: Moment) -> (Self, Number) {
        let jobs = self.jobs.succeed();
        (Self { jobs, ..Self::new(terms, tip, moment) }, self.terms.number)
    }

    /// The same miner, at the same target, on the headers of another number; the number that is
    /// free now. Its jobs go on counting.
    pub fn renumber(&mut self, number: Number, prefix: Extranonce, now: Duration) -> Number {
        self.jobs = self.jobs.succeed();
        self.proofs.clear();
        self.vardiff = Vardiff::new(now);
        self.terms.prefix = prefix;
        std::mem::replace(&mut self.terms.number, number)
    }

    /// It is searched for this worker of the same identity from now on.
    pub fn set_miner(&mut self, miner: Arc<Miner>) {
        self.terms.miner = miner;
    }

    /// Its number in this boot epoch.
    pub const fn number(&mut self) -> &mut Number {
        &mut self.terms.number
    }

    /// Gives the number back.
    pub fn into_number(self) -> Number {
        self.terms.number
    }

    /// How its miner rolls.
    pub const fn kind(&self) -> JobKind {
        self.terms.kind
    }

    /// Who is credited.
    pub const fn miner(&self) -> &Arc<Miner> {
        &self.terms.miner
    }

    /// The exponent of the target in force.
    pub const fn exponent(&self) -> Exponent {
        self.terms.exponent
    }

    /// The extranonce prefix; on standard jobs the whole extranonce.
    pub fn prefix(&self) -> &[u8] {
        self.terms.prefix.as_slice()
    }

    /// The tip that its jobs build on.
    pub const fn tip(&self) -> &Arc<TipWork> {
        &self.tip
    }

    /// Its jobs.
    pub const fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// A tip has come: no header on the one before is taken any more. The caller gives the miner
    /// something to do on it, by [`SearchSpace::activate`] or [`SearchSpace::start`].
    pub fn enter(&mut self, tip: &Arc<TipWork>) {
        self.tip = Arc::clone(tip);
        self.told_ntime = 0;
        self.proofs.clear();
    }

    /// Starts the job that waited for its tip; its id.
    pub fn activate(&mut self, now: Duration) -> Option<u32> {
        self.jobs.activate(now)
    }

    /// A job at the target in force, on a template, with the next id of this search space. It
    /// counts once it is given to [`SearchSpace::start`] or [`SearchSpace::wait`].
    pub fn job_on(&self, template: &Arc<WorkTemplate>) -> Job {
        self.job(self.jobs.next_id(), template)
    }

    /// The same with another `id`, which no job of this search space may have had.
    pub fn job(&self, id: u32, template: &Arc<WorkTemplate>) -> Job {
        Job {
            id,
            template: Arc::clone(template),
            exponent: self.terms.exponent,
            version_mask: self.terms.version_mask & template.version_mask(),
            merkle_root: None,
            record: None,
        }
    }

    /// The merkle root of a job of this search space, if no miner can change it.
    pub fn merkle_root(&self, job: &Job) -> Option<[u8; 32]> {
        match self.terms.kind {
            JobKind::Extended => None,
            JobKind::Standard => {
                job.template.merkle_root(&facts(&self.terms, job.exponent, 0), &[])
            }
        }
    }

    /// A job that is started at once, at `now`.
    pub fn start(&mut self, job: Job, now: Duration) {
        self.jobs.start(job, now);
    }

    /// A job that waits for its tip.
    pub fn wait(&mut self, job: Job) {
        self.jobs.wait(job);
    }

    /// The exponent that shares should have by what came so far, within the limits.
    pub fn decide(&mut self, rules: &Rules, now: Duration) -> Exponent {
        let (limits, current) = (self.limits(), self.terms.exponent);
        self.vardiff.decide(now, rules.shares_per_minute, current, limits)
    }

    /// Takes a client's word for the easiest target that it accepts, and for the exponent that
    /// suits its hashrate, if it named one; the exponent that follows.
    pub fn renegotiated(
        &mut self,
        easiest: Exponent,
        suits: Option<Exponent>,
        now: Duration,
    ) -> Exponent {
        self.terms.easiest = easiest;
        if suits.is_some() {
            self.vardiff = Vardiff::new(now);
        }
        self.limits().clamp(suits.unwrap_or(self.terms.exponent))
    }

    /// From now on jobs commit to this target.
    pub const fn set_exponent(&mut self, exponent: Exponent) {
        self.terms.exponent = exponent;
    }

    /// The hardest target that the client accepts.
    pub const fn set_hardest(&mut self, hardest: Exponent) {
        self.terms.hardest = hardest;
    }

    /// The version bits that may be rolled on the jobs that follow, where templates allow them.
    pub const fn set_version_mask(&mut self, mask: u32) {
        self.terms.version_mask = mask;
    }

    /// How long a silent miner can be left alone; `None` when its target cannot be eased.
    pub fn next_check(&self, rate: NonZeroU32, now: Duration) -> Option<Duration> {
        self.vardiff.next_check(now, rate, self.terms.exponent, self.limits())
    }

    /// The targets that it may have on its tip.
    pub fn limits(&self) -> Limits {
        let hardest = self.tip.hardest_exponent().min(self.terms.hardest);
        Limits { easiest: self.terms.easiest, hardest }
    }

    /// Whether no further proof can be remembered: its miner needs another one.
    pub fn is_exhausted(&self) -> bool {
        self.proofs.is_full()
    }

    /// Where a miner's header time starts: now, as far as the tip's window allows, and never before
    /// what it was told on the tip, whatever our clock does.
    pub fn least_ntime(&self, at: Timestamp) -> u32 {
        let least = self.tip.min_ntime();
        let now = u32::try_from(at.0 / 1_000).unwrap_or(u32::MAX).max(self.told_ntime);
        now.clamp(least, least.saturating_add(NTIME_LEAD_SECS))
    }

    /// A miner was told to start there.
    pub const fn told_ntime(&mut self, ntime: u32) {
        if ntime > self.told_ntime {
            self.told_ntime = ntime;
        }
    }

    /// Judges a share against its own job.
    ///
    /// # Errors
    ///
    /// The first reason why it does not count.
    pub fn submit(
        &mut self,
        share: &Submission<'_>,
        rules: &Rules,
        work: &Work,
        moment: Moment,
    ) -> Result<Good, Reason> {
        let job = self.jobs.find_mut(share.job_id, moment.elapsed)?;
        let facts = facts(&self.terms, job.exponent, job.version_mask);
        let fields = &share.fields;
        let judged = match job.merkle_root.as_deref() {
            Some(root) => judge_on_root(&job.template, &self.tip, &facts, *root, fields)?,
            None => judge(&job.template, &self.tip, &facts, fields)?,
        };
        match self.proofs.insert(judged.fingerprint()) {
            Novelty::New => self.vardiff.share(moment.elapsed, rules.shares_per_minute),
            Novelty::Duplicate => return Err(Reason::DuplicateShare),
        }
        let solved =
            if judged.is_block { solution(&job.template, &self.tip, &facts, fields) } else { None };
        let claim = solved.map(|solved| solved.claimed(rules.node.clone(), &job.template));
        let job = record(job, &facts, &self.terms.miner, &self.tip);
        let ShareFields { extranonce, ntime, nonce, version } = *fields;
        let taken = Taken {
            tips: work.tips,
            job,
            miner: Arc::clone(share.worker),
            channel: self.terms.number.value(),
            sequence: share.sequence,
            extranonce: Extranonce::new(extranonce).ok_or(Reason::BadExtranonceSize)?,
            ntime,
            nonce,
            version,
            at: moment.at,
        };
        Ok(Good { taken, work: judged.work, claim })
    }
}

/// What a job's judge has to know.
fn facts(terms: &Terms, exponent: Exponent, version_mask: u32) -> mining::Job<'_> {
    mining::Job {
        kind: terms.kind,
        exponent,
        extranonce_prefix: terms.prefix.as_slice(),
        extranonce_length: terms.extranonce_length,
        payee: &terms.miner.payee,
        version_mask,
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
