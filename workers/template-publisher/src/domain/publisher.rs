//! All of it together: from what is known of every bitcoind to what is said next.

use super::{
    announcer::{Announcer, Candidate, Offer, Refresh, Said, TipFacts},
    selection::{Patience, Selection, Verdict, View},
    template::{Frame, TemplateRefusal},
};
use bitcoind_rpc::{BlockTemplate, Chain};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// What follows from a look at all bitcoinds.
#[derive(Debug, Default)]
pub struct Next {
    /// To be published, one after another.
    pub say: Vec<Said>,
    /// To be stored, then handed to [`Publisher::stored`].
    pub store: Option<Box<Candidate>>,
    /// A template that must not be mined on.
    pub refused: Option<TemplateRefusal>,
    /// Templates come from another bitcoind than before: its index, if there is any.
    pub switched: Option<Option<usize>>,
}

/// Decides what is said of several bitcoinds, of which one is followed.
#[derive(Debug)]
pub struct Publisher {
    chain: Chain,
    selection: Selection,
    announcers: Vec<Announcer>,
    verdicts: Vec<Verdict>,
    /// The last template that was looked at, so that none is looked at twice.
    offered: Weak<BlockTemplate>,
}

impl Publisher {
    /// Begins a session of these providers, in order of priority.
    pub fn new(
        chain: Chain,
        frames: Vec<Frame>,
        refresh: Refresh,
        patience: Patience,
        now: Duration,
    ) -> Self {
        Self {
            chain,
            selection: Selection::new(patience, frames.len(), now),
            announcers: frames.into_iter().map(|frame| Announcer::new(frame, refresh)).collect(),
            verdicts: Vec::new(),
            offered: Weak::new(),
        }
    }

    /// How each bitcoind was at the last look.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The one that is followed.
    pub const fn active(&self) -> Option<usize> {
        self.selection.active()
    }

    /// Looks at what is known of all bitcoinds now, in order of priority.
    pub fn look(&mut self, now: Duration, views: &[View]) -> Next {
        let before = self.selection.active();
        self.verdicts = self.selection.look(now, views);
        let active = self.selection.active();
        let mut next = Next::default();
        if active != before {
            next.switched = Some(active);
            self.offered = Weak::new();
            if let Some(announcer) = active.and_then(|index| self.announcers.get_mut(index)) {
                announcer.restart();
            }
        }
        let view = active.and_then(|index| views.get(index));
        let announcer = active.and_then(|index| self.announcers.get_mut(index));
        if let (Some(view), Some(announcer)) = (view, announcer) {
            follow(self.chain, now, view, announcer, &mut self.offered, &mut next);
        }
        next
    }

    /// The transactions of a candidate are stored.
    pub fn stored(&mut self, now: Duration, candidate: Candidate) -> Vec<Said> {
        let active = self.selection.active().and_then(|index| self.announcers.get_mut(index));
        let same = active.filter(|announcer| announcer.provider() == &candidate.new.provider);
        same.map_or_else(Vec::new, |announcer| announcer.hear_stored(now, candidate))
    }
}

fn follow(
    chain: Chain,
    now: Duration,
    view: &View,
    announcer: &mut Announcer,
    offered: &mut Weak<BlockTemplate>,
    next: &mut Next,
) {
    if let Some(state) = &view.state {
        next.say = announcer.hear_tip(TipFacts::of(chain, state));
    }
    let Some(made) = &view.template else { return };
    if offered.as_ptr() == Arc::as_ptr(made) {
        return;
    }
    match announcer.hear_template(now, made) {
        // The state that belongs to it, or the next template, is on its way.
        Offer::OtherTip => return,
        Offer::Unneeded => {}
        Offer::Refused(refusal) => next.refused = Some(refusal),
        Offer::Store(candidate) => next.store = Some(candidate),
    }
    *offered = Arc::downgrade(made);
}

#[cfg(test)]
mod tests;
