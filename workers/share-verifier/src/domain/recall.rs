//! What of a lane's past is still missing, and where it is found.
//!
//! First the lane's last accepted message, then its last refused one. Then, for every tip of the
//! batch at hand that the lane may have used before, its proofs: by walking back through SHARES,
//! further each time, until the lane's messages are older than the tip. If their templates were
//! forgotten, because the tip returned after long, those are read again; after so long that this
//! would be too much, the tip is closed for the lane. Sequences say where, no clock does.

use super::{
    Submission, Verifier,
    lane::{Past, Recalled, Reread, Search},
    templates::{Standing, Templates},
};
use mining::{
    Fingerprint, Identity, Job, Network, Payee, ShareFields, TipWork, WorkTemplate, judge,
};
use std::collections::BTreeSet;
use subjects::{BlockHash, Lane, Payload as _, shares, templates::New};
use worker_runtime::transform::{Replay, Start};

impl Verifier {
    /// The next stretch of the past that is needed to judge `batch`.
    pub(super) fn missing(&self, batch: &Submission) -> Option<Replay> {
        if !self.is_entitled(batch) || !self.templates_are_complete() {
            return None;
        }
        let accepted = |from| Replay {
            stream: streams::SHARES.to_owned(),
            filters: vec![format!("shares.accepted.{}.{}", batch.node, batch.lane)],
            from,
        };
        let refused = || Replay {
            stream: streams::SHARES_REFUSED.to_owned(),
            filters: vec![format!("shares.refused.{}.{}", batch.node, batch.lane)],
            from: Start::LastPerSubject,
        };
        let past = self.lanes.get(&batch.lane);
        match past.map_or(Recalled::Nothing, |past| past.recalled) {
            Recalled::Nothing => Some(accepted(Start::LastPerSubject)),
            Recalled::Accepted => Some(refused()),
            Recalled::Refused => {
                let past = past?;
                if let Some(Reread::Wanted(_, from)) = past.reread {
                    return Some(templates(from));
                }
                if let Some(search) = &past.search {
                    return Some(accepted(Start::Sequence(search.from)));
                }
                // Where the lane's last message stands now is not known before it is looked up.
                let wanted = self.wanted(past, batch).is_some();
                (wanted && !self.is_stuck(batch.lane)).then(|| accepted(Start::LastPerSubject))
            }
        }
    }

    /// A tip of the batch whose proofs are needed and not there.
    pub(super) fn wanted(&self, past: &Past, batch: &Submission) -> Option<BlockHash> {
        let stands_on = past.last?.tip?;
        let (_, lanes_turn) = self.templates.turns_of(stands_on)?;
        tips_of(&batch.batch).into_iter().find(|tip| {
            let used_before = self
                .templates
                .turns_of(*tip)
                .is_some_and(|(first, last)| first <= lanes_turn && last >= lanes_turn);
            let is_wanted = past.proofs(*tip).is_none() && !past.is_closed(*tip);
            used_before && is_wanted && self.is_open(&batch.batch, *tip)
        })
    }

    fn is_open(&self, batch: &shares::Submitted, tip: BlockHash) -> bool {
        batch.jobs.iter().any(|job| match job.source {
            shares::WorkSource::Template { template, prevhash } => {
                let standing = self.templates.standing(template, prevhash);
                prevhash == tip && matches!(standing, Standing::Open(..))
            }
            shares::WorkSource::Declared { .. } => false,
        })
    }

    /// Hears a stretch of a lane's past.
    pub(super) fn hear_past(&mut self, message: &shares::Accepted, sequence: u64) {
        let Self { lanes, templates, rules, .. } = self;
        let past = lanes.entry(message.lane).or_default();
        past.hear(message, sequence);
        let Some(search) = &mut past.search else { return };
        if !search.begun {
            search.begun = true;
            search.reached |= is_older(templates, message, search.tip);
        }
        let tip = search.tip;
        let proofs = message.jobs.iter().map(|job| Prover::of(templates, rules.network, job, tip));
        let provers: Vec<_> = proofs.collect();
        for share in &message.shares {
            let prover = usize::try_from(share.share.job).ok().and_then(|job| provers.get(job));
            match prover.map(|prover| prover.prove(&share.share)) {
                Some(Proof::Of(proof)) => drop(search.found.insert(proof)),
                Some(Proof::OfAnotherTip) => {}
                Some(Proof::Unreadable) | None => search.failed = true,
            }
        }
    }

