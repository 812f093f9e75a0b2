//! Whether a claim is a block of ours. A claim is hostile until it is checked.

use mining::{ClaimError, Header, Target, TipWork, WorkTemplate, check_claim};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use subjects::{
    BlockHash, DecodeError, TemplateId,
    blocks::{Claimed, Solved},
    templates::{New, Tip},
};

/// Most templates that are remembered: with one every 5 seconds from each of four providers, more
/// than the hour for which claims are kept.
pub const MAX_TEMPLATES: usize = 4_096;

/// Most tips that are remembered.
pub const MAX_TIPS: usize = 256;

/// How much easier than the known tip's target a header's may be, before its tip is known. An
/// adjustment of the difficulty eases at most by this factor.
const MOST_EASING: u128 = 4;

/// The templates and tips that blocks are checked against.
#[derive(Debug, Default)]
pub struct Known {
    templates: BTreeMap<TemplateId, Arc<WorkTemplate>>,
    oldest_templates: VecDeque<TemplateId>,
    /// By hash and compact target, which on test networks depends on the time.
    tips: BTreeMap<(BlockHash, u32), TipWork>,
    oldest_tips: VecDeque<(BlockHash, u32)>,
}

/// What a claim is.
#[derive(Clone, Debug)]
pub enum Judgement {
    /// A block of ours.
    Good(Box<Solved>),
    /// It names what was not heard of yet; it may come in a moment.
    TooEarly(Missing),
    /// It does not hold.
    Bad(ClaimRefusal),
}

/// What a claim names and nobody has heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Its template.
    #[error("the template {0} is unknown")]
    Template(TemplateId),
    /// The block that it builds on.
    #[error("the tip {0} is unknown")]
    Tip(BlockHash),
}

/// Why a claim is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRefusal {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Its header hashes to something else than it says.
    #[error("its header has another hash than it says")]
    OtherHash,
    /// It names another provider than its template's.
    #[error("its template is of another provider")]
    OtherProvider,
    /// It is not a block by our rules.
    #[error(transparent)]
    Rule(ClaimError),
    /// What it names was not heard of in time.
    #[error(transparent)]
    Unknown(Missing),
    /// Too many claims wait for templates or tips.
    #[error("too many claims name unknown templates")]
    Crowded,
}

impl ClaimRefusal {
    /// A short name for a metric's label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::OtherHash => "other-hash",
            Self::OtherProvider => "other-provider",
            Self::Rule(ClaimError::Header) => "header",
            Self::Rule(ClaimError::Tip) => "tip",
            Self::Rule(ClaimError::ProofOfWork) => "proof-of-work",
            Self::Rule(ClaimError::Fields) => "fields",
            Self::Rule(ClaimError::Coinbase) => "coinbase",
            Self::Rule(ClaimError::MerkleRoot) => "merkle-root",
            Self::Unknown(Missing::Template(_)) => "unknown-template",
            Self::Unknown(Missing::Tip(_)) => "unknown-tip",
            Self::Crowded => "crowded",
        }
    }
}

impl From<DecodeError> for ClaimRefusal {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl Known {
    /// Hears of a template. One that breaks our own rules is ignored: nothing of ours can have
    /// been mined on it.
    pub fn hear_template(&mut self, id: TemplateId, template: &New) -> Option<Arc<WorkTemplate>> {
        let work = Arc::new(WorkTemplate::new(id, template).ok()?);
        if self.templates.insert(id, Arc::clone(&work)).is_none() {
            self.oldest_templates.push_back(id);
        }
        while self.oldest_templates.len() > MAX_TEMPLATES {
            if let Some(oldest) = self.oldest_templates.pop_front() {
                self.templates.remove(&oldest);
            }
        }
        Some(work)
    }

    /// Hears of a tip. One whose target is none is ignored, for the same reason.
    pub fn hear_tip(&mut self, tip: &Tip) {
        let Ok(work) = TipWork::new(tip) else { return };
        let key = (tip.prevhash, tip.nbits);
        if self.tips.insert(key, work).is_none() {
            self.oldest_tips.push_back(key);
        }
        while self.oldest_tips.len() > MAX_TIPS {
            if let Some(oldest) = self.oldest_tips.pop_front() {
                self.tips.remove(&oldest);
            }
        }
    }

    /// A template that was heard of.
    pub fn template(&self, id: TemplateId) -> Option<&Arc<WorkTemplate>> {
        self.templates.get(&id)
    }

    /// Judges a claim.
    pub fn judge(&self, claim: &Claimed) -> Judgement {
        match self.find(claim) {
            Ok(solved) => Judgement::Good(Box::new(solved)),
            Err(Fault::Missing(missing)) => Judgement::TooEarly(missing),
            Err(Fault::Refusal(refusal)) => Judgement::Bad(refusal),
        }
    }

    fn find(&self, claim: &Claimed) -> Result<Solved, Fault> {
        let header =
            Header::parse(claim.header.as_slice()).ok_or(ClaimRefusal::Rule(ClaimError::Header))?;
        let hash = header.hash();
        if hash != claim.hash {
            return Err(ClaimRefusal::OtherHash.into());
        }
        self.check_cost(&header, hash)?;
        let tip = self.tips.get(&(header.prevhash, header.nbits));
        let tip = tip.ok_or_else(|| self.unknown_tip(&header))?;
        let missing = Fault::Missing(Missing::Template(claim.template));
        let work = self.templates.get(&claim.template).ok_or(missing)?;
        if *work.provider() != claim.provider {
            return Err(ClaimRefusal::OtherProvider.into());
        }
        let checked = check_claim(work, tip, claim.header.as_slice(), claim.coinbase.as_slice())
            .map_err(ClaimRefusal::Rule)?;
        Ok(checked.solution.solved(work))
    }

    /// Before anything is waited for, a claim must have cost about a block's work: it meets its
    /// own header's target, and that target is not absurdly easy.
    fn check_cost(&self, header: &Header, hash: BlockHash) -> Result<(), Fault> {
        let refuse = || Fault::Refusal(ClaimRefusal::Rule(ClaimError::ProofOfWork));
        let target = Target::from_nbits(header.nbits).map_err(|_| refuse())?;
        let claimed = target.work().to_u128().saturating_mul(MOST_EASING);
        let latest = self.oldest_tips.back().and_then(|key| self.tips.get(key));
        let needed = latest.map_or(0, |tip| tip.network_work().to_u128());
        if target.is_met_by(&hash.0) && claimed >= needed { Ok(()) } else { Err(refuse()) }
    }

    /// The tip is known with another target, or not at all.
    fn unknown_tip(&self, header: &Header) -> Fault {
        let mut same = self.tips.range((header.prevhash, 0)..=(header.prevhash, u32::MAX));
        match same.next() {
            Some(_) => Fault::Refusal(ClaimRefusal::Rule(ClaimError::Tip)),
            None => Fault::Missing(Missing::Tip(header.prevhash)),
        }
    }
}

enum Fault {
    Missing(Missing),
    Refusal(ClaimRefusal),
}

impl From<ClaimRefusal> for Fault {
    fn from(refusal: ClaimRefusal) -> Self {
        Self::Refusal(refusal)
    }
}

#[cfg(test)]
mod tests;
