//! Facts of a network, made up.

use loadtest::ShareKey;
use subjects::{
    BootEpoch, Exponent, HexBytes, Lane, MinerId, NodeId, TemplateId, Timestamp, Work,
    rounds::SliceClosed,
    shares::{
        Accepted, AcceptedJob, AcceptedShare, Extranonce, Job, JobKind, Reason, Refusal, Refused,
        Share, WorkSource,
    },
};

pub(crate) fn key(sequence: u32) -> ShareKey {
    ShareKey { lane: Lane(300), boot_epoch: BootEpoch(2), channel: 7, sequence }
}

/// A message of the stream with these shares.
pub(crate) fn message(batch: u64, sequences: &[u32]) -> Accepted {
    let share = |sequence: &u32| AcceptedShare {
        share: Share {
            job: 0,
            channel: 7,
            sequence: *sequence,
            extranonce: Extranonce::default(),
            ntime: 0,
            nonce: 0,
            version: 0,
            worker: 0,
            after_ms: 0,
        },
        work: Work::new(1),
        hash_top: 0,
        block: None,
    };
    Accepted {
        node: "n1".parse().unwrap(),
        lane: Lane(300),
        boot_epoch: BootEpoch(2),
        batch,
        part: 0,
        resume_at: 0,
        opened_at: Timestamp(0),
        workers: vec![String::new()],
        jobs: vec![AcceptedJob {
            job: Job {
                source: WorkSource::Template {
                    template: TemplateId([0; 16]),
                    prevhash: subjects::BlockHash([0; 32]),
                },
                kind: JobKind::Extended,
                exponent: Exponent::MIN,
                extranonce_prefix: Extranonce::default(),
                extranonce_length: 20,
                identity: String::new(),
                version_mask: 0,
            },
            miner: MinerId::new(vec![1]).unwrap(),
            nbits: 0,
            height: 0,
        }],
        shares: sequences.iter().map(share).collect(),
    }
}

pub(crate) fn refused(sequence: u32, reason: Reason) -> Refused {
    Refused {
        node: NodeId::core(),
        lane: Lane(300),
        boot_epoch: BootEpoch(2),
        batch: 0,
        opened_at: Timestamp(0),
        refusals: vec![Refusal {
            index: 0,
            channel: 7,
            sequence,
            identity: String::new(),
            worker: String::new(),
            reason,
        }],
    }
}

pub(crate) fn slice(
    incarnation: u64,
    number: u64,
    (first, last): (u64, u64),
    shares: u64,
) -> SliceClosed {
    SliceClosed {
        slice: number,
        round: 1,
        incarnation,
        first_sequence: first,
        last_sequence: last,
        chain_start: HexBytes(vec![0; 32]),
        chain_end: HexBytes(vec![0; 32]),
        shares,
        work: Work::new(1),
        network_work: Work::new(1),
        miners: 1,
        parts: 1,
        lines_root: HexBytes(vec![0; 32]),
        last_ntime: 0,
        block: None,
    }
}
