//! One provider's templates and tips, in the order in which they must be said.
//!
//! In the stream a tip never precedes the template that it activates. To be quick with a new tip,
//! an empty template for the height after it is published ahead; the tip then needs nothing else.

use super::template::{BASE_VERSION, Frame, TemplateRefusal};
use bitcoind_rpc::{BlockTemplate, Chain, NodeState};
use std::{sync::Arc, time::Duration};
use subjects::{
    BlockHash, ProviderId, TemplateId,
    templates::{New, Tip},
};

/// What makes a new template worth a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// Fees that a new template must gain over the published one, in satoshis.
    pub fee_gain_sats: u64,
    /// Age from which the published template is replaced in any case.
    pub max_age: Duration,
}

/// A tip, as the next block's header needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipFacts {
    /// Hash of the tip.
    pub prevhash: BlockHash,
    /// Height of the block to be mined on it.
    pub height: u32,
    /// Compact target of that block.
    pub nbits: u32,
    /// Least time of its header, in seconds since 1970.
    pub min_ntime: u32,
}

impl TipFacts {
    /// The tip of a node.
    pub fn of(chain: Chain, state: &NodeState) -> Self {
        let height = state.next_height();
        Self {
            prevhash: state.best,
            height,
            nbits: state.next_nbits,
            min_ntime: chain.min_ntime(height, state.median_time, state.time),
        }
    }

    /// The tip that a template builds on.
    pub const fn under(made: &BlockTemplate) -> Self {
        Self {
            prevhash: made.prevhash,
            height: made.height,
            nbits: made.nbits,
            min_ntime: made.min_ntime,
        }
    }
}

/// Something to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A template without transactions, made ahead or for a tip that just came.
    Empty(New),
    /// A template of bitcoind.
    Full(New),
    /// A tip, and the template that it activates.
    Tip(Tip),
}

/// What became of a template that bitcoind made.
#[derive(Clone, Debug)]
pub enum Offer {
    /// It builds on another tip than the one announced.
    OtherTip,
    /// It gains too little, too soon.
    Unneeded,
    /// It must not be mined on.
    Refused(TemplateRefusal),
    /// Its transactions are to be stored; then it is to be published.
    Store(Box<Candidate>),
}

/// A template that is published as soon as its transactions are stored.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What will be said.
    pub new: New,
    /// Its content id.
    pub id: TemplateId,
    /// What bitcoind made.
    pub made: Arc<BlockTemplate>,
}

#[derive(Clone, Copy, Debug)]
struct Prepared {
    height: u32,
    id: TemplateId,
}

#[derive(Clone, Copy, Debug)]
struct Published {
    fees_sats: u64,
    since: Duration,
}

/// Says one provider's templates and tips in order.
#[derive(Debug)]
pub struct Announcer {
    frame: Frame,
    refresh: Refresh,
    numbers_used: u64,
    version: u32,
    tip: Option<TipFacts>,
    prepared: Option<Prepared>,
    published: Option<Published>,
}

impl Announcer {
    /// Begins a session in which nothing was said yet.
    pub const fn new(frame: Frame, refresh: Refresh) -> Self {
        Self {
            frame,
            refresh,
            numbers_used: 0,
            version: BASE_VERSION,
            tip: None,
            prepared: None,
            published: None,
        }
    }

    /// Forgets what was announced, so that the next tip is announced again: others follow this
    /// provider from now.
    pub const fn restart(&mut self) {
        self.tip = None;
        self.prepared = None;
        self.published = None;
    }

    /// Whose templates these are.
    pub const fn provider(&self) -> &ProviderId {
        &self.frame.provider
    }

    /// The announced tip.
    pub const fn tip(&self) -> Option<TipFacts> {
        self.tip
    }

