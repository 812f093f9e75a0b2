//! Messages as the verifier, an ingress, the submitter, the tracker and the calculator say them.

use share_recorder::domain::{Batch, Feed, Heard};
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, MinerId, NodeId, Payload, Sats, TemplateId,
    Timestamp, Work,
    blocks::{BlockResult, Outcome, Solved},
    payouts::{
        BlockStatement, FeesPaidBy, Finder, Payee, RewardRule, Statement, StatementId, Window,
    },
    rounds::{Closed, SolvingShare},
    shares::{
        Accepted, AcceptedJob, AcceptedShare, Extranonce, Job, JobKind, Reason, Refusal, Refused,
        Rejected, RejectedCount, Share, WorkSource,
    },
};

/// A whole minute: 2023-11-14 22:14 UTC.
pub(crate) const MINUTE: u64 = 1_700_000_040_000;
/// When a test's stream was created.
pub(crate) const CREATED: u64 = 1_690_000_000_000;

pub(crate) fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

pub(crate) fn miner(number: u8) -> MinerId {
    MinerId::new(vec![number; 22]).unwrap()
}

/// A message of `shares` shares of 2^16 hashes each, of miner `number` and its worker `worker`.
pub(crate) fn accepted(batch: u64, number: u8, worker: &str, shares: u32) -> Accepted {
    let job = Job {
        source: WorkSource::Template {
            template: TemplateId([7; 16]),
            prevhash: BlockHash([8; 32]),
        },
        kind: JobKind::Extended,
        exponent: Exponent::new(-16).unwrap(),
        extranonce_prefix: Extranonce::new(&[1, 44, 0, 1, 0, 0, 9]).unwrap(),
        extranonce_length: 20,
        identity: format!("address-{number}"),
        version_mask: 0,
    };
    let share = |sequence| Share {
        job: 0,
        channel: 9,
        sequence,
        extranonce: Extranonce::new(&[0; 13]).unwrap(),
        ntime: 1_700_000_000,
        nonce: sequence,
        version: 0x2000_0000,
        worker: 0,
        after_ms: 5,
    };
    let first = u32::try_from(batch).unwrap() * 1_000;
    Accepted {
        node: node("n1"),
        lane: Lane(300),
        boot_epoch: BootEpoch(1),
        batch,
        part: 0,
        resume_at: shares,
        opened_at: Timestamp(MINUTE - 1_000),
        workers: vec![worker.to_owned()],
        jobs: vec![AcceptedJob { job, miner: miner(number), nbits: 0x1d00_ffff, height: 100 }],
        shares: (first..first + shares)
            .map(|sequence| AcceptedShare {
                share: share(sequence),
                work: Work::new(1 << 16),
                hash_top: u64::from(sequence) + 1,
                block: None,
            })
            .collect(),
    }
}

pub(crate) fn refused(batch: u64, reasons: &[Reason]) -> Refused {
    let refusal = |(index, reason): (u32, &Reason)| Refusal {
        index,
        channel: 9,
        sequence: index,
        identity: "somebody\0".to_owned(),
        worker: "rig".to_owned(),
        reason: *reason,
    };
    Refused {
        node: node("n1"),
        lane: Lane(300),
        boot_epoch: BootEpoch(1),
        batch,
        opened_at: Timestamp(u64::MAX),
        refusals: (0..).zip(reasons).map(refusal).collect(),
    }
}

pub(crate) fn rejected(sequence: u64) -> Rejected {
    let count = RejectedCount {
        identity: "address-1".to_owned(),
        worker: "rig".to_owned(),
        reason: Reason::StaleShare,
        shares: 12,
    };
    Rejected {
        node: node("n1"),
        lane: Lane(300),
        boot_epoch: BootEpoch(1),
        sequence,
        minute: Timestamp(MINUTE),
        counts: vec![count],
    }
}

pub(crate) fn sats(amount: u64) -> Sats {
    Sats::new(amount).unwrap()
}

pub(crate) fn solved() -> Solved {
    Solved {
        hash: BlockHash([0xb1; 32]),
        height: 100,
        header: HexBytes(vec![0; 80]),
        coinbase: HexBytes(vec![1; 300]),
        template: TemplateId([7; 16]),
        provider: "main".parse().unwrap(),
        subsidy: sats(312_500_000),
        fees: sats(4_321_987),
    }
}

pub(crate) fn outcome() -> Outcome {
    Outcome { hash: BlockHash([0xb1; 32]), height: 100, result: BlockResult::Confirmed }
}

pub(crate) fn closed() -> Closed {
    Closed {
        round: 1,
        block: SolvingShare {
            hash: BlockHash([0xb1; 32]),
            height: 100,
            finder: miner(1),
            identity: "address-1".to_owned(),
            worker: "rig".to_owned(),
        },
        first_slice: 1,
        last_slice: 3,
        first_sequence: 1,
        last_sequence: 40,
        started_ntime: None,
        stopped_ntime: 1_700_000_000,
        shares: 400,
        work: Work::new(400 << 16),
        network_work: Work::new(1 << 24),
        luck_ppm: 640_000,
    }
}

pub(crate) fn statement() -> Statement {
    let payee = |number, work, amount| Payee {
        miner: miner(number),
        work: Work::new(work),
        amount: sats(amount),
    };
    let id = StatementId { height: 100, revision: 0 };
    let body = BlockStatement {
        id,
        rules_version: 1,
        reward_rule: RewardRule::Window { factor: 2 },
        block_hash: BlockHash([0xb1; 32]),
        height: 100,
        subsidy: sats(312_500_000),
        fees: sats(4_321_987),
        treasury: sats(1_562_500),
        nodes: sats(1_562_500),
        miners: sats(309_375_000),
        window: Window {
            incarnation: CREATED,
            first_slice: 1,
            last_slice: 3,
            first_sequence: 1,
            last_sequence: 40,
            chain_start: HexBytes(vec![0; 32]),
            chain_end: HexBytes(vec![1; 32]),
            lines_roots: Vec::new(),
            work: Work::new(8),
            shares: 8,
        },
        finder: Finder {
            miner: miner(1),
            identity: "address-1".to_owned(),
            amount: sats(4_321_987),
            paid_by: FeesPaidBy::Coinbase,
        },
        payees: vec![payee(1, 5, 193_359_375), payee(2, 3, 116_015_625)],
    };
    let payload = {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&body).unwrap())
    };
    Statement { id, payload, protected: "e30".to_owned(), signature: "c2ln".to_owned() }
}

/// Adds a message to a batch as the stream would hold it.
pub(crate) fn add<P: Payload>(batch: &mut Batch, sequence: u64, stored_at: u64, payload: &P) {
    let body = payload.encode();
    let stored_at = Timestamp(stored_at);
    batch.add(Heard { sequence, stored_at, kind: P::TYPE, body: &body }).unwrap();
}

/// Messages `from` to `through` of the stream of shares, each with three shares.
pub(crate) fn shares_batch(created: u64, from: u64, through: u64) -> Batch {
    let mut batch = Batch::new(Feed::Shares, created, from - 1);
    for sequence in from..=through {
        add(&mut batch, sequence, MINUTE + sequence, &accepted(sequence, 1, "rig", 3));
    }
    batch
}
