//! Decides which shares of a batch count.
//!
//! Everything that decides is inside the hashed coinbase, which is rebuilt here from the template
//! that Core published: the share's price (target exponent), its owner (output 1) and its lane,
//! boot epoch and channel (extranonce prefix). A message's own claims decide nothing.

mod input;

mod owners;

mod identities;

mod templates;

mod lane;

mod recall;

mod hearing;

mod verdict;

mod answer;

mod tally;

pub use input::{Announced, Input, Submission};
pub use tally::{Tally, Wait};

use answer::{Jobs, at, parts, refusal, refused, solved};
use identities::Identities;
use lane::Past;
use mining::{Judged, Network};
use owners::{Owners, Ownership};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};
use subjects::{
    BlockHash, Exponent, Lane,
    shares::{Reason, Refusal, Submitted},
};
use templates::Templates;
use verdict::{JobStanding, Unheard};
use worker_runtime::{
    outcome::{Outcome, Publication},
    transform::Position,
};

/// The stream behind the bucket of lane owners.
pub const OWNERS: &str = "KV_LANE_OWNERS";

/// How long a batch waits before it is looked at again. Meanwhile the other streams go on. Short,
/// because a stranger can make its whole partition wait by naming templates that do not exist.
const PATIENCE: Duration = Duration::from_millis(2);

/// What is decided by the network rather than by the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whose addresses are credited.
    pub network: Network,
    /// A share is too late when its tip is more than this many tips behind.
    pub late_tips: u64,
    /// The easiest target that counts.
    pub min_exponent: Exponent,
    /// Most shares of one lane that count on one tip; a lane with more mines too easily.
    pub max_proofs: usize,
}

/// Judges the shares of many lanes. What it knows it has read from the streams.
#[derive(Debug)]
pub struct Verifier {
    rules: Rules,
    identities: Identities,
    owners: Owners,
    templates: Templates,
    lanes: BTreeMap<Lane, Past>,
    /// Catch-ups with the stream of templates so far.
    progress: u64,
    /// Catch-ups with the bucket of lane owners so far.
    registrations: u64,
    /// Lanes whose proofs could not be read, and the progress at that time.
    stuck: BTreeMap<Lane, u64>,
    /// The batch that waits, and both counts when it was first looked at.
    waiting: Option<(Position, u64, u64)>,
}

/// Where a batch stands among those of its lane.
enum Place {
    /// Dealt with before.
    Repeated,
    /// Of a boot epoch that is over.
    Outdated,
    /// To be judged from this share on, as this part.
    Next { from: usize, part: u32 },
}

