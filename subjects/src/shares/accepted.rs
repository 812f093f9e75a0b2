//! Shares that count.

use super::{
    Job, MAX_JOBS, MAX_SHARES, MAX_WORKERS, Share, bounded, epoch_number, lane_address,
    lane_number, lane_subject, node_id,
    submitted::{channel, rolled, within, worker_names},
    wire,
};
use crate::{
    BlockHash, BootEpoch, Codec, DecodeError, Lane, MinerId, NodeId, Payload, Subject, Timestamp,
    UnknownSubject, Work,
};
use prost::Message as _;
use schemars::JsonSchema;
use serde::Serialize;

/// Verified shares of one batch. The stream of these messages is the accounting record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "hyperhash.shares.v1.accepted")]
pub struct Accepted {
    /// The node whose ingress took the shares.
    pub node: NodeId,
    /// The ingress's lane.
    pub lane: Lane,
    /// The ingress's start, counted on its lane.
    pub boot_epoch: BootEpoch,
    /// The batch's number in the boot epoch.
    pub batch: u64,
    /// Position of this message among those of its batch, counted from 0.
    pub part: u32,
    /// How many of the submitted batch's shares this and earlier parts deal with.
    pub resume_at: u32,
    /// When the batch opened, by the ingress's clock.
    pub opened_at: Timestamp,
    /// Worker names that shares refer to by position.
    pub workers: Vec<String>,
    /// Jobs that shares refer to by position.
    pub jobs: Vec<AcceptedJob>,
    /// The shares. Only the last one may solve a block.
    pub shares: Vec<AcceptedShare>,
}

/// A job of accepted shares, and what Core knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AcceptedJob {
    /// The job as submitted.
    #[serde(flatten)]
    pub job: Job,
    /// Who is credited.
    pub miner: MinerId,
    /// Compact target of the block that the job could become.
    pub nbits: u32,
    /// Its height.
    pub height: u32,
}

/// A share that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AcceptedShare {
    /// The share as submitted; `job` and `worker` are positions in this message's lists.
    #[serde(flatten)]
    pub share: Share,
    /// Credited work: that of the target committed in its coinbase.
    pub work: Work,
    /// The eight most significant bytes of its hash: smaller is luckier.
    pub hash_top: u64,
    /// The block that it solves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockHash>,
}

impl Accepted {
    /// The job of a share; `None` for a share of another message.
    pub fn job_of(&self, share: &AcceptedShare) -> Option<&AcceptedJob> {
        self.jobs.get(usize::try_from(share.share.job).ok()?)
    }

    /// The worker's name of a share; empty for a share of another message.
    pub fn worker_of(&self, share: &AcceptedShare) -> &str {
        let index = usize::try_from(share.share.worker).unwrap_or(usize::MAX);
        self.workers.get(index).map_or("", String::as_str)
    }
}

impl Payload for Accepted {
    const TYPE: &'static str = "hyperhash.shares.v1.accepted";
    const FILTER: &'static str = "shares.accepted.*.*";
    const FORM: &'static str = "shares.accepted.{node}.{lane}";
    const CODEC: Codec = Codec::Protobuf;
    type Address = (NodeId, Lane);

    fn subject(&self) -> Subject {
        lane_subject(&["shares", "accepted"], &self.node, self.lane)
    }

    fn parse_subject(subject: &str) -> Result<Self::Address, UnknownSubject> {
        lane_address(subject, Self::FORM)
    }

    fn message_id(&self) -> String {
        let Self { node, lane, boot_epoch, batch, part, .. } = self;
        format!("accepted/{node}/{lane}/{boot_epoch}/{batch}/{part}")
    }

