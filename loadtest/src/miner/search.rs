//! Hashing: one thread's way through the header space of its work.

use super::work::{Found, Work};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Lowest bit of the version that BIP 323 gives to miners.
const ROLLED_BITS_START: u32 = 5;

/// One thread's search. Its pieces of header space are numbered without end, over all works, so
/// that a job that comes twice is not searched twice.
#[derive(Clone, Debug)]
pub(super) struct Search {
    work: Arc<Work>,
    /// The piece that is being searched: every `threads`-th from the thread's own number on.
    space: u64,
    threads: u64,
    extranonce: Vec<u8>,
    version: u32,
    /// SHA-256 of the header's first 64 bytes: version, prevhash, most of the merkle root.
    midstate: Sha256,
    /// The header's last 16 bytes begin with these four of the merkle root.
    root_end: [u8; 4],
    nonce: u32,
}

impl Search {
    /// Begins with the piece `space` of `work`.
    pub(super) fn new(work: Arc<Work>, space: u64, threads: u64) -> Self {
        let extranonce = work.extranonce(space);
        let root = work.merkle_root(&extranonce);
        let (root_start, root_end) = root.split_at(28);
        let bits = u32::try_from(space & 0x00ff_ffff).unwrap_or_default() << ROLLED_BITS_START;
        let version = work.version | bits & work.version_mask;
        let midstate = Sha256::new()
            .chain_update(version.to_le_bytes())
            .chain_update(work.prevhash)
            .chain_update(root_start);
        let root_end = root_end.try_into().unwrap_or_default();
        Self { work, space, threads, extranonce, version, midstate, root_end, nonce: 0 }
    }

    /// Goes over to `work`. Work of the same generation differs in its target at most and is
    /// searched on.
    pub(super) fn adopt(&mut self, work: &Arc<Work>) {
        if self.work.generation == work.generation {
            self.work = Arc::clone(work);
        } else {
            *self = Self::new(Arc::clone(work), self.space + self.threads, self.threads);
        }
    }

    /// Tries `hashes` nonces with the header time `ntime`.
    pub(super) fn batch(&mut self, ntime: u32, hashes: u32) -> Vec<Found> {
        let mut found = Vec::new();
        for _ in 0..hashes {
            let hash = self.hash(ntime);
            if self.work.target.is_met_by(&hash) {
                found.push(self.found(ntime, hash));
            }
            match self.nonce.checked_add(1) {
                Some(next) => self.nonce = next,
                None => {
                    let (work, threads) = (Arc::clone(&self.work), self.threads);
                    *self = Self::new(work, self.space + threads, threads);
                }
            }
        }
        found
    }

    fn hash(&self, ntime: u32) -> [u8; 32] {
        let header = self
            .midstate
            .clone()
            .chain_update(self.root_end)
            .chain_update(ntime.to_le_bytes())
            .chain_update(self.work.nbits.to_le_bytes())
            .chain_update(self.nonce.to_le_bytes());
        Sha256::digest(header.finalize()).into()
    }

    fn found(&self, ntime: u32, hash: [u8; 32]) -> Found {
        Found {
            job: self.work.job,
            generation: self.work.generation,
            nonce: self.nonce,
            ntime,
            version: self.version,
            extranonce: self.extranonce.clone(),
            hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::miner::work::Source;
    use mining::{Header, Target};
    use std::{collections::BTreeSet, time::Duration};
    use subjects::{BlockHash, Exponent};

    fn work(generation: u64, source: Source) -> Arc<Work> {
        Arc::new(Work {
            job: 4,
            generation,
            version: 0x2000_0000,
            version_mask: mining::VERSION_MASK,
            prevhash: [0x22; 32],
            nbits: 0x1d00_ffff,
            min_ntime: 1_700_000_000,
            since: Duration::ZERO,
            target: Target::of(Exponent::clamped(-28)),
            source,
        })
    }

    fn extended() -> Source {
        Source::Extended {
            before: vec![1; 60],
            rolled: 13,
            after: vec![2; 150],
            path: vec![[3; 32], [4; 32]],
        }
    }

    fn hash_of(work: &Work, found: &Found) -> BlockHash {
        Header {
            version: found.version,
            prevhash: BlockHash(work.prevhash),
            merkle_root: work.merkle_root(&found.extranonce),
            ntime: found.ntime,
            nbits: work.nbits,
            nonce: found.nonce,
        }
        .hash()
    }

    #[test]
    fn what_is_found_meets_the_target() {
        for source in [extended(), Source::Standard([9; 32])] {
            let work = work(1, source);
            let mut search = Search::new(Arc::clone(&work), 3, 2);
            let found = search.batch(work.ntime_at(Duration::from_secs(9)), 400);
            assert!((5..60).contains(&found.len()), "{} of 400 at 1 in 16", found.len());
            for share in found {
                assert_eq!(share.ntime, 1_700_000_009);
                assert_eq!(hash_of(&work, &share), BlockHash(share.hash));
                assert!(work.target.is_met_by(&share.hash));
            }
        }
    }

    #[test]
    fn no_header_is_tried_twice() {
        let (one, again) = (work(1, extended()), work(2, extended()));
        let mut seen = BTreeSet::new();
        for thread in 0..2 {
            let mut search = Search::new(Arc::clone(&one), thread, 2);
            let mut all = search.batch(1_700_000_000, 300);
            search.adopt(&one);
            all.extend(search.batch(1_700_000_000, 300));
            // The same job under another number: another piece of header space.
            search.adopt(&again);
            all.extend(search.batch(1_700_000_000, 300));
            assert!(all.len() > 20);
            assert!(all.into_iter().all(|found| seen.insert(found.hash)));
        }
    }

    #[test]
    fn another_target_is_taken_without_starting_over() {
        let mut search = Search::new(work(1, extended()), 0, 1);
        let before = search.batch(1_700_000_000, 1_000);
        let harder =
            Work { target: Target::of(Exponent::clamped(-24)), ..(*work(1, extended())).clone() };
        search.adopt(&Arc::new(harder));
        let after = search.batch(1_700_000_000, 1_000);
        assert!(after.len() < before.len());
        assert!(after.iter().all(|found| found.nonce >= 1_000));
    }

    #[test]
    fn exhausted_nonces_lead_to_the_next_piece() {
        let mut search = Search::new(work(1, extended()), 0, 3);
        search.nonce = u32::MAX;
        let first = search.extranonce.clone();
        search.batch(1_700_000_000, 1);
        assert_eq!((search.nonce, search.space), (0, 3));
        assert_ne!(search.extranonce, first);
    }

    #[test]
    fn a_short_extranonce_holds_the_low_digits() {
        let narrow = |rolled| {
            work(1, Source::Extended { before: vec![], rolled, after: vec![], path: vec![] })
        };
        assert_eq!(narrow(2).extranonce(0x01_0203), [2, 3]);
        assert_eq!(narrow(10).extranonce(0x0102), [0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
