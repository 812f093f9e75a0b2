//! The bytes of share messages: protocol buffers, proto3. The committed `.proto` is generated from
//! these types; within `v1` fields are only ever added.

/// `shares.submitted.{node}.{lane}`: shares that one ingress judged good, with all that is needed
/// to judge them again.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Submitted {
    /// The node whose ingress took the shares.
    #[prost(string, tag = "1")]
    pub node: String,
    /// The ingress's lane.
    #[prost(uint32, tag = "2")]
    pub lane: u32,
    /// The ingress's start, counted on its lane.
    #[prost(uint32, tag = "3")]
    pub boot_epoch: u32,
    /// The batch's number in the boot epoch, counted from 0 without gaps.
    #[prost(uint64, tag = "4")]
    pub batch: u64,
    /// When the batch opened by the ingress's clock, in milliseconds since 1970.
    #[prost(uint64, tag = "5")]
    pub opened_at_ms: u64,
    /// Worker names that shares refer to by position.
    #[prost(string, repeated, tag = "6")]
    pub workers: Vec<String>,
    /// Jobs that shares refer to by position.
    #[prost(message, repeated, tag = "7")]
    pub jobs: Vec<Job>,
    /// The shares, in the order in which the ingress took them.
    #[prost(message, repeated, tag = "8")]
    pub shares: Vec<Share>,
}

/// What a share was mined on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Job {
    /// Where the work came from.
    #[prost(oneof = "WorkSource", tags = "1, 2")]
    pub source: Option<WorkSource>,
    /// Extended or standard.
    #[prost(enumeration = "JobKind", tag = "3")]
    pub kind: i32,
    /// Exponent `k` of the target, as committed in the coinbase.
    #[prost(sint32, tag = "4")]
    pub exponent: i32,
    /// The channel's extranonce prefix: lane, boot epoch, channel.
    #[prost(bytes = "vec", tag = "5")]
    pub extranonce_prefix: Vec<u8>,
    /// Length of the whole extranonce in bytes, prefix included.
    #[prost(uint32, tag = "6")]
    pub extranonce_length: u32,
    /// The miner's canonical identity, without the worker's name.
    #[prost(string, tag = "7")]
    pub identity: String,
    /// Version bits that the miner was allowed to roll.
    #[prost(fixed32, tag = "8")]
    pub version_mask: u32,
}

/// Where work comes from.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum WorkSource {
    /// A template that Core published.
    #[prost(message, tag = "1")]
    Template(TemplateWork),
    /// A job that the miner declared and Core published.
    #[prost(message, tag = "2")]
    Declared(DeclaredWork),
}

/// Work on a published template.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TemplateWork {
    /// Content id of the template, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub template: Vec<u8>,
    /// The previous block, 32 bytes in header order.
    #[prost(bytes = "vec", tag = "2")]
    pub prevhash: Vec<u8>,
}

/// Work on a declared job.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeclaredWork {
    /// Content id of the declared job, 16 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub job: Vec<u8>,
    /// The previous block, 32 bytes in header order.
    #[prost(bytes = "vec", tag = "2")]
    pub prevhash: Vec<u8>,
}

/// How a job rolls its extranonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum JobKind {
    /// Not said; refused.
    Unspecified = 0,
    /// The miner rolls the extranonce after the prefix.
    Extended = 1,
    /// The prefix is the whole extranonce: header-only mining.
    Standard = 2,
}

/// One share as the miner sent it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Share {
    /// Position of its job in the batch.
    #[prost(uint32, tag = "1")]
    pub job: u32,
    /// The channel's number: bytes 5 to 7 of the extranonce prefix.
    #[prost(uint32, tag = "2")]
    pub channel: u32,
    /// The miner's sequence number on the channel.
    #[prost(uint32, tag = "3")]
    pub sequence: u32,
    /// What the miner rolled after the prefix.
    #[prost(bytes = "vec", tag = "4")]
    pub extranonce: Vec<u8>,
    /// Time in the header, in seconds since 1970.
    #[prost(fixed32, tag = "5")]
    pub ntime: u32,
    /// Nonce in the header.
    #[prost(fixed32, tag = "6")]
    pub nonce: u32,
    /// Version in the header.
    #[prost(fixed32, tag = "7")]
    pub version: u32,
    /// Position of the worker's name in the batch.
    #[prost(uint32, tag = "8")]
    pub worker: u32,
    /// Milliseconds from the opening of the batch to the arrival of the share.
    #[prost(uint32, tag = "9")]
    pub after_ms: u32,
}

