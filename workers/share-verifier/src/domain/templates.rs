//! What work Core has published, and in which order the tips came. Order is a count of tips in the
//! stream; no clock has a say.

use super::Announced;
use mining::{TipWork, WorkTemplate};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use subjects::{BlockHash, ProviderId, TemplateId, shares::Reason};
use worker_runtime::transform::Start;

/// Where tips are said.
pub(super) const TIPS: &str = "templates.tip.*";

/// Tips after which a template may still become active, or is still spoken of: a publisher
/// prepares for the next height only, so a few would do.
const MARGIN_TIPS: u64 = 16;
/// Tips that are remembered, about two months of mainnet: older ones are as good as never heard of.
const KEPT_TIPS: usize = 10_000;
/// Templates that are remembered: a tip of two hours with a template every second has 7 200.
const KEPT_TEMPLATES: usize = 65_536;

/// Messages before the newest tip that are read again at most, for a tip that returns after long:
/// half of what is remembered, so that they push out none that miners work on. With two templates a
/// minute that is eleven days.
const READ_AGAIN: u64 = 32_768;

/// The published templates and tips.
#[derive(Debug)]
pub(super) struct Templates {
    late_tips: u64,
    tips: BTreeMap<BlockHash, Tip>,
    turns: VecDeque<Turn>,
    newest: u64,
    last_tip_sequence: u64,
    positions: BTreeMap<ProviderId, BlockHash>,
    works: BTreeMap<TemplateId, Arc<WorkTemplate>>,
    arrivals: VecDeque<(u64, TemplateId)>,
}

/// A tip, and when it was the newest: turns are counted from 1.
#[derive(Debug)]
struct Tip {
    work: TipWork,
    first_turn: u64,
    last_turn: u64,
    activates: BTreeSet<TemplateId>,
    announced_by: BTreeSet<ProviderId>,
}

/// The newest tip changed.
#[derive(Debug)]
struct Turn {
    prevhash: BlockHash,
    sequence: u64,
}

/// What is known of a job's work.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Core published it, and it may still be mined on.
    Open(TipWork, Arc<WorkTemplate>),
    /// It does not count.
    Closed(Reason),
    /// It does not count, unless the stream holds something that was not read yet.
    Unheard(Reason),
}

impl Templates {
    pub(super) fn new(late_tips: u64) -> Self {
        Self {
            late_tips,
            tips: BTreeMap::new(),
            turns: VecDeque::new(),
            newest: 0,
            last_tip_sequence: 0,
            positions: BTreeMap::new(),
            works: BTreeMap::new(),
            arrivals: VecDeque::new(),
        }
    }

    /// Hears a template; hearing it again changes nothing.
    pub(super) fn hear(&mut self, work: &Arc<WorkTemplate>) {
        if self.works.insert(work.id(), Arc::clone(work)).is_none() {
            self.arrivals.push_back((self.newest, work.id()));
        }
        self.forget_templates();
    }

    /// Hears the tip at `sequence` of the stream; hearing it again changes nothing.
    ///
    /// A tip takes its turn when somebody announces it first, and again when a provider returns to
    /// it: then a reorganisation was undone. A provider that is merely slow gives no turn to what
    /// others have left behind.
    pub(super) fn hear_tip(&mut self, announced: &Announced, sequence: u64) {
        if sequence <= self.last_tip_sequence {
            return;
        }
        self.last_tip_sequence = sequence;
        let Announced { provider, tip, template } = announced;
        let prevhash = tip.prevhash();
        let stood = self.positions.insert(provider.clone(), prevhash);
        let is_newest = self.turns.back().is_some_and(|turn| turn.prevhash == prevhash);
        let returns = self.tips.get(&prevhash).is_none_or(|known| {
            known.announced_by.contains(provider) && stood.is_some_and(|stood| stood != prevhash)
        });
        if returns && !is_newest {
            self.turn(*tip, sequence);
        }
        if let Some(known) = self.tips.get_mut(&prevhash) {
            known.activates.insert(*template);
            known.announced_by.insert(provider.clone());
        }
    }

