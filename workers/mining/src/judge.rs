//! Whether a share counts.

use crate::{Header, Job, ShareFields, Target, TipWork, WorkTemplate};
use subjects::{
    BlockHash, Work,
    shares::{JobKind, Reason},
};

/// A share that proves its work. Whether it was credited before is for its caller to know, by
/// [`Judged::fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The header's hash.
    pub hash: BlockHash,
    /// Its eight most significant bytes: smaller is luckier.
    pub hash_top: u64,
    /// Credited work: that of the committed target.
    pub work: Work,
    /// Whether it solves the block.
    pub is_block: bool,
}

/// What tells one proof from another: the 16 least significant bytes of its hash, which no target
/// of ours constrains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 16]);

impl Judged {
    /// What tells this proof from every other.
    pub fn fingerprint(&self) -> Fingerprint {
        let (low, _) = self.hash.0.split_first_chunk().unwrap_or((&[0; 16], &[]));
        Fingerprint(*low)
    }
}

/// Judges a share: rebuilds coinbase, merkle root and header, and hashes.
///
/// Whether `work` was ever active on `tip` is for the caller to know; that they fit is checked.
///
/// # Errors
///
/// `WrongPrevhash`, `BadExtranonceSize`, `InvalidNtime`, `InvalidVersion` or `DifficultyTooLow`,
/// the first that applies in this order.
pub fn judge(
    work: &WorkTemplate,
    tip: &TipWork,
    job: &Job<'_>,
    share: &ShareFields<'_>,
) -> Result<Judged, Reason> {
    check(work, tip, job, share)?;
    let root = work.merkle_root(job, share.extranonce).ok_or(Reason::BadExtranonceSize)?;
    prove(tip, job, Header::of(tip, root, share))
}

/// Judges a share of a standard job whose merkle root is at hand: saves all but one hash.
///
/// # Errors
///
/// Those of [`judge`].
pub fn judge_on_root(
    work: &WorkTemplate,
    tip: &TipWork,
    job: &Job<'_>,
    merkle_root: [u8; 32],
    share: &ShareFields<'_>,
) -> Result<Judged, Reason> {
    check(work, tip, job, share)?;
    prove(tip, job, Header::of(tip, merkle_root, share))
}

/// All that can be said without hashing.
fn check(
    work: &WorkTemplate,
    tip: &TipWork,
    job: &Job<'_>,
    share: &ShareFields<'_>,
) -> Result<(), Reason> {
    tip.check(work).map_err(|_| Reason::WrongPrevhash)?;
    let rolls = match job.kind {
        JobKind::Extended => true,
        JobKind::Standard => share.extranonce.is_empty(),
    };
    let whole = job.extranonce_prefix.len() + share.extranonce.len();
    if !rolls || whole != usize::from(job.extranonce_length) {
        return Err(Reason::BadExtranonceSize);
    }
    if !(tip.min_ntime()..=tip.max_ntime()).contains(&share.ntime) {
        return Err(Reason::InvalidNtime);
    }
    let rolled = share.version ^ work.version();
    if job.version_mask & !work.version_mask() != 0 || rolled & !job.version_mask != 0 {
        return Err(Reason::InvalidVersion);
    }
    Ok(())
}

fn prove(tip: &TipWork, job: &Job<'_>, header: Header) -> Result<Judged, Reason> {
    let hash = header.hash();
    if !Target::of(job.exponent).is_met_by(&hash.0) {
        return Err(Reason::DifficultyTooLow);
    }
    let (_, top) = hash.0.split_last_chunk().unwrap_or((&[], &[0; 8]));
    Ok(Judged {
        hash,
        hash_top: u64::from_le_bytes(*top),
        work: job.exponent.work(),
        is_block: tip.target().is_met_by(&hash.0),
    })
}
