//! Whether one share of a batch counts.

use super::{Submission, Verifier, answer::at, identities::Credited, templates::Standing};
use mining::{Job, Judged, Prefix, ShareFields, Solution, TipWork, WorkTemplate, judge, solution};
use std::sync::Arc;
use subjects::{
    BlockHash,
    shares::{self, Reason, WorkSource},
};

/// What is known of a job before any share of it is looked at.
#[derive(Clone, Debug)]
pub(super) enum JobStanding {
    /// Its shares may count.
    Open(Box<OpenJob>),
    /// None of its shares count.
    Closed(Reason),
}

/// A job whose shares may count.
#[derive(Clone, Debug)]
pub(super) struct OpenJob {
    pub(super) tip: TipWork,
    pub(super) work: Arc<WorkTemplate>,
    pub(super) credited: Arc<Credited>,
}

/// The stream of templates holds something that was not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unheard;

impl Verifier {
    /// Judges a job. `complete` says that everything was heard that the job could refer to.
    pub(super) fn job_standing(
        &self,
        job: &shares::Job,
        complete: bool,
    ) -> Result<JobStanding, Unheard> {
        let WorkSource::Template { template, prevhash } = job.source else {
            return Ok(JobStanding::Closed(Reason::DeclaredJobsOff));
        };
        let Some(credited) = self.identities.get(&job.identity) else {
            return Ok(JobStanding::Closed(Reason::InvalidIdentity));
        };
        if job.exponent < self.rules.min_exponent {
            return Ok(JobStanding::Closed(Reason::DifficultyTooLow));
        }
        match self.templates.standing(template, prevhash) {
            Standing::Open(tip, work) => Ok(JobStanding::Open(Box::new(OpenJob {
                tip,
                work,
                credited: Arc::clone(credited),
            }))),
            Standing::Closed(reason) => Ok(JobStanding::Closed(reason)),
            Standing::Unheard(reason) if complete => Ok(JobStanding::Closed(reason)),
            Standing::Unheard(_) => Err(Unheard),
        }
    }

    /// Whether the share of an open job proves its work on a lane that has reached `turn`, apart
    /// from whether it was credited before.
    pub(super) fn prove(
        &self,
        batch: &Submission,
        share: &shares::Share,
        open: &OpenJob,
        turn: u64,
    ) -> Result<Judged, Reason> {
        if self.turn_of(open.tip.prevhash()) < turn {
            return Err(Reason::TipClosed);
        }
        let Submission { lane, batch, .. } = batch;
        let job = at(&batch.jobs, share.job).ok_or(Reason::InvalidJobId)?;
        Prefix::new(*lane, batch.boot_epoch, share.channel)
            .ok_or(Reason::WrongPrefix)?
            .check(job.kind, job.extranonce_prefix.as_slice(), job.extranonce_length)
            .map_err(|_| Reason::WrongPrefix)?;
        judge(&open.work, &open.tip, &Job::of(job, &open.credited.payee), &ShareFields::from(share))
    }

    /// When a tip was last the newest; 0 for one that was forgotten.
    pub(super) fn turn_of(&self, tip: BlockHash) -> u64 {
        self.templates.turns_of(tip).map_or(0, |(_, last)| last)
    }
}

impl OpenJob {
    /// The block that a share of this job solves.
    pub(super) fn solution(&self, job: &shares::Job, share: &shares::Share) -> Option<Solution> {
        let job = Job::of(job, &self.credited.payee);
        solution(&self.work, &self.tip, &job, &ShareFields::from(share))
    }
}