    /// Hears where the chain stands. A new tip is said at once: with the prepared template if its
    /// height fits, else with an empty one of the right height; then the next one is prepared.
    pub fn hear_tip(&mut self, facts: TipFacts) -> Vec<Said> {
        if self.tip.is_some_and(|known| known.prevhash == facts.prevhash) {
            return Vec::new();
        }
        let mut said = Vec::with_capacity(3);
        let fitting = self.prepared.take_if(|prepared| prepared.height == facts.height);
        let template = fitting.map_or_else(
            || self.say_empty(facts.height, Some(facts.prevhash), &mut said),
            |prepared| prepared.id,
        );
        said.push(self.say_tip(facts, template));
        self.tip = Some(facts);
        self.published = None;
        self.prepare(facts.height.saturating_add(1), &mut said);
        said
    }

    /// Hears of a template that bitcoind made.
    pub fn hear_template(&mut self, now: Duration, made: &Arc<BlockTemplate>) -> Offer {
        let fits = |tip: TipFacts| tip.prevhash == made.prevhash && tip.height == made.height;
        if !self.tip.is_some_and(fits) {
            return Offer::OtherTip;
        }
        if !self.is_worth_a_message(now, made) {
            return Offer::Unneeded;
        }
        let number = self.numbers_used.saturating_add(1);
        match self.frame.full(number, made) {
            Err(refusal) => Offer::Refused(refusal),
            Ok(new) => {
                self.numbers_used = number;
                self.version = made.version.cast_unsigned();
                let id = new.id();
                Offer::Store(Box::new(Candidate { new, id, made: Arc::clone(made) }))
            }
        }
    }

    /// The transactions of a candidate are stored: says it, if its tip is still the announced one.
    ///
    /// Where the target depends on the time (test networks), bitcoind's template may say another
    /// one than the tip did; then the tip is said again, with this template.
    pub fn hear_stored(&mut self, now: Duration, candidate: Candidate) -> Vec<Said> {
        let Candidate { new, id, made } = candidate;
        let Some(tip) = self.tip.filter(|tip| tip.prevhash == made.prevhash) else {
            return Vec::new();
        };
        self.published = Some(Published { fees_sats: new.fees.to_u64(), since: now });
        let mut said = vec![Said::Full(new)];
        let facts = TipFacts::under(&made);
        if facts != tip {
            said.push(self.say_tip(facts, id));
            self.tip = Some(facts);
        }
        said
    }

    fn is_worth_a_message(&self, now: Duration, made: &BlockTemplate) -> bool {
        let Some(Published { fees_sats, since }) = self.published else { return true };
        let subsidy = self.frame.chain.subsidy(made.height).to_u64();
        let fees = made.coinbase_value.saturating_sub(subsidy);
        let gain = fees.saturating_sub(fees_sats);
        let gained = gain > 0 && gain >= self.refresh.fee_gain_sats;
        gained || now.saturating_sub(since) >= self.refresh.max_age
    }

    fn prepare(&mut self, height: u32, said: &mut Vec<Said>) {
        if self.prepared.is_none_or(|prepared| prepared.height != height) {
            let id = self.say_empty(height, None, said);
            self.prepared = Some(Prepared { height, id });
        }
    }

    fn say_empty(
        &mut self,
        height: u32,
        prevhash: Option<BlockHash>,
        said: &mut Vec<Said>,
    ) -> TemplateId {
        self.numbers_used = self.numbers_used.saturating_add(1);
        let new = self.frame.empty(self.numbers_used, height, self.version, prevhash);
        let id = new.id();
        said.push(Said::Empty(new));
        id
    }

    fn say_tip(&self, facts: TipFacts, template: TemplateId) -> Said {
        let TipFacts { prevhash, height, nbits, min_ntime } = facts;
        let (provider, session) = (self.frame.provider.clone(), self.frame.session);
        Said::Tip(Tip { provider, session, prevhash, height, nbits, min_ntime, template })
    }
}

impl Said {
    /// The publication: a chain with one writer on each subject, so that a publisher that lost its
    /// lease without noticing is told so.
    pub fn publication(&self) -> worker_runtime::outcome::Publication {
        use worker_runtime::outcome::Publication;
        match self {
            Self::Empty(new) | Self::Full(new) => Publication::chained(new),
            Self::Tip(tip) => Publication::chained(tip),
        }
    }
}

#[cfg(test)]
mod tests;
