//! What one lane has said, as far as it matters for what it says next: rebuilt from the lane's own
//! subjects whenever a verifier meets the lane.

use mining::Fingerprint;
#[expect(
    clippy::disallowed_types,
    reason = "asked for membership only: its order is never seen"
)]
use std::collections::HashSet;
use std::collections::{BTreeMap, BTreeSet};
use subjects::{BlockHash, BootEpoch, shares};
use worker_runtime::transform::Start;

/// The past of one lane.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// What of it has been recalled.
    pub(super) recalled: Recalled,
    /// Its last accepted message.
    pub(super) last: Option<Last>,
    /// Where in SHARES the last message stands that was read back; behind `last` while this
    /// verifier writes on.
    pub(super) last_sequence: u64,
    /// Its last refused message.
    pub(super) refused: Option<Spoken>,
    /// The search for the proofs of a tip, while one goes on.
    pub(super) search: Option<Search>,
    /// Templates that the search needs and that were forgotten.
    pub(super) reread: Option<Reread>,
    /// The number of the batch that comes next in the epoch, if none is missing.
    pub(super) next: Option<(BootEpoch, u64)>,
    proofs: BTreeMap<BlockHash, Proofs>,
    closed: BTreeSet<BlockHash>,
}

/// How much of a lane's past is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recalled {
    /// Nothing.
    #[default]
    Nothing,
    /// Its last accepted message.
    Accepted,
    /// That and its last refused one.
    Refused,
}

/// Templates that are read again: those of a tip that returned after so long that the templates
/// on which the lane mined it before were forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reread {
    /// They are needed, from here on.
    Wanted(BlockHash, Start),
    /// They were read; what is missing now is not in the stream.
    Done(BlockHash),
}

/// The last accepted message of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) boot_epoch: BootEpoch,
    pub(super) batch: u64,
    pub(super) part: u32,
    pub(super) resume_at: u32,
    /// The tip of its last share.
    pub(super) tip: Option<BlockHash>,
}

/// What was already said of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) boot_epoch: BootEpoch,
    pub(super) batch: u64,
    /// Shares that were refused, by position in the batch.
    pub(super) refused: BTreeSet<u32>,
}

/// A walk back through SHARES, until the lane's messages are older than the tip.
#[derive(Debug)]
pub(super) struct Search {
    /// The tip whose proofs are wanted.
    pub(super) tip: BlockHash,
    /// Where the present stretch begins.
    pub(super) from: u64,
    /// Whether the stretch begins before the tip's first use.
    pub(super) reached: bool,
    /// Whether a proof could not be read, because its template has not been heard of.
    pub(super) failed: bool,
    /// Whether the stretch's first message has come.
    pub(super) begun: bool,
    pub(super) found: Proofs,
}

/// How many messages of SHARES the first stretch of a search covers, those of other lanes
/// included. Each further stretch is eight times as long, so a few reach back to the beginning.
const FIRST_STRETCH: u64 = 16_384;

impl Search {
    pub(super) fn begin(tip: BlockHash, last_sequence: u64) -> Self {
        Self::stretch(tip, last_sequence.saturating_sub(FIRST_STRETCH).max(1))
    }

    /// The same search over a longer stretch that ends at `last_sequence`.
    pub(super) fn further(&self, last_sequence: u64) -> Self {
        let covered = last_sequence.saturating_sub(self.from).saturating_mul(8);
        Self::stretch(self.tip, last_sequence.saturating_sub(covered).max(1))
    }

    fn stretch(tip: BlockHash, from: u64) -> Self {
        let found = Proofs::default();
        Self { tip, from, reached: from == 1, failed: false, begun: false, found }
    }
}

/// Proofs that were credited on one tip.
#[derive(Debug, Default)]
#[expect(clippy::disallowed_types, reason = "asked for membership only: its order is never seen")]
pub(super) struct Proofs(HashSet<Fingerprint>);

impl Proofs {
    /// Remembers a proof; `false` if it was known.
    pub(super) fn insert(&mut self, proof: Fingerprint) -> bool {
        self.0.insert(proof)
    }