/// `shares.accepted.{node}.{lane}`: shares that count, in the order of accounting.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Accepted {
    /// The node whose ingress took the shares.
    #[prost(string, tag = "1")]
    pub node: String,
    /// The ingress's lane.
    #[prost(uint32, tag = "2")]
    pub lane: u32,
    /// The ingress's start, counted on its lane.
    #[prost(uint32, tag = "3")]
    pub boot_epoch: u32,
    /// The batch's number in the boot epoch.
    #[prost(uint64, tag = "4")]
    pub batch: u64,
    /// When the batch opened by the ingress's clock, in milliseconds since 1970.
    #[prost(uint64, tag = "5")]
    pub opened_at_ms: u64,
    /// Worker names that shares refer to by position.
    #[prost(string, repeated, tag = "6")]
    pub workers: Vec<String>,
    /// Jobs that shares refer to by position.
    #[prost(message, repeated, tag = "7")]
    pub jobs: Vec<AcceptedJob>,
    /// The shares.
    #[prost(message, repeated, tag = "8")]
    pub shares: Vec<AcceptedShare>,
    /// Position of this message among those of its batch, counted from 0: a message ends at a
    /// solving share.
    #[prost(uint32, tag = "9")]
    pub part: u32,
    /// How many of the submitted batch's shares are dealt with by this and earlier parts.
    #[prost(uint32, tag = "10")]
    pub resume_at: u32,
}

/// A job of accepted shares, and what Core knows of it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AcceptedJob {
    /// The job as submitted.
    #[prost(message, optional, tag = "1")]
    pub job: Option<Job>,
    /// Who is credited: canonical script of the address, or hash of the key.
    #[prost(bytes = "vec", tag = "2")]
    pub miner: Vec<u8>,
    /// Compact target of the block that the job could become.
    #[prost(fixed32, tag = "3")]
    pub nbits: u32,
    /// Its height.
    #[prost(uint32, tag = "4")]
    pub height: u32,
}

/// A share that counts. Fields 1 to 9 are those of the submitted share.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AcceptedShare {
    /// Position of its job in the message.
    #[prost(uint32, tag = "1")]
    pub job: u32,
    /// The channel's number: bytes 5 to 7 of the extranonce prefix.
    #[prost(uint32, tag = "2")]
    pub channel: u32,
    /// The miner's sequence number on the channel.
    #[prost(uint32, tag = "3")]
    pub sequence: u32,
    /// What the miner rolled after the prefix.
    #[prost(bytes = "vec", tag = "4")]
    pub extranonce: Vec<u8>,
    /// Time in the header, in seconds since 1970.
    #[prost(fixed32, tag = "5")]
    pub ntime: u32,
    /// Nonce in the header.
    #[prost(fixed32, tag = "6")]
    pub nonce: u32,
    /// Version in the header.
    #[prost(fixed32, tag = "7")]
    pub version: u32,
    /// Position of the worker's name in the message.
    #[prost(uint32, tag = "8")]
    pub worker: u32,
    /// Milliseconds from the opening of the batch to the arrival of the share.
    #[prost(uint32, tag = "9")]
    pub after_ms: u32,
    /// Credited work is 2 to this power, in nominal hashes.
    #[prost(uint32, tag = "10")]
    pub work_log2: u32,
    /// The eight most significant bytes of the hash as a number: smaller is luckier.
    #[prost(fixed64, tag = "11")]
    pub hash_top: u64,
    /// Hash of the block in header order, if the share solves one; empty otherwise.
    #[prost(bytes = "vec", tag = "12")]
    pub block_hash: Vec<u8>,
}

/// `shares.refused.{node}.{lane}`: shares that do not count, said by Core.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refused {
    /// The node on whose subject the shares came.
    #[prost(string, tag = "1")]
    pub node: String,
    /// The lane on whose subject the shares came.
    #[prost(uint32, tag = "2")]
    pub lane: u32,
    /// The ingress's start, as the batch claims.
    #[prost(uint32, tag = "3")]
    pub boot_epoch: u32,
    /// The batch's number, as it claims.
    #[prost(uint64, tag = "4")]
    pub batch: u64,
    /// When the batch opened by the ingress's clock, in milliseconds since 1970.
    #[prost(uint64, tag = "5")]
    pub opened_at_ms: u64,
    /// What was wrong with which share.
    #[prost(message, repeated, tag = "6")]
    pub refusals: Vec<Refusal>,
}

/// What was wrong with one share.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refusal {
    /// The share's position in the submitted batch.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    /// The channel's number.
    #[prost(uint32, tag = "2")]
    pub channel: u32,
    /// The miner's sequence number on the channel.
    #[prost(uint32, tag = "3")]
    pub sequence: u32,
    /// The identity that the batch names.
    #[prost(string, tag = "4")]
    pub identity: String,
    /// The worker's name.
    #[prost(string, tag = "5")]
    pub worker: String,
    /// Why, e.g. `duplicate-share`.
    #[prost(string, tag = "6")]
    pub reason: String,
}