impl Verifier {
    /// A verifier that has heard nothing yet.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            identities: Identities::new(rules.network),
            owners: Owners::default(),
            templates: Templates::new(rules.late_tips),
            lanes: BTreeMap::new(),
            progress: 0,
            registrations: 0,
            stuck: BTreeMap::new(),
            waiting: None,
        }
    }

    /// How many batches of its boot epoch should have come before this one and did not.
    pub fn missing_before(&self, batch: &Submission) -> u64 {
        match self.lanes.get(&batch.lane) {
            Some(past) if self.is_entitled(batch) => past.missing_before(&batch.batch),
            Some(_) | None => 0,
        }
    }

    /// Decides a batch, and counts what it decided.
    pub fn decide(&mut self, batch: &Submission, at: &Position) -> (Outcome, Tally) {
        let (templates_complete, owners_complete) = self.waited(at);
        if !batch.is_of_its_subject() {
            return refuse_all(batch, &BTreeSet::new(), Reason::WrongLane);
        }
        match self.owners.ownership(&batch.node, batch.lane) {
            Ownership::Own => {}
            Ownership::Unregistered if !owners_complete => return wait(Wait::Owner),
            Ownership::Foreign | Ownership::Unregistered => {
                return refuse_all(batch, &BTreeSet::new(), Reason::LaneNotOwned);
            }
        }
        if !self.templates_are_complete() {
            return wait(Wait::Templates);
        }
        self.identities.learn(batch.batch.jobs.iter().map(|job| job.identity.as_str()));
        let mut past = self.lanes.remove(&batch.lane).unwrap_or_default();
        let decided = self.decide_on_lane(&mut past, batch, templates_complete);
        self.lanes.insert(batch.lane, past);
        decided
    }

    fn decide_on_lane(
        &self,
        past: &mut Past,
        batch: &Submission,
        complete: bool,
    ) -> (Outcome, Tally) {
        if self.is_unread(past, batch, complete) {
            return wait(Wait::Past);
        }
        let Submitted { boot_epoch, batch: number, .. } = batch.batch;
        let spoken = past.refused_before(boot_epoch, number);
        let (from, part) = match place(past, &batch.batch) {
            Place::Repeated => return (Outcome::settle(), Tally::repeated()),
            Place::Outdated => return refuse_all(batch, &spoken, Reason::OldEpoch),
            Place::Next { from, part } => (from, part),
        };
        let Ok(jobs) = self.jobs(&batch.batch, from, complete) else {
            return wait(Wait::Templates);
        };
        let judgement = self.judge(past, batch, &jobs, from, &spoken);
        answer(past, batch, &jobs, judgement, part)
    }

    /// Whether something of the lane's past has still to be read.
    fn is_unread(&self, past: &Past, batch: &Submission, complete: bool) -> bool {
        let stands_on = past.last.and_then(|last| last.tip);
        let is_lost = stands_on.is_some_and(|tip| self.templates.turns_of(tip).is_none());
        past.recalled < lane::Recalled::Refused
            || (is_lost && !complete)
            || self.wanted(past, batch).is_some()
    }

    /// Judges the jobs that the batch's shares refer to.
    fn jobs(&self, batch: &Submitted, from: usize, complete: bool) -> Result<Jobs, Unheard> {
        let mut jobs = Jobs::new();
        for share in batch.shares.iter().skip(from) {
            let Some(job) = at(&batch.jobs, share.job) else { continue };
            if let Entry::Vacant(vacant) = jobs.entry(share.job) {
                vacant.insert(self.job_standing(job, complete)?);
            }
        }
        Ok(jobs)
    }

    /// Judges the batch's shares from `from` on, except those that were refused before.
    fn judge(
        &self,
        past: &mut Past,
        batch: &Submission,
        jobs: &Jobs,
        from: usize,
        spoken: &BTreeSet<u32>,
    ) -> Judgement {
        let mut judgement = Judgement::default();
        let mut turn = past.last.and_then(|last| last.tip).map_or(0, |tip| self.turn_of(tip));
        let shares = (0_u32..).zip(&batch.batch.shares).skip(from);
        for (index, share) in shares.filter(|(index, _)| !spoken.contains(index)) {
            let verdict = match jobs.get(&share.job) {
                Some(JobStanding::Open(open)) if past.is_closed(open.tip.prevhash()) => {
                    Err(Reason::TipClosed)
                }
                Some(JobStanding::Open(open)) => {
                    let tip = open.tip.prevhash();
                    let proven = self.prove(batch, share, open, turn);
                    let credited = proven.and_then(|judged| self.credit(past, tip, judged));
                    turn = if credited.is_ok() { self.turn_of(tip) } else { turn };
                    credited
                }
                Some(JobStanding::Closed(reason)) => Err(*reason),
                None => Err(Reason::InvalidJobId),
            };
            match verdict {
                Ok(judged) => judgement.accepted.push((index, judged)),
                Err(reason) => {
                    judgement.refused.push(refusal(&batch.batch, index, share, reason));
                }
            }
        }
        judgement
    }

    /// Credits a proof, once.
    fn credit(&self, past: &mut Past, tip: BlockHash, judged: Judged) -> Result<Judged, Reason> {
        let proofs = past.proofs_mut(tip);
        if proofs.len() >= self.rules.max_proofs && !proofs.contains(judged.fingerprint()) {
            return Err(Reason::DifficultyTooLow);
        }
        if proofs.insert(judged.fingerprint()) { Ok(judged) } else { Err(Reason::DuplicateShare) }
    }

    /// Whether all that a batch could refer to has been heard: of templates and of lane owners.
    ///
    /// A batch was made after the facts that it refers to, so two catch-ups with a stream since
    /// the batch was first looked at, of which the second one began after that, have heard them.
    fn waited(&mut self, at: &Position) -> (bool, bool) {
        let now = (self.progress, self.registrations);
        let (progress, registrations) = match &self.waiting {
            Some((waits, progress, registrations)) if waits == at => (*progress, *registrations),
            Some(_) | None => {
                self.waiting = Some((at.clone(), now.0, now.1));
                now
            }
        };
        (now.0 >= progress + 2, now.1 >= registrations + 2)
    }

    fn templates_are_complete(&self) -> bool {
        self.progress > 0
    }

    /// Whether the batch came on a lane of its node.
    fn is_entitled(&self, batch: &Submission) -> bool {
        batch.is_of_its_subject()
            && self.owners.ownership(&batch.node, batch.lane) == Ownership::Own
    }
}