    fn encode(&self) -> Vec<u8> {
        wire::Accepted {
            node: self.node.to_string(),
            lane: self.lane.0.into(),
            boot_epoch: self.boot_epoch.0.into(),
            batch: self.batch,
            opened_at_ms: self.opened_at.0,
            workers: self.workers.clone(),
            jobs: self.jobs.iter().map(AcceptedJob::to_wire).collect(),
            shares: self.shares.iter().map(|share| share.to_wire()).collect(),
            part: self.part,
            resume_at: self.resume_at,
        }
        .encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let wire = wire::Accepted::decode(body)?;
        bounded("workers", &wire.workers, MAX_WORKERS)?;
        bounded("jobs", &wire.jobs, MAX_JOBS)?;
        bounded("shares", &wire.shares, MAX_SHARES)?;
        let (jobs, workers) = (wire.jobs.len(), wire.workers.len());
        let shares: Vec<AcceptedShare> = wire
            .shares
            .iter()
            .map(|share| AcceptedShare::from_wire(share, jobs, workers))
            .collect::<Result<_, _>>()?;
        if shares.iter().rev().skip(1).any(|share| share.block.is_some()) {
            return Err(DecodeError::field("shares", "a message ends at a solving share"));
        }
        Ok(Self {
            node: node_id(&wire.node)?,
            lane: lane_number(wire.lane)?,
            boot_epoch: epoch_number(wire.boot_epoch)?,
            batch: wire.batch,
            part: wire.part,
            resume_at: wire.resume_at,
            opened_at: Timestamp(wire.opened_at_ms),
            workers: worker_names(wire.workers)?,
            jobs: wire.jobs.into_iter().map(AcceptedJob::from_wire).collect::<Result<_, _>>()?,
            shares,
        })
    }
}

impl AcceptedJob {
    fn to_wire(&self) -> wire::AcceptedJob {
        wire::AcceptedJob {
            job: Some(self.job.to_wire()),
            miner: self.miner.as_bytes().to_vec(),
            nbits: self.nbits,
            height: self.height,
        }
    }

    fn from_wire(wire: wire::AcceptedJob) -> Result<Self, DecodeError> {
        let job = wire.job.ok_or_else(|| DecodeError::field("job", "missing"))?;
        Ok(Self {
            job: Job::from_wire(job)?,
            miner: MinerId::new(wire.miner)
                .ok_or_else(|| DecodeError::field("miner", "a miner id has 1 to 42 bytes"))?,
            nbits: wire.nbits,
            height: wire.height,
        })
    }
}

impl AcceptedShare {
    fn to_wire(self) -> wire::AcceptedShare {
        let share = self.share;
        wire::AcceptedShare {
            job: share.job,
            channel: share.channel,
            sequence: share.sequence,
            extranonce: share.extranonce.as_slice().to_vec(),
            ntime: share.ntime,
            nonce: share.nonce,
            version: share.version,
            worker: share.worker,
            after_ms: share.after_ms,
            work_log2: self.work.to_u128().checked_ilog2().unwrap_or_default(),
            hash_top: self.hash_top,
            block_hash: self.block.map(|hash| hash.0.to_vec()).unwrap_or_default(),
        }
    }

    fn from_wire(
        wire: &wire::AcceptedShare,
        jobs: usize,
        workers: usize,
    ) -> Result<Self, DecodeError> {
        within("share.job", wire.job, jobs)?;
        within("share.worker", wire.worker, workers)?;
        let work = 1_u128
            .checked_shl(wire.work_log2)
            .map(Work::new)
            .ok_or_else(|| DecodeError::field("share.work_log2", "more than 127"))?;
        let block = match wire.block_hash.as_slice() {
            [] => None,
            bytes => Some(BlockHash(
                bytes
                    .try_into()
                    .map_err(|_| DecodeError::field("share.block_hash", "a hash has 32 bytes"))?,
            )),
        };
        let share = Share {
            job: wire.job,
            channel: channel(wire.channel)?,
            sequence: wire.sequence,
            extranonce: rolled(&wire.extranonce)?,
            ntime: wire.ntime,
            nonce: wire.nonce,
            version: wire.version,
            worker: wire.worker,
            after_ms: wire.after_ms,
        };
        Ok(Self { share, work, hash_top: wire.hash_top, block })
    }
}
