//! Which template and tip are current, of all that the providers publish.

use crate::domain::turns::Turns;
use mining::{InvalidNbits, TemplateError, TipError, TipWork, WorkTemplate};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use subjects::{
    BlockHash, ProviderId, TemplateId,
    templates::{New, Tip},
};

/// Templates of either kind of which a provider's next tip may name one: the newest, and some that
/// it overtook on the way.
const MAX_TEMPLATES: usize = 4;

/// What miners work on.
#[derive(Clone, Debug)]
pub struct Work {
    /// The tip.
    pub tip: Arc<TipWork>,
    /// The template on it.
    pub template: Arc<WorkTemplate>,
    /// The template for the block after, if one is prepared.
    pub prepared: Option<Arc<WorkTemplate>>,
    /// How many times the tip has changed.
    pub tips: u64,
}

/// A template or a tip that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFollowed {
    /// The provider is not in the configured list.
    #[error("provider `{0}` is not in the list of providers")]
    UnknownProvider(ProviderId),
    /// Nobody may mine on the template.
    #[error("template {id} cannot be mined on")]
    Template {
        /// The template.
        id: TemplateId,
        /// Why not.
        #[source]
        source: TemplateError,
    },
    /// The tip's compact target is none.
    #[error("tip {prevhash} cannot be mined on")]
    Nbits {
        /// The tip.
        prevhash: BlockHash,
        /// Why not.
        #[source]
        source: InvalidNbits,
    },
    /// The tip names a template that was never heard of. It is kept: a template that builds on it
    /// may still come.
    #[error("tip {prevhash} names template {template}, which is not known")]
    UnknownTemplate {
        /// The tip.
        prevhash: BlockHash,
        /// The template.
        template: TemplateId,
    },
    /// The tip names a template that does not fit it.
    #[error("tip {prevhash} names template {template}, which does not fit it")]
    Unfit {
        /// The tip.
        prevhash: BlockHash,
        /// The template.
        template: TemplateId,
        /// Why not.
        #[source]
        source: TipError,
    },
}

#[derive(Debug)]
struct Provider {
    id: ProviderId,
    /// Made for a block that they name, newest last.
    on_a_tip: VecDeque<Arc<WorkTemplate>>,
    /// Made for the block after a tip not yet known, newest last.
    prepared: VecDeque<Arc<WorkTemplate>>,
    tip: Option<Heard>,
    /// The template on the tip.
    active: Option<Arc<WorkTemplate>>,
    heard_at: Duration,
}

#[derive(Clone, Debug)]
struct Heard {
    work: Arc<TipWork>,
    /// The template that the tip names.
    template: TemplateId,
}

/// A provider with work that could be followed.
#[derive(Clone, Copy, Debug)]
struct Candidate<'a> {
    provider: &'a Provider,
    tip: &'a Heard,
    template: &'a Arc<WorkTemplate>,
}

#[derive(Debug)]
struct Current {
    work: Arc<Work>,
    /// When a provider last said that this is the tip.
    confirmed_at: Duration,
}

/// Follows the providers and chooses.
#[derive(Debug)]
pub struct Selection {
    /// By priority.
    providers: Vec<Provider>,
    silence: Duration,
    turns: Turns,
    current: Option<Current>,
}

impl Selection {
    /// Knows nothing yet. `providers` are in the order of preference; one that says nothing for
    /// `silence` is passed over while another one speaks.
    pub fn new(providers: &[ProviderId], silence: Duration) -> Self {
        let provider = |id: &ProviderId| Provider {
            id: id.clone(),
            on_a_tip: VecDeque::new(),
            prepared: VecDeque::new(),
            tip: None,
            active: None,
            heard_at: Duration::ZERO,
        };
        Self {
            providers: providers.iter().map(provider).collect(),
            silence,
            turns: Turns::default(),
            current: None,
        }
    }

    /// What is current.
    pub fn work(&self) -> Option<&Arc<Work>> {
        self.current.as_ref().map(|current| &current.work)
    }

    /// For how long nobody has said that the current tip is the tip: neither a tip nor a template
    /// on it came. `None` before the first tip.
    pub fn unconfirmed_for(&self, now: Duration) -> Option<Duration> {
        self.current.as_ref().map(|current| now.saturating_sub(current.confirmed_at))
    }

    /// A template was heard at `heard_at`.
    ///
    /// # Errors
    ///
    /// When it cannot be followed; nothing has changed then.
    pub fn template(
        &mut self,
        heard_at: Duration,
        id: TemplateId,
        new: &New,
    ) -> Result<(), NotFollowed> {
        let provider = self.provider(&new.provider)?;
        let template = WorkTemplate::new(id, new)
            .map_err(|source| NotFollowed::Template { id, source })
            .map(Arc::new)?;
        provider.heard(heard_at);
        provider.take(template);
        self.confirm(heard_at, new.prevhash);
        self.choose(heard_at);
        Ok(())
    }

    /// A tip was heard at `heard_at`.
    ///
    /// # Errors
    ///
    /// When it cannot be followed, at least not yet.
    pub fn tip(&mut self, heard_at: Duration, tip: &Tip) -> Result<(), NotFollowed> {
        let provider = self.provider(&tip.provider)?;
        let work = TipWork::new(tip)
            .map_err(|source| NotFollowed::Nbits { prevhash: tip.prevhash, source })?;
        provider.heard(heard_at);
        let stood = provider.tip.as_ref().map(|heard| heard.work.prevhash());
        let followed = provider.enter(Heard { work: Arc::new(work), template: tip.template });
        self.turns.hear(&tip.provider, stood, tip.prevhash);
        self.confirm(heard_at, Some(tip.prevhash));
        self.choose(heard_at);
        followed
    }