    /// The replay that `missing` asked for is over.
    pub(super) fn recalled_for(&mut self, batch: &Submission) {
        let progress = self.progress;
        let wanted = self.lanes.get(&batch.lane).and_then(|past| self.wanted(past, batch));
        let Self { lanes, templates, stuck, .. } = self;
        let past = lanes.entry(batch.lane).or_default();
        match past.recalled {
            Recalled::Nothing => past.recalled = Recalled::Accepted,
            Recalled::Accepted => past.recalled = Recalled::Refused,
            Recalled::Refused => match (past.search.take(), past.reread) {
                (_, Some(Reread::Wanted(tip, _))) => past.reread = Some(Reread::Done(tip)),
                (None, _) => {
                    let begin = |tip| Search::begin(tip, past.last_sequence);
                    past.search = wanted.map(begin);
                }
                (Some(search), Some(Reread::Done(tip))) if search.failed && tip == search.tip => {
                    stuck.insert(batch.lane, progress);
                }
                (Some(search), _) if search.failed => match templates.said_from(search.tip) {
                    Some(from) => past.reread = Some(Reread::Wanted(search.tip, from)),
                    None => past.close(search.tip),
                },
                (Some(search), _) if search.reached => {
                    past.reread = None;
                    past.remember(search.tip, search.found);
                }
                (Some(search), _) => past.search = Some(search.further(past.last_sequence)),
            },
        }
    }

    /// Whether the lane's proofs could not be read and nothing new was heard since.
    pub(super) fn is_stuck(&self, lane: Lane) -> bool {
        self.stuck.get(&lane) == Some(&self.progress)
    }
}

fn templates(from: Start) -> Replay {
    let filters = vec![New::FILTER.to_owned()];
    Replay { stream: streams::TEMPLATES.to_owned(), filters, from }
}

/// The tips of a batch's shares, each once, in ascending order.
fn tips_of(batch: &shares::Submitted) -> BTreeSet<BlockHash> {
    let job = |share: &shares::Share| batch.jobs.get(usize::try_from(share.job).ok()?);
    let mut tips: Vec<BlockHash> =
        batch.shares.iter().filter_map(job).map(|job| job.source.prevhash()).collect();
    // Nearly always all are the same.
    tips.dedup();
    tips.into_iter().collect()
}

/// Whether a lane's message was written before `tip` had its first turn, so that no earlier one of
/// the lane can be of that tip.
fn is_older(templates: &Templates, message: &shares::Accepted, tip: BlockHash) -> bool {
    let first = message.shares.first().and_then(|share| message.job_of(share));
    let stands_on = first.and_then(|job| templates.turns_of(job.job.source.prevhash()));
    let of_tip = templates.turns_of(tip);
    match (stands_on, of_tip) {
        (Some((_, last)), Some((first, _))) => last < first,
        // So old that its tip was forgotten.
        (None, _) => true,
        (Some(_), None) => false,
    }
}

/// Computes the proofs of one job's shares again.
enum Prover<'a> {
    OfAnotherTip,
    Unreadable,
    Of { tip: TipWork, work: &'a WorkTemplate, job: &'a shares::Job, payee: Payee },
}

enum Proof {
    OfAnotherTip,
    Unreadable,
    Of(Fingerprint),
}

impl<'a> Prover<'a> {
    fn of(
        templates: &'a Templates,
        network: Network,
        job: &'a shares::AcceptedJob,
        tip: BlockHash,
    ) -> Self {
        let job = &job.job;
        let shares::WorkSource::Template { template, prevhash } = job.source else {
            return Self::Unreadable;
        };
        if prevhash != tip {
            return Self::OfAnotherTip;
        }
        let identity = Identity::from_canonical(&job.identity, network);
        match (templates.work(template, prevhash), identity) {
            (Some((tip, work)), Ok(identity)) => {
                Self::Of { tip, work, job, payee: *identity.payee() }
            }
            (None, _) | (_, Err(_)) => Self::Unreadable,
        }
    }

    fn prove(&self, share: &shares::Share) -> Proof {
        match self {
            Self::OfAnotherTip => Proof::OfAnotherTip,
            Self::Unreadable => Proof::Unreadable,
            Self::Of { tip, work, job, payee } => {
                let fields = ShareFields::from(share);
                match judge(work, tip, &Job::of(job, payee), &fields) {
                    Ok(judged) => Proof::Of(judged.fingerprint()),
                    Err(_) => Proof::Unreadable,
                }
            }
        }
    }
}
