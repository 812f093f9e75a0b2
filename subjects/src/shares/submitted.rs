//! Shares that one ingress judged good.

use super::{
    MAX_CHANNEL, MAX_EXTRANONCE_LENGTH, MAX_JOBS, MAX_SHARES, MAX_WORKERS, bounded, epoch_number,
    lane_address, lane_number, lane_subject, name, node_id, wire,
};
use crate::{
    BlockHash, BootEpoch, Codec, DecodeError, Exponent, Lane, NodeId, Payload, Subject, TemplateId,
    Timestamp, UnknownSubject, hexed::write_hex,
};
use prost::Message as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use std::{borrow::Cow, fmt};

/// A batch of shares, judged good by one ingress; nobody in Core has judged it yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "hyperhash.shares.v1.submitted")]
pub struct Submitted {
    /// The node whose ingress took the shares.
    pub node: NodeId,
    /// The ingress's lane.
    pub lane: Lane,
    /// The ingress's start, counted on its lane.
    pub boot_epoch: BootEpoch,
    /// The batch's number in the boot epoch, counted from 0 without gaps.
    pub batch: u64,
    /// When the batch opened, by the ingress's clock.
    pub opened_at: Timestamp,
    /// Worker names that shares refer to by position.
    pub workers: Vec<String>,
    /// Jobs that shares refer to by position.
    pub jobs: Vec<Job>,
    /// The shares, in the order in which the ingress took them. Every `job` and `worker` of theirs
    /// lies within the two lists above.
    pub shares: Vec<Share>,
}

/// What a share was mined on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Job {
    /// Where the work came from.
    pub source: WorkSource,
    /// How the extranonce is rolled.
    pub kind: JobKind,
    /// Exponent of the target, as committed in the coinbase.
    pub exponent: Exponent,
    /// The channel's extranonce prefix: lane, boot epoch, channel, and for standard jobs zeros.
    pub extranonce_prefix: Extranonce,
    /// Length of the whole extranonce in bytes, prefix included.
    pub extranonce_length: u8,
    /// The miner's canonical identity, without the worker's name.
    pub identity: String,
    /// Version bits that the miner was allowed to roll.
    pub version_mask: u32,
}

/// Where work comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkSource {
    /// A template that Core published.
    Template {
        /// Content id of the template.
        template: TemplateId,
        /// The previous block.
        prevhash: BlockHash,
    },
    /// A job that a miner declared and Core published.
    Declared {
        /// Content id of the declared job.
        job: TemplateId,
        /// The previous block.
        prevhash: BlockHash,
    },
}

impl WorkSource {
    /// The block that the work builds on.
    pub const fn prevhash(self) -> BlockHash {
        match self {
            Self::Template { prevhash, .. } | Self::Declared { prevhash, .. } => prevhash,
        }
    }
}

/// How a job rolls its extranonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// The miner rolls the extranonce after the prefix.
    Extended,
    /// The prefix is the whole extranonce: header-only mining.
    Standard,
}

/// Up to 32 bytes of header space, held in place.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extranonce {
    length: u8,
    bytes: [u8; MAX_EXTRANONCE_LENGTH],
}

impl Extranonce {
    /// Copies the bytes; `None` when there are more than 32.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut held = [0; MAX_EXTRANONCE_LENGTH];
        held.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(Self { length: u8::try_from(bytes.len()).ok()?, bytes: held })
    }

    /// Borrows the bytes.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// Number of bytes.
    pub const fn len(&self) -> u8 {
        self.length
    }

    /// Whether there are no bytes.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Debug for Extranonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.as_slice(), f)
    }
}

impl Serialize for Extranonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl JsonSchema for Extranonce {
    fn schema_name() -> Cow<'static, str> {
        "Extranonce".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9a-f]{2}){0,32}$" })
    }
}

