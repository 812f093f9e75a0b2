//! `blocks.*`: from "I think this solves a block" to its one final outcome.

use crate::{
    BlockHash, Codec, DecodeError, HexBytes, InvalidToken, NodeId, Payload, ProviderId, Sats,
    Subject, TemplateId, Timestamp, UnknownSubject,
    payload::{encode_json, tokens_of},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Length of a block header in bytes.
pub const HEADER_LENGTH: usize = 80;

/// Longest coinbase transaction that a claim may carry, in bytes; ours have about 300.
pub const MAX_COINBASE_LENGTH: usize = 16_384;

/// An ingress thinks that this solves a block. Hostile until checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.blocks.v1.claimed")]
pub struct Claimed {
    /// The node whose ingress took the share.
    pub node: NodeId,
    /// Hash of the header.
    pub hash: BlockHash,
    /// The 80 bytes of the header.
    pub header: HexBytes,
    /// The coinbase transaction with its witness, as it goes into the block.
    pub coinbase: HexBytes,
    /// The template whose transactions complete the block.
    pub template: TemplateId,
    /// Whose template it is.
    pub provider: ProviderId,
}

/// A block of ours whose proof of work Core has checked.
///
/// A pure function of header, coinbase and template, so that everybody who finds it says the same
/// bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.blocks.v1.solved")]
pub struct Solved {
    /// Hash of the header.
    pub hash: BlockHash,
    /// Height that the coinbase commits to.
    pub height: u32,
    /// The 80 bytes of the header.
    pub header: HexBytes,
    /// The coinbase transaction with its witness.
    pub coinbase: HexBytes,
    /// The template whose transactions complete the block.
    pub template: TemplateId,
    /// Whose template it is.
    pub provider: ProviderId,
    /// Subsidy `S`.
    pub subsidy: Sats,
    /// Fees `F`.
    pub fees: Sats,
}

/// What one bitcoind said to a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.blocks.v1.submitted")]
pub struct Submitted {
    /// The block.
    pub hash: BlockHash,
    /// Whose bitcoind was asked.
    pub provider: ProviderId,
    /// What it answered.
    pub answer: Answer,
    /// bitcoind's own words, e.g. `bad-txnmrklroot`; absent when it took the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the answer came.
    pub at: Timestamp,
    /// From hearing of the block to the answer, in milliseconds.
    pub latency_ms: u32,
}

/// bitcoind's answer to `submitblock` (BIP 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Taken, and the best tip there.
    Accepted,
    /// It had the block already.
    Duplicate,
    /// Valid, but not on the best chain.
    Inconclusive,
    /// Not a valid block.
    Rejected,
}

/// The one final outcome of a block of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.blocks.v1.outcome")]
pub struct Outcome {
    /// The block.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// How it ended.
    pub result: BlockResult,
}

/// How a block ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BlockResult {
    /// On the best chain at depth `payout_confirmations`.
    Confirmed,
    /// Another block of its height is on the best chain at that depth.
    Orphaned,
    /// No bitcoind took it.
    Refused,
}

fn hash_token(subject: &str, form: &'static str) -> Result<BlockHash, UnknownSubject> {
    let [hash] = tokens_of(subject, form)?;
    hash.parse().map_err(|_| UnknownSubject { subject: subject.to_owned(), expected: form })
}

fn check_header(header: &HexBytes, coinbase: &HexBytes) -> Result<(), DecodeError> {
    if header.0.len() != HEADER_LENGTH {
        return Err(DecodeError::field("header", "a header has 80 bytes"));
    }
    if coinbase.0.len() > MAX_COINBASE_LENGTH {
        return Err(DecodeError::field("coinbase", "longer than 16384 bytes"));
    }
    Ok(())
}

impl Payload for Claimed {
    const TYPE: &'static str = "hyperhash.blocks.v1.claimed";
    const FILTER: &'static str = "blocks.claimed.*";
    const FORM: &'static str = "blocks.claimed.{node}";
    const CODEC: Codec = Codec::Json;
    type Address = NodeId;

    fn subject(&self) -> Subject {
        Subject::join(&[&"blocks", &"claimed", &self.node])
    }

    fn parse_subject(subject: &str) -> Result<NodeId, UnknownSubject> {
        let [node] = tokens_of(subject, Self::FORM)?;
        node.parse().map_err(|_: InvalidToken| UnknownSubject {
            subject: subject.to_owned(),
            expected: Self::FORM,
        })
    }

    fn message_id(&self) -> String {
        format!("claimed/{}/{}", self.node, self.hash)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let claim: Self = serde_json::from_slice(body)?;
        check_header(&claim.header, &claim.coinbase)?;
        Ok(claim)
    }
}

impl Payload for Solved {
    const TYPE: &'static str = "hyperhash.blocks.v1.solved";
    const FILTER: &'static str = "blocks.solved.*";
    const FORM: &'static str = "blocks.solved.{hash}";
    const CODEC: Codec = Codec::Json;
    type Address = BlockHash;

    fn subject(&self) -> Subject {
        Subject::join(&[&"blocks", &"solved", &self.hash])
    }

    fn parse_subject(subject: &str) -> Result<BlockHash, UnknownSubject> {
        hash_token(subject, Self::FORM)
    }

    fn message_id(&self) -> String {
        format!("solved/{}", self.hash)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let solved: Self = serde_json::from_slice(body)?;
        check_header(&solved.header, &solved.coinbase)?;
        Ok(solved)
    }
}

impl Payload for Submitted {
    const TYPE: &'static str = "hyperhash.blocks.v1.submitted";
    const FILTER: &'static str = "blocks.submitted.*.*";
    const FORM: &'static str = "blocks.submitted.{hash}.{provider}";
    const CODEC: Codec = Codec::Json;
    type Address = (BlockHash, ProviderId);

    fn subject(&self) -> Subject {
        Subject::join(&[&"blocks", &"submitted", &self.hash, &self.provider])
    }

    fn parse_subject(subject: &str) -> Result<Self::Address, UnknownSubject> {
        let refuse = || UnknownSubject { subject: subject.to_owned(), expected: Self::FORM };
        let [hash, provider] = tokens_of(subject, Self::FORM)?;
        Ok((hash.parse().map_err(|_| refuse())?, provider.parse().map_err(|_| refuse())?))
    }

    fn message_id(&self) -> String {
        format!("submitted/{}/{}", self.hash, self.provider)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(body)?)
    }
}

impl Payload for Outcome {
    const TYPE: &'static str = "hyperhash.blocks.v1.outcome";
    const FILTER: &'static str = "blocks.outcome.*";
    const FORM: &'static str = "blocks.outcome.{hash}";
    const CODEC: Codec = Codec::Json;
    type Address = BlockHash;

    fn subject(&self) -> Subject {
        Subject::join(&[&"blocks", &"outcome", &self.hash])
    }

    fn parse_subject(subject: &str) -> Result<BlockHash, UnknownSubject> {
        hash_token(subject, Self::FORM)
    }

    fn message_id(&self) -> String {
        format!("outcome/{}", self.hash)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(body)?)
    }
}
