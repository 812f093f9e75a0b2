//! What the verifier says of a batch, once every share of it was judged.

use super::verdict::{JobStanding, OpenJob};
use mining::Judged;
use std::collections::BTreeMap;
use subjects::{
    blocks,
    shares::{self, Accepted, AcceptedJob, AcceptedShare, Reason, Refusal, Refused, Share},
};

/// Jobs of a batch by position, as far as its shares refer to them.
pub(super) type Jobs = BTreeMap<u32, JobStanding>;

/// What was wrong with the share at `index` of a batch.
pub(super) fn refusal(
    batch: &shares::Submitted,
    index: u32,
    share: &Share,
    reason: Reason,
) -> Refusal {
    let identity = at(&batch.jobs, share.job).map(|job| job.identity.clone());
    Refusal {
        index,
        channel: share.channel,
        sequence: share.sequence,
        identity: identity.unwrap_or_default(),
        worker: at(&batch.workers, share.worker).cloned().unwrap_or_default(),
        reason,
    }
}

/// Says what was refused, on the subject that the batch came on.
pub(super) fn refused(batch: &super::Submission, refusals: Vec<Refusal>) -> Option<Refused> {
    (!refusals.is_empty()).then(|| Refused {
        node: batch.node.clone(),
        lane: batch.lane,
        boot_epoch: batch.batch.boot_epoch,
        batch: batch.batch.batch,
        opened_at: batch.batch.opened_at,
        refusals,
    })
}

/// The blocks that accepted shares solve.
pub(super) fn solved(
    batch: &shares::Submitted,
    jobs: &Jobs,
    accepted: &[(u32, Judged)],
) -> Vec<blocks::Solved> {
    let solving = accepted.iter().filter(|(_, judged)| judged.is_block);
    let solved = solving.filter_map(|(index, _)| {
        let share = at(&batch.shares, *index)?;
        let (job, open) = (at(&batch.jobs, share.job)?, open(jobs, share.job)?);
        Some(open.solution(job, share)?.solved(&open.work))
    });
    solved.collect()
}

/// The accepted shares as messages, counted from `first_part`. Each ends at a share that solves a
/// block, and says how far into the batch it reaches; the last one reaches to the end.
pub(super) fn parts(
    batch: &shares::Submitted,
    jobs: &Jobs,
    accepted: &[(u32, Judged)],
    first_part: u32,
) -> Vec<Accepted> {
    let runs = accepted.split_inclusive(|(_, judged)| judged.is_block);
    let mut parts: Vec<Accepted> =
        (first_part..).zip(runs).map(|(number, run)| part(batch, jobs, run, number)).collect();
    if let Some(last) = parts.last_mut() {
        last.resume_at = u32::try_from(batch.shares.len()).unwrap_or(u32::MAX);
    }
    parts
}

fn part(batch: &shares::Submitted, jobs: &Jobs, run: &[(u32, Judged)], number: u32) -> Accepted {
    let mut part = Accepted {
        node: batch.node.clone(),
        lane: batch.lane,
        boot_epoch: batch.boot_epoch,
        batch: batch.batch,
        part: number,
        resume_at: run.last().map_or(0, |(index, _)| index.saturating_add(1)),
        opened_at: batch.opened_at,
        workers: Vec::new(),
        jobs: Vec::new(),
        shares: Vec::new(),
    };
    let (mut known_jobs, mut known_workers) = (BTreeMap::new(), BTreeMap::new());
    for (index, judged) in run {
        let Some(share) = at(&batch.shares, *index) else { continue };
        let job = moved(&mut known_jobs, share.job, &mut part.jobs, || {
            let (job, open) = (at(&batch.jobs, share.job)?, open(jobs, share.job)?);
            let (nbits, height) = (open.tip.nbits(), open.tip.height());
            Some(AcceptedJob {
                job: job.clone(),
                miner: open.credited.miner.clone(),
                nbits,
                height,
            })
        });
        let worker = moved(&mut known_workers, share.worker, &mut part.workers, || {
            at(&batch.workers, share.worker).cloned()
        });
        let (Some(job), Some(worker)) = (job, worker) else { continue };
        part.shares.push(AcceptedShare {
            share: Share { job, worker, ..*share },
            work: judged.work,
            hash_top: judged.hash_top,
            block: judged.is_block.then_some(judged.hash),
        });
    }
    part
}

/// The position in a part's list of what stands at `position` of the batch's list; put there when
/// it is met first.
fn moved<T>(
    known: &mut BTreeMap<u32, u32>,
    position: u32,
    list: &mut Vec<T>,
    item: impl FnOnce() -> Option<T>,
) -> Option<u32> {
    if let Some(moved) = known.get(&position) {
        return Some(*moved);
    }
    let moved = u32::try_from(list.len()).ok()?;
    list.push(item()?);
    known.insert(position, moved);
    Some(moved)
}

fn open(jobs: &Jobs, position: u32) -> Option<&OpenJob> {
    match jobs.get(&position)? {
        JobStanding::Open(open) => Some(open),
        JobStanding::Closed(_) => None,
    }
}

pub(super) fn at<T>(list: &[T], position: u32) -> Option<&T> {
    list.get(usize::try_from(position).ok()?)
}
