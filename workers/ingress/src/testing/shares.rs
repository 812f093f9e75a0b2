//! Good shares on their way to the lane.

use super::work::ADDRESS;
use crate::domain::{
    lane::{Lane, Taken},
    miner::Miner,
};
use mining::{Network, Policy};
use std::sync::Arc;
use subjects::{
    BlockHash, BootEpoch, Exponent, Lane as LaneNumber, NodeId, TemplateId, Timestamp,
    shares::{Extranonce, Job, JobKind, WorkSource},
};

/// A share with this sequence number on a job of a tip.
pub fn taken(job: &Arc<Job>, miner: &Arc<Miner>, sequence: u32, tips: u64) -> Taken {
    Taken {
        tips,
        job: Arc::clone(job),
        miner: Arc::clone(miner),
        channel: 7,
        sequence,
        extranonce: Extranonce::new(&[1; 13]).unwrap(),
        ntime: 1,
        nonce: sequence,
        version: 0x2000_0000,
        at: Timestamp(1_000 + u64::from(sequence)),
    }
}

/// Any job.
pub fn job() -> Arc<Job> {
    Arc::new(Job {
        source: WorkSource::Template {
            template: TemplateId([1; 16]),
            prevhash: BlockHash([2; 32]),
        },
        kind: JobKind::Extended,
        exponent: Exponent::clamped(0),
        extranonce_prefix: Extranonce::new(&[1, 44, 0, 2, 0, 0, 7]).unwrap(),
        extranonce_length: 20,
        identity: ADDRESS.to_owned(),
        version_mask: 0,
    })
}

/// A miner with this worker.
pub fn miner(worker: &str) -> Arc<Miner> {
    let user = format!("{ADDRESS}.{worker}");
    let policy = Policy::addresses_only();
    Arc::new(Miner::parse(user.as_bytes(), Network::Signet, &policy).unwrap())
}

/// A lane with room for so many shares.
pub fn lane<R>(capacity: usize) -> Lane<R> {
    Lane::new(NodeId::core(), LaneNumber(3), BootEpoch(9), capacity)
}