/// One share as the miner sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Share {
    /// Position of its job in the batch.
    pub job: u32,
    /// The channel's number: bytes 5 to 7 of the extranonce prefix.
    pub channel: u32,
    /// The miner's sequence number on the channel.
    pub sequence: u32,
    /// What the miner rolled after the prefix; empty on a standard job.
    pub extranonce: Extranonce,
    /// Time in the header, in seconds since 1970.
    pub ntime: u32,
    /// Nonce in the header.
    pub nonce: u32,
    /// Version in the header.
    pub version: u32,
    /// Position of the worker's name in the batch.
    pub worker: u32,
    /// Milliseconds from the opening of the batch to the arrival of the share.
    pub after_ms: u32,
}

impl Payload for Submitted {
    const TYPE: &'static str = "hyperhash.shares.v1.submitted";
    const FILTER: &'static str = "shares.submitted.*.*";
    const FORM: &'static str = "shares.submitted.{node}.{lane}";
    const CODEC: Codec = Codec::Protobuf;
    type Address = (NodeId, Lane);

    fn subject(&self) -> Subject {
        lane_subject(&["shares", "submitted"], &self.node, self.lane)
    }

    fn parse_subject(subject: &str) -> Result<Self::Address, UnknownSubject> {
        lane_address(subject, Self::FORM)
    }

    fn message_id(&self) -> String {
        let Self { node, lane, boot_epoch, batch, .. } = self;
        format!("submitted/{node}/{lane}/{boot_epoch}/{batch}")
    }

    fn encode(&self) -> Vec<u8> {
        wire::Submitted {
            node: self.node.to_string(),
            lane: self.lane.0.into(),
            boot_epoch: self.boot_epoch.0.into(),
            batch: self.batch,
            opened_at_ms: self.opened_at.0,
            workers: self.workers.clone(),
            jobs: self.jobs.iter().map(Job::to_wire).collect(),
            shares: self.shares.iter().map(|share| share.to_wire()).collect(),
        }
        .encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let wire = wire::Submitted::decode(body)?;
        bounded("workers", &wire.workers, MAX_WORKERS)?;
        bounded("jobs", &wire.jobs, MAX_JOBS)?;
        bounded("shares", &wire.shares, MAX_SHARES)?;
        let (jobs, workers) = (wire.jobs.len(), wire.workers.len());
        Ok(Self {
            node: node_id(&wire.node)?,
            lane: lane_number(wire.lane)?,
            boot_epoch: epoch_number(wire.boot_epoch)?,
            batch: wire.batch,
            opened_at: Timestamp(wire.opened_at_ms),
            workers: worker_names(wire.workers)?,
            jobs: wire.jobs.into_iter().map(Job::from_wire).collect::<Result<_, _>>()?,
            shares: wire
                .shares
                .into_iter()
                .map(|share| Share::from_wire(&share, jobs, workers))
                .collect::<Result<_, _>>()?,
        })
    }
}

pub(super) fn worker_names(names: Vec<String>) -> Result<Vec<String>, DecodeError> {
    names.into_iter().map(|text| name("workers", text)).collect()
}

impl Job {
    pub(super) fn to_wire(&self) -> wire::Job {
        let source = match self.source {
            WorkSource::Template { template, prevhash } => {
                wire::WorkSource::Template(wire::TemplateWork {
                    template: template.0.to_vec(),
                    prevhash: prevhash.0.to_vec(),
                })
            }
            WorkSource::Declared { job, prevhash } => {
                wire::WorkSource::Declared(wire::DeclaredWork {
                    job: job.0.to_vec(),
                    prevhash: prevhash.0.to_vec(),
                })
            }
        };
        let kind = match self.kind {
            JobKind::Extended => wire::JobKind::Extended,
            JobKind::Standard => wire::JobKind::Standard,
        };
        wire::Job {
            source: Some(source),
            kind: kind.into(),
            exponent: self.exponent.to_i8().into(),
            extranonce_prefix: self.extranonce_prefix.as_slice().to_vec(),
            extranonce_length: self.extranonce_length.into(),
            identity: self.identity.clone(),
            version_mask: self.version_mask,
        }
    }

