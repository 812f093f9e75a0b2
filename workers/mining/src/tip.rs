//! A tip, made ready for work.

use crate::{InvalidNbits, NTIME_WINDOW_SECS, Target, WorkTemplate, target::hardest_on};
use subjects::{BlockHash, Exponent, Work, templates::Tip};

/// What headers on one tip have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipWork {
    prevhash: BlockHash,
    height: u32,
    nbits: u32,
    min_ntime: u32,
    target: Target,
}

/// The template cannot be mined on the tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TipError {
    /// The template is of another height.
    #[error("the template is for height {template}, the tip asks for {tip}")]
    Height {
        /// The template's height.
        template: u32,
        /// Height of the block to be mined on the tip.
        tip: u32,
    },
    /// The template builds on another block.
    #[error("the template builds on {0}")]
    Prevhash(BlockHash),
}

impl TipWork {
    /// Makes a published tip ready.
    ///
    /// # Errors
    ///
    /// When its compact target is none.
    pub fn new(tip: &Tip) -> Result<Self, InvalidNbits> {
        Ok(Self {
            prevhash: tip.prevhash,
            height: tip.height,
            nbits: tip.nbits,
            min_ntime: tip.min_ntime,
            target: Target::from_nbits(tip.nbits)?,
        })
    }

    /// What headers name as their previous block.
    pub const fn prevhash(&self) -> BlockHash {
        self.prevhash
    }

    /// Height of the block to be mined.
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// Compact target of the block to be mined.
    pub const fn nbits(&self) -> u32 {
        self.nbits
    }

    /// Least time of a header, in seconds since 1970.
    pub const fn min_ntime(&self) -> u32 {
        self.min_ntime
    }

    /// Greatest time of a header, in seconds since 1970.
    pub const fn max_ntime(&self) -> u32 {
        self.min_ntime.saturating_add(NTIME_WINDOW_SECS)
    }

    /// Target of the block to be mined.
    pub const fn target(&self) -> Target {
        self.target
    }

    /// Expected hashes of the block to be mined.
    pub fn network_work(&self) -> Work {
        self.target.work()
    }

    /// The hardest exponent that a job on this tip may commit to. A share must meet its own
    /// target, so a job beyond this would turn blocks away; replace a pre-sent job that is.
    pub fn hardest_exponent(&self) -> Exponent {
        hardest_on(self.target)
    }

    /// Whether `work` can be mined on this tip.
    ///
    /// # Errors
    ///
    /// When the template is of another height, or builds on another block.
    pub fn check(&self, work: &WorkTemplate) -> Result<(), TipError> {
        if work.height() != self.height {
            return Err(TipError::Height { template: work.height(), tip: self.height });
        }
        match work.prevhash() {
            Some(other) if other != self.prevhash => Err(TipError::Prevhash(other)),
            Some(_) | None => Ok(()),
        }
    }
}
