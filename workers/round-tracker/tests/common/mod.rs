//! Messages of `SHARES` for tests.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, and its numbers are small"
)]

use subjects::{
    BlockHash, BootEpoch, Exponent, Lane, MinerId, NodeId, TemplateId, Timestamp, Work,
    shares::{Accepted, AcceptedJob, AcceptedShare, Extranonce, Job, JobKind, Share, WorkSource},
};

/// Compact target of a block with 2^32 + 2^16 + 1 expected hashes.
pub(crate) const EASY: u32 = 0x1d00_ffff;

/// A share of miner `.0` with work `2^.1`.
pub(crate) type Did = (u8, u32);

pub(crate) fn miner(number: u8) -> MinerId {
    MinerId::new(vec![number; 22]).unwrap()
}

/// A batch with a job per share; the last one solves `block`.
pub(crate) fn batch(number: u64, shares: &[Did], nbits: u32, block: Option<BlockHash>) -> Accepted {
    let job = |miner: MinerId| AcceptedJob {
        job: Job {
            source: WorkSource::Template {
                template: TemplateId([7; 16]),
                prevhash: BlockHash([8; 32]),
            },
            kind: JobKind::Standard,
            exponent: Exponent::MIN,
            extranonce_prefix: Extranonce::new(&[0; 20]).unwrap(),
            extranonce_length: 20,
            identity: format!("id-{miner}"),
            version_mask: 0,
        },
        miner,
        nbits,
        height: 840_000,
    };
    let share = |(index, (_, work_log2)): (usize, &Did)| AcceptedShare {
        share: Share {
            job: index as u32,
            channel: 1,
            sequence: index as u32,
            extranonce: Extranonce::default(),
            ntime: 1_700_000_000 + number as u32,
            nonce: 0,
            version: 0x2000_0000,
            worker: 0,
            after_ms: 0,
        },
        work: Work::new(1 << work_log2),
        hash_top: 0,
        block: block.filter(|_| index + 1 == shares.len()),
    };
    Accepted {
        node: NodeId::core(),
        lane: Lane(1),
        boot_epoch: BootEpoch(1),
        batch: number,
        part: 0,
        resume_at: shares.len() as u32,
        opened_at: Timestamp(0),
        workers: vec!["rig".to_owned()],
        jobs: shares.iter().map(|(number, _)| job(miner(*number))).collect(),
        shares: shares.iter().enumerate().map(share).collect(),
    }
}