    pub(super) fn from_wire(wire: wire::Job) -> Result<Self, DecodeError> {
        let kind = match wire.kind() {
            wire::JobKind::Extended => JobKind::Extended,
            wire::JobKind::Standard => JobKind::Standard,
            wire::JobKind::Unspecified => {
                return Err(DecodeError::field("kind", "neither extended nor standard"));
            }
        };
        let prefix = Extranonce::new(&wire.extranonce_prefix)
            .ok_or_else(|| DecodeError::field("extranonce_prefix", "longer than 32 bytes"))?;
        let length = u8::try_from(wire.extranonce_length)
            .ok()
            .filter(|length| {
                usize::from(*length) <= MAX_EXTRANONCE_LENGTH && *length >= prefix.len()
            })
            .ok_or_else(|| {
                DecodeError::field("extranonce_length", "shorter than the prefix, or over 32")
            })?;
        Ok(Self {
            source: work_source(wire.source)?,
            kind,
            exponent: Exponent::new(wire.exponent.into())
                .map_err(|error| DecodeError::field("exponent", error))?,
            extranonce_prefix: prefix,
            extranonce_length: length,
            identity: name("identity", wire.identity)?,
            version_mask: wire.version_mask,
        })
    }
}

fn work_source(source: Option<wire::WorkSource>) -> Result<WorkSource, DecodeError> {
    let id = |bytes: Vec<u8>| {
        let id = bytes.try_into().map_err(|_| DecodeError::field("source", "an id has 16 bytes"));
        id.map(TemplateId)
    };
    let prevhash = |bytes: Vec<u8>| {
        let hash = bytes.try_into();
        hash.map(BlockHash).map_err(|_| DecodeError::field("prevhash", "a hash has 32 bytes"))
    };
    match source {
        Some(wire::WorkSource::Template(work)) => Ok(WorkSource::Template {
            template: id(work.template)?,
            prevhash: prevhash(work.prevhash)?,
        }),
        Some(wire::WorkSource::Declared(work)) => {
            Ok(WorkSource::Declared { job: id(work.job)?, prevhash: prevhash(work.prevhash)? })
        }
        None => Err(DecodeError::field("source", "missing")),
    }
}

impl Share {
    fn to_wire(self) -> wire::Share {
        wire::Share {
            job: self.job,
            channel: self.channel,
            sequence: self.sequence,
            extranonce: self.extranonce.as_slice().to_vec(),
            ntime: self.ntime,
            nonce: self.nonce,
            version: self.version,
            worker: self.worker,
            after_ms: self.after_ms,
        }
    }

    fn from_wire(wire: &wire::Share, jobs: usize, workers: usize) -> Result<Self, DecodeError> {
        within("share.job", wire.job, jobs)?;
        within("share.worker", wire.worker, workers)?;
        Ok(Self {
            job: wire.job,
            channel: channel(wire.channel)?,
            sequence: wire.sequence,
            extranonce: rolled(&wire.extranonce)?,
            ntime: wire.ntime,
            nonce: wire.nonce,
            version: wire.version,
            worker: wire.worker,
            after_ms: wire.after_ms,
        })
    }
}

pub(super) fn within(field: &'static str, index: u32, length: usize) -> Result<(), DecodeError> {
    if usize::try_from(index).is_ok_and(|index| index < length) {
        return Ok(());
    }
    Err(DecodeError::field(field, format!("position {index} in a list of {length}")))
}

pub(super) fn channel(channel: u32) -> Result<u32, DecodeError> {
    if channel > MAX_CHANNEL {
        return Err(DecodeError::field("share.channel", "a channel number has three bytes"));
    }
    Ok(channel)
}

pub(super) fn rolled(bytes: &[u8]) -> Result<Extranonce, DecodeError> {
    Extranonce::new(bytes)
        .ok_or_else(|| DecodeError::field("share.extranonce", "longer than 32 bytes"))
}
