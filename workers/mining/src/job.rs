//! What a judge needs to know of a job and of a share, borrowed from wherever they are kept.

use crate::Payee;
use subjects::{
    Exponent,
    shares::{self, JobKind},
};

/// All that makes a job besides its template and tip.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// How the extranonce is rolled.
    pub kind: JobKind,
    /// Exponent of the target that the coinbase commits to.
    pub exponent: Exponent,
    /// The channel's extranonce prefix; on a standard job the whole extranonce.
    pub extranonce_prefix: &'a [u8],
    /// Bytes of the whole extranonce, prefix included.
    pub extranonce_length: u8,
    /// Whom output 1 names.
    pub payee: &'a Payee,
    /// Version bits that the miner may roll: the template's mask or fewer.
    pub version_mask: u32,
}

impl<'a> Job<'a> {
    /// The job of a batch; `payee` is that of the job's identity.
    pub fn of(job: &'a shares::Job, payee: &'a Payee) -> Self {
        Self {
            kind: job.kind,
            exponent: job.exponent,
            extranonce_prefix: job.extranonce_prefix.as_slice(),
            extranonce_length: job.extranonce_length,
            payee,
            version_mask: job.version_mask,
        }
    }
}

/// What the miner rolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareFields<'a> {
    /// The extranonce after the prefix; empty on a standard job.
    pub extranonce: &'a [u8],
    /// Time in the header, in seconds since 1970.
    pub ntime: u32,
    /// Nonce in the header.
    pub nonce: u32,
    /// Version in the header.
    pub version: u32,
}

impl<'a> From<&'a shares::Share> for ShareFields<'a> {
    fn from(share: &'a shares::Share) -> Self {
        Self {
            extranonce: share.extranonce.as_slice(),
            ntime: share.ntime,
            nonce: share.nonce,
            version: share.version,
        }
    }
}