    /// Time has passed: passes over a provider that fell silent.
    pub fn tick(&mut self, now: Duration) {
        self.choose(now);
    }

    fn provider(&mut self, id: &ProviderId) -> Result<&mut Provider, NotFollowed> {
        let found = self.providers.iter_mut().find(|provider| provider.id == *id);
        found.ok_or_else(|| NotFollowed::UnknownProvider(id.clone()))
    }

    fn confirm(&mut self, heard_at: Duration, tip: Option<BlockHash>) {
        if let Some(current) = &mut self.current
            && tip == Some(current.work.tip.prevhash())
        {
            current.confirmed_at = current.confirmed_at.max(heard_at);
        }
    }

    fn choose(&mut self, now: Duration) {
        let Some(Candidate { provider, tip, template }) = self.best(now) else { return };
        let heard_at = provider.heard_at;
        let (tip, template) = (Arc::clone(&tip.work), Arc::clone(template));
        let mut work = Work { prepared: provider.next(), tip, template, tips: 0 };
        match &mut self.current {
            Some(current) if current.work.tip.prevhash() == work.tip.prevhash() => {
                if current.work.is_other(&work) {
                    work.tips = current.work.tips;
                    current.work = Arc::new(work);
                }
            }
            current => {
                work.tips = current.as_ref().map_or(0, |current| current.work.tips + 1);
                *current = Some(Current { work: Arc::new(work), confirmed_at: heard_at });
            }
        }
    }

    /// The candidate to follow; `None` to stay with what is current.
    ///
    /// A tip whose turn was before the current one's is never returned to: Core takes a lane's
    /// shares in the order of turns only. Of two tips of one height the first stays.
    fn best(&self, now: Duration) -> Option<Candidate<'_>> {
        let speaks = |candidate: &Candidate<'_>| {
            now.saturating_sub(candidate.provider.heard_at) <= self.silence
        };
        let speaking: Vec<_> = self.candidates().filter(speaks).collect();
        let pool = if speaking.is_empty() { self.candidates().collect() } else { speaking };
        let Some(current) = &self.current else { return highest(pool) };
        let (height, prevhash) = (current.work.tip.height(), current.work.tip.prevhash());
        let turn = self.turns.of(prevhash);
        let is_newer =
            |candidate: &Candidate<'_>| self.turns.of(candidate.tip.work.prevhash()) > turn;
        let newer: Vec<_> = pool.iter().copied().filter(is_newer).collect();
        let on_it = pool.iter().find(|candidate| candidate.tip.work.prevhash() == prevhash);
        let moved = newer
            .iter()
            .find(|candidate| candidate.provider.id == *current.work.template.provider());
        let higher = highest(newer.clone()).filter(|found| found.tip.work.height() > height);
        higher.or(moved.copied()).or(on_it.copied()).or_else(|| highest(newer))
    }

    /// By priority.
    fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.providers.iter().filter_map(|provider| {
            let (tip, template) = (provider.tip.as_ref()?, provider.active.as_ref()?);
            Some(Candidate { provider, tip, template })
        })
    }
}

/// The candidate whose tip is highest; of several the first.
fn highest(pool: Vec<Candidate<'_>>) -> Option<Candidate<'_>> {
    pool.into_iter().rev().max_by_key(|candidate| candidate.tip.work.height())
}

impl Work {
    /// Whether miners on the same tip have something new to do.
    fn is_other(&self, new: &Self) -> bool {
        let prepared = |work: &Self| work.prepared.as_ref().map(|template| template.id());
        self.template.id() != new.template.id() || prepared(self) != prepared(new)
    }
}

impl Provider {
    fn heard(&mut self, heard_at: Duration) {
        self.heard_at = self.heard_at.max(heard_at);
    }

    fn take(&mut self, template: Arc<WorkTemplate>) {
        let names = |tip: &Heard| match template.prevhash() {
            Some(prevhash) => prevhash == tip.work.prevhash(),
            None => template.id() == tip.template,
        };
        if self.tip.as_ref().is_some_and(|tip| names(tip) && tip.work.check(&template).is_ok()) {
            self.active = Some(Arc::clone(&template));
        }
        let kind = match template.prevhash() {
            Some(_) => &mut self.on_a_tip,
            None => &mut self.prepared,
        };
        if kind.len() >= MAX_TEMPLATES {
            kind.pop_front();
        }
        kind.push_back(template);
    }

    fn enter(&mut self, tip: Heard) -> Result<(), NotFollowed> {
        let (prevhash, template) = (tip.work.prevhash(), tip.template);
        let mut known = self.on_a_tip.iter().chain(&self.prepared);
        let named = known.find(|known| known.id() == template).cloned();
        let fit = named.as_ref().map(|named| tip.work.check(named));
        self.tip = Some(tip);
        self.active = named.filter(|_| matches!(fit, Some(Ok(()))));
        match fit {
            Some(Ok(())) => Ok(()),
            Some(Err(source)) => Err(NotFollowed::Unfit { prevhash, template, source }),
            None => Err(NotFollowed::UnknownTemplate { prevhash, template }),
        }
    }

    /// The newest template for the block after the tip's.
    fn next(&self) -> Option<Arc<WorkTemplate>> {
        let height = self.tip.as_ref()?.work.height().checked_add(1)?;
        self.prepared.iter().rev().find(|template| template.height() == height).cloned()
    }
}