/// What became of a batch's shares.
#[derive(Debug, Default)]
struct Judgement {
    accepted: Vec<(u32, Judged)>,
    refused: Vec<Refusal>,
}

fn wait(wait: Wait) -> (Outcome, Tally) {
    (Outcome::retry(PATIENCE), Tally::waiting(wait))
}

/// Nothing of the batch counts, for one reason; what was said before is not said again.
fn refuse_all(batch: &Submission, spoken: &BTreeSet<u32>, reason: Reason) -> (Outcome, Tally) {
    let shares = (0_u32..).zip(&batch.batch.shares);
    let refusals: Vec<Refusal> = shares
        .filter(|(index, _)| !spoken.contains(index))
        .map(|(index, share)| refusal(&batch.batch, index, share, reason))
        .collect();
    let tally = Tally::of(0, &refusals, 0);
    let refused = refused(batch, refusals);
    (Outcome::facts(refused.iter().map(Publication::any).collect()), tally)
}

/// Where a batch stands after the lane's last accepted message.
fn place(past: &Past, batch: &Submitted) -> Place {
    let first = Place::Next { from: 0, part: 0 };
    let Some(last) = past.last else { return first };
    match (batch.boot_epoch, batch.batch).cmp(&(last.boot_epoch, last.batch)) {
        _ if batch.boot_epoch < last.boot_epoch => Place::Outdated,
        Ordering::Less => Place::Repeated,
        Ordering::Greater => first,
        Ordering::Equal => {
            let from = usize::try_from(last.resume_at).unwrap_or(usize::MAX);
            if from >= batch.shares.len() {
                return Place::Repeated;
            }
            Place::Next { from, part: last.part.saturating_add(1) }
        }
    }
}

/// Says what was decided, and remembers it. Blocks come first, because they are urgent; refusals
/// before accepted shares, because an accepted message says that its batch is dealt with.
fn answer(
    past: &mut Past,
    batch: &Submission,
    jobs: &Jobs,
    judgement: Judgement,
    first_part: u32,
) -> (Outcome, Tally) {
    let Judgement { accepted, refused: refusals } = judgement;
    let blocks = solved(&batch.batch, jobs, &accepted);
    let parts = parts(&batch.batch, jobs, &accepted, first_part);
    let mut tally = Tally::of(accepted.len(), &refusals, blocks.len());
    tally.missing_before = past.follow(&batch.batch);
    past.hear_own(&batch.batch, &refusals, parts.last());
    let refused = refused(batch, refusals);
    let publish = blocks
        .iter()
        .map(Publication::once)
        .chain(refused.iter().map(Publication::any))
        .chain(parts.iter().map(Publication::chained));
    (Outcome::facts(publish.collect()), tally)
}
