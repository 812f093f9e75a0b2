//! A batch of shares, as it came, as Core judged it, and what an ingress turned away.

use super::{
    Example, HEIGHT, IDENTITY, NBITS, NOON_SECS, at, block_hash, finder, node, other_miner,
    prevhash, template_id,
};
use subjects::{
    BootEpoch, Exponent, Lane, TemplateId,
    shares::{
        Accepted, AcceptedJob, AcceptedShare, Extranonce, Job, JobKind, Reason, Refusal, Refused,
        Rejected, RejectedCount, Share, Submitted, WorkSource,
    },
};

const OTHER_IDENTITY: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

fn extended() -> Job {
    Job {
        source: WorkSource::Template { template: template_id(), prevhash: prevhash() },
        kind: JobKind::Extended,
        exponent: Exponent::clamped(12),
        extranonce_prefix: bytes(&[0x01, 0x2c, 0x00, 0x04, 0x00, 0x00, 0x09]),
        extranonce_length: 20,
        identity: IDENTITY.to_owned(),
        version_mask: 0x1fff_e000,
    }
}

fn standard() -> Job {
    let prefix = [&[0x01, 0x2c, 0x00, 0x04, 0x00, 0x00, 0x0a][..], &[0; 13]].concat();
    Job {
        source: WorkSource::Declared { job: TemplateId([0xd0; 16]), prevhash: prevhash() },
        kind: JobKind::Standard,
        exponent: Exponent::clamped(-3),
        extranonce_prefix: bytes(&prefix),
        identity: OTHER_IDENTITY.to_owned(),
        ..extended()
    }
}

fn shares() -> [Share; 2] {
    let first = Share {
        job: 0,
        channel: 9,
        sequence: 1_041,
        extranonce: bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x2f, 0x51]),
        ntime: NOON_SECS + 7,
        nonce: 0x9a3c_11f0,
        version: 0x2000_6000,
        worker: 0,
        after_ms: 1,
    };
    let second = Share {
        job: 1,
        channel: 10,
        sequence: 77,
        extranonce: Extranonce::default(),
        nonce: 0x0000_beef,
        version: 0x2000_0000,
        worker: 1,
        after_ms: 3,
        ..first
    };
    [first, second]
}

fn workers() -> Vec<String> {
    vec!["rig-07".to_owned(), String::new()]
}

/// At most 32 bytes.
fn bytes(bytes: &[u8]) -> Extranonce {
    Extranonce::new(bytes).unwrap_or_default()
}

impl Example for Submitted {
    fn example() -> Self {
        Self {
            node: node(),
            lane: Lane(300),
            boot_epoch: BootEpoch(4),
            batch: 5_150,
            opened_at: at(7),
            workers: workers(),
            jobs: vec![extended(), standard()],
            shares: shares().to_vec(),
        }
    }
}

impl Example for Accepted {
    fn example() -> Self {
        let [first, second] = shares();
        let job = |job: Job, miner| AcceptedJob { job, miner, nbits: NBITS, height: HEIGHT };
        let share = |share: Share, exponent: i64, hash_top, block| AcceptedShare {
            share,
            work: Exponent::clamped(exponent).work(),
            hash_top,
            block,
        };
        Self {
            node: node(),
            lane: Lane(300),
            boot_epoch: BootEpoch(4),
            batch: 5_150,
            part: 0,
            resume_at: 2,
            opened_at: at(7),
            workers: workers(),
            // The second share solves a block, so it is the last one.
            jobs: vec![job(standard(), other_miner()), job(extended(), finder())],
            shares: vec![
                share(Share { job: 0, ..second }, -3, 0x0000_0004_1f2e_3d4c, None),
                share(Share { job: 1, ..first }, 12, 0, Some(block_hash())),
            ],
        }
    }
}

impl Example for Refused {
    fn example() -> Self {
        Self {
            node: node(),
            lane: Lane(300),
            boot_epoch: BootEpoch(4),
            batch: 5_151,
            opened_at: at(8),
            refusals: vec![Refusal {
                index: 3,
                channel: 9,
                sequence: 1_042,
                identity: IDENTITY.to_owned(),
                worker: "rig-07".to_owned(),
                reason: Reason::DuplicateShare,
            }],
        }
    }
}

impl Example for Rejected {
    fn example() -> Self {
        Self {
            node: node(),
            lane: Lane(300),
            boot_epoch: BootEpoch(4),
            sequence: 12,
            minute: at(0),
            counts: vec![RejectedCount {
                identity: IDENTITY.to_owned(),
                worker: "rig-07".to_owned(),
                reason: Reason::StaleShare,
                shares: 4,
            }],
        }
    }
}
