//! The proofs that a channel has already handed in on its tip.

use mining::Fingerprint;
use std::collections::BTreeSet;

/// Most proofs that a channel remembers: a day at 12 shares a minute on one tip, or about 400 KiB.
/// A channel that reaches it is given other headers, or closed if its miner cannot be told.
pub const MAX_PROOFS: usize = 16_384;

/// Proofs on one tip. Takes no memory before the first share.
#[derive(Debug, Default)]
pub struct Proofs {
    seen: BTreeSet<Fingerprint>,
}

/// What a proof is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// New, and now remembered.
    New,
    /// Handed in before.
    Duplicate,
}

impl Proofs {
    /// Remembers a proof.
    pub fn insert(&mut self, proof: Fingerprint) -> Novelty {
        if self.seen.insert(proof) { Novelty::New } else { Novelty::Duplicate }
    }

    /// Whether no further proof may be taken.
    pub fn is_full(&self) -> bool {
        self.seen.len() >= MAX_PROOFS
    }

    /// Forgets everything: the tip has changed, and no header on the old one is taken any more.
    pub fn clear(&mut self) {
        self.seen = BTreeSet::new();
    }
}