    pub(super) fn contains(&self, proof: Fingerprint) -> bool {
        self.0.contains(&proof)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Past {
    /// The proofs of a tip, if they were recalled or the tip is new to the lane.
    pub(super) fn proofs(&self, tip: BlockHash) -> Option<&Proofs> {
        self.proofs.get(&tip)
    }

    /// The proofs of a tip, to add to.
    pub(super) fn proofs_mut(&mut self, tip: BlockHash) -> &mut Proofs {
        self.proofs.entry(tip).or_default()
    }

    /// Everything that was credited on `tip` is now known.
    pub(super) fn remember(&mut self, tip: BlockHash, proofs: Proofs) {
        self.proofs.insert(tip, proofs);
    }

    /// What was credited on `tip` will never be known: nothing more may be.
    pub(super) fn close(&mut self, tip: BlockHash) {
        self.closed.insert(tip);
    }

    /// Whether nothing more may be credited on a tip.
    pub(super) fn is_closed(&self, tip: BlockHash) -> bool {
        self.closed.contains(&tip)
    }

    /// Keeps the proofs of the tip that the lane stands on; all others can be recalled again.
    pub(super) fn forget_other_tips(&mut self) {
        let tip = self.last.and_then(|last| last.tip);
        self.proofs.retain(|known, _| Some(*known) == tip);
    }

    /// Lets go of the proofs of tips on which nothing counts any more.
    pub(super) fn forget_tips(&mut self, is_over: impl Fn(BlockHash) -> bool) {
        self.proofs.retain(|tip, _| !is_over(*tip));
        self.closed.retain(|tip| !is_over(*tip));
    }

    /// Hears the lane's message at `sequence` of SHARES.
    ///
    /// A message that this verifier did not write itself means that somebody else wrote on the
    /// lane: then nothing that was remembered is complete.
    pub(super) fn hear(&mut self, message: &shares::Accepted, sequence: u64) {
        if sequence <= self.last_sequence {
            return;
        }
        self.last_sequence = sequence;
        let last = Last::of(message);
        if self.last.is_some_and(|own| own.number() == last.number()) {
            return;
        }
        self.proofs.clear();
        self.next = Some((last.boot_epoch, last.batch.saturating_add(1)));
        self.last = Some(last);
    }

    /// Hears the lane's last refused message.
    pub(super) fn hear_refused(&mut self, message: &shares::Refused) {
        let refused = message.refusals.iter().map(|refusal| refusal.index).collect();
        let (boot_epoch, batch) = (message.boot_epoch, message.batch);
        self.refused = Some(Spoken { boot_epoch, batch, refused });
        let after = (boot_epoch, batch.saturating_add(1));
        self.next = match self.next {
            Some(next) if next.0 != after.0 => Some(next),
            next => next.max(Some(after)),
        };
    }

    /// How many batches of its boot epoch should have come before this one and did not.
    pub(super) fn missing_before(&self, batch: &shares::Submitted) -> u64 {
        let expected = match self.next {
            Some((epoch, _)) if epoch > batch.boot_epoch => return 0,
            Some((epoch, next)) if epoch == batch.boot_epoch => next,
            Some(_) | None => 0,
        };
        batch.batch.saturating_sub(expected)
    }

    /// Steps to after the batch; returns how many were missing before it.
    pub(super) fn follow(&mut self, batch: &shares::Submitted) -> u64 {
        let missing = self.missing_before(batch);
        let after = (batch.boot_epoch, batch.batch.saturating_add(1));
        self.next = self.next.max(Some(after));
        missing
    }

    /// Remembers what this verifier says of a batch.
    pub(super) fn hear_own(
        &mut self,
        batch: &shares::Submitted,
        refusals: &[shares::Refusal],
        last_part: Option<&shares::Accepted>,
    ) {
        let (boot_epoch, number) = (batch.boot_epoch, batch.batch);
        if !refusals.is_empty() {
            let mut refused = self.refused_before(boot_epoch, number);
            refused.extend(refusals.iter().map(|refusal| refusal.index));
            self.refused = Some(Spoken { boot_epoch, batch: number, refused });
        }
        self.last = last_part.map(Last::of).or(self.last);
        self.forget_other_tips();
    }

    /// Which shares of a batch were refused before.
    pub(super) fn refused_before(&self, boot_epoch: BootEpoch, batch: u64) -> BTreeSet<u32> {
        let spoken = self.refused.as_ref();
        spoken
            .filter(|spoken| (spoken.boot_epoch, spoken.batch) == (boot_epoch, batch))
            .map(|spoken| spoken.refused.clone())
            .unwrap_or_default()
    }
}

impl Last {
    pub(super) fn of(message: &shares::Accepted) -> Self {
        let job = message.shares.last().and_then(|share| message.job_of(share));
        Self {
            boot_epoch: message.boot_epoch,
            batch: message.batch,
            part: message.part,
            resume_at: message.resume_at,
            tip: job.map(|job| job.job.source.prevhash()),
        }
    }

    const fn number(&self) -> (BootEpoch, u64, u32) {
        (self.boot_epoch, self.batch, self.part)
    }
}
