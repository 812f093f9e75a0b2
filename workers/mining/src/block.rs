//! A solved block: from the share that solves it to what is said of it, and back from a stranger's
//! claim.

use crate::{
    Header, Job, MAX_EXTRANONCE_LENGTH, Payee, ShareFields, Split, TipWork, WorkTemplate,
    coinbase::{BEFORE_SCRIPT_SIG, MARKER_AND_FLAG},
};
use subjects::{
    BlockHash, Exponent, HexBytes, NodeId,
    blocks::{Claimed, HEADER_LENGTH, Solved},
    shares::JobKind,
};

/// What completes a template to a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// Hash of the header.
    pub hash: BlockHash,
    /// The header.
    pub header: [u8; HEADER_LENGTH],
    /// The coinbase with its witness.
    pub coinbase: Vec<u8>,
}

/// The header and coinbase of a share that [`crate::judge()`] found to solve its block; `None` when
/// the extranonce is not the job's.
pub fn solution(
    work: &WorkTemplate,
    tip: &TipWork,
    job: &Job<'_>,
    share: &ShareFields<'_>,
) -> Option<Solution> {
    let header = Header::of(tip, work.merkle_root(job, share.extranonce)?, share);
    let coinbase = work.full_coinbase(job, share.extranonce)?;
    Some(Solution { hash: header.hash(), header: header.to_bytes(), coinbase })
}

impl Solution {
    /// What an ingress of `node` says of it.
    pub fn claimed(&self, node: NodeId, work: &WorkTemplate) -> Claimed {
        Claimed {
            node,
            hash: self.hash,
            header: HexBytes(self.header.to_vec()),
            coinbase: HexBytes(self.coinbase.clone()),
            template: work.id(),
            provider: work.provider().clone(),
        }
    }

    /// What Core says of it: the same bytes, whoever in Core finds it.
    pub fn solved(&self, work: &WorkTemplate) -> Solved {
        Solved {
            hash: self.hash,
            height: work.height(),
            header: HexBytes(self.header.to_vec()),
            coinbase: HexBytes(self.coinbase.clone()),
            template: work.id(),
            provider: work.provider().clone(),
            subsidy: work.subsidy(),
            fees: work.fees(),
        }
    }
}

/// A claim that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedClaim {
    /// What completes the template to the block.
    pub solution: Solution,
    /// Whom output 1 names.
    pub finder: Payee,
    /// What the coinbase pays.
    pub split: Split,
}

/// A claim that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Not a header of 80 bytes.
    #[error("a header has 80 bytes")]
    Header,
    /// The header names another previous block or compact target than the tip, or the template
    /// does not fit the tip.
    #[error("the header does not build on the template's tip")]
    Tip,
    /// The header's hash does not meet the block's target.
    #[error("the header does not prove the block's work")]
    ProofOfWork,
    /// The header's version or time is not one that the rules allow.
    #[error("the header's version or time is out of bounds")]
    Fields,
    /// The coinbase is not one that the template's coinbase rule gives.
    #[error("the coinbase does not follow the template's coinbase rule")]
    Coinbase,
    /// The coinbase is not the one that the header commits to.
    #[error("the header commits to another coinbase")]
    MerkleRoot,
}

/// Checks a stranger's claim against the template that it names and the tip that its header
/// names: proof of work, header, and that the coinbase pays whom the rule says. Bytes in, so
/// nothing of it is trusted.
///
/// # Errors
///
/// The first [`ClaimError`] that applies; proof of work first, so that garbage costs one hash.
pub fn check_claim(
    work: &WorkTemplate,
    tip: &TipWork,
    header: &[u8],
    coinbase: &[u8],
) -> Result<CheckedClaim, ClaimError> {
    let header = Header::parse(header).ok_or(ClaimError::Header)?;
    let hash = header.hash();
    if !tip.target().is_met_by(&hash.0) {
        return Err(ClaimError::ProofOfWork);
    }
    if header.prevhash != tip.prevhash() || header.nbits != tip.nbits() || tip.check(work).is_err()
    {
        return Err(ClaimError::Tip);
    }
    let rolled = header.version ^ work.version();
    let in_time = (tip.min_ntime()..=tip.max_ntime()).contains(&header.ntime);
    if !in_time || rolled & !work.version_mask() != 0 {
        return Err(ClaimError::Fields);
    }
    let (finder, merkle_root) = read_coinbase(work, coinbase).ok_or(ClaimError::Coinbase)?;
    if merkle_root != header.merkle_root {
        return Err(ClaimError::MerkleRoot);
    }
    let solution = Solution { hash, header: header.to_bytes(), coinbase: coinbase.to_vec() };
    Ok(CheckedClaim { solution, finder, split: work.split(&finder) })
}

/// Reads exponent, extranonce and finder where the layout has them, builds the coinbase that they
/// give and compares: what is equal follows the rule. Returns the finder and the merkle root.
fn read_coinbase(work: &WorkTemplate, coinbase: &[u8]) -> Option<(Payee, [u8; 32])> {
    let before = BEFORE_SCRIPT_SIG + MARKER_AND_FLAG.len();
    let script_sig = usize::from(*coinbase.get(before)?);
    let head = work.coinbase_prefix_length() + MARKER_AND_FLAG.len();
    let end = before.checked_add(1)?.checked_add(script_sig)?;
    let extranonce = coinbase.get(head..end)?;
    let extranonce_length = u8::try_from(extranonce.len()).ok()?;
    let exponent = *coinbase.get(head.checked_sub(1)?)?;
    let finder = work.read_finder(coinbase.get(end..)?)?;
    let job = Job {
        kind: JobKind::Standard,
        exponent: Exponent::new(i8::from_be_bytes([exponent]).into()).ok()?,
        extranonce_prefix: extranonce,
        extranonce_length,
        payee: &finder,
        version_mask: work.version_mask(),
    };
    let fits = extranonce_length <= MAX_EXTRANONCE_LENGTH;
    let same = fits && work.full_coinbase(&job, &[])? == coinbase;
    let root = work.merkle_root(&job, &[])?;
    same.then_some((finder, root))
}