    fn turn(&mut self, work: TipWork, sequence: u64) {
        self.newest += 1;
        let (turn, prevhash) = (self.newest, work.prevhash());
        self.turns.push_back(Turn { prevhash, sequence });
        let new = || Tip {
            work,
            first_turn: turn,
            last_turn: turn,
            activates: BTreeSet::new(),
            announced_by: BTreeSet::new(),
        };
        self.tips.entry(prevhash).or_insert_with(new).last_turn = turn;
        self.forget_tips();
        self.forget_templates();
    }

    fn forget_tips(&mut self) {
        while self.turns.len() > KEPT_TIPS {
            let Some(oldest) = self.turns.pop_front() else { return };
            let kept = u64::try_from(self.turns.len()).unwrap_or(u64::MAX);
            let turn = self.newest.saturating_sub(kept);
            if self.tips.get(&oldest.prevhash).is_some_and(|tip| tip.last_turn <= turn) {
                self.tips.remove(&oldest.prevhash);
            }
        }
    }

    fn forget_templates(&mut self) {
        let oldest = self.newest.saturating_sub(self.late_tips + MARGIN_TIPS);
        while let Some((turn, id)) = self.arrivals.front().copied() {
            if turn >= oldest && self.arrivals.len() <= KEPT_TEMPLATES {
                return;
            }
            self.arrivals.pop_front();
            self.works.remove(&id);
        }
    }

    /// Where the stream has to be read from to know every template that may still count, given
    /// that every tip was heard; `None` means from its beginning.
    pub(super) fn needed_from(&self) -> Option<u64> {
        let back = usize::try_from(self.late_tips + MARGIN_TIPS).ok()?;
        let oldest = self.turns.len().checked_sub(back + 1)?;
        self.turns.get(oldest).map(|turn| turn.sequence)
    }

    /// Where the stream has to be read from to know every template on which a tip was ever mined;
    /// `None` when that is longer ago than is read again.
    pub(super) fn said_from(&self, prevhash: BlockHash) -> Option<Start> {
        let (first, _) = self.turns_of(prevhash)?;
        let kept = u64::try_from(self.turns.len()).ok()?;
        let forgotten = self.newest.checked_sub(kept)?;
        let turn = first.saturating_sub(MARGIN_TIPS);
        let is_beginning = turn == 0 && forgotten == 0;
        let place = if is_beginning { 0 } else { turn.checked_sub(forgotten + 1)? };
        let begin = self.turns.get(usize::try_from(place).ok()?)?.sequence;
        let is_near = self.last_tip_sequence.saturating_sub(begin) <= READ_AGAIN;
        is_near.then_some(if is_beginning { Start::First } else { Start::Sequence(begin) })
    }

    /// Whether shares on a known tip come too late.
    pub(super) fn is_late(&self, prevhash: BlockHash) -> bool {
        let tip = self.tips.get(&prevhash);
        tip.is_some_and(|tip| self.newest.saturating_sub(tip.last_turn) > self.late_tips)
    }

    /// What is known of work on `template` for `prevhash`.
    pub(super) fn standing(&self, template: TemplateId, prevhash: BlockHash) -> Standing {
        if self.is_late(prevhash) {
            return Standing::Closed(Reason::TooLate);
        }
        let Some(work) = self.works.get(&template) else {
            return Standing::Unheard(Reason::UnknownTemplate);
        };
        let Some(tip) = self.tips.get(&prevhash) else {
            return Standing::Unheard(Reason::WrongPrevhash);
        };
        match work.prevhash() {
            Some(own) if own != prevhash => Standing::Closed(Reason::WrongPrevhash),
            None if !tip.activates.contains(&template) => Standing::Unheard(Reason::WrongPrevhash),
            Some(_) | None => Standing::Open(tip.work, Arc::clone(work)),
        }
    }

    /// The work that a credited share was done on, however late it is by now.
    pub(super) fn work(
        &self,
        template: TemplateId,
        prevhash: BlockHash,
    ) -> Option<(TipWork, &WorkTemplate)> {
        Some((self.tips.get(&prevhash)?.work, self.works.get(&template)?.as_ref()))
    }

    /// The first and the last turn of a tip.
    pub(super) fn turns_of(&self, prevhash: BlockHash) -> Option<(u64, u64)> {
        self.tips.get(&prevhash).map(|tip| (tip.first_turn, tip.last_turn))
    }
}
