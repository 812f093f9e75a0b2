//! `payouts.*`: what a confirmed block pays, to the satoshi, signed.

use crate::{
    BlockHash, Codec, DecodeError, HexBytes, MinerId, Payload, Sats, Subject, UnknownSubject, Work,
    payload::{encode_json, tokens_of},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A signed statement: a flattened JWS (RFC 7515 section 7.2.2) over the canonical JSON (RFC 8785)
/// of a [`BlockStatement`], and the statement's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.payouts.v1.statement")]
pub struct Statement {
    /// `block-<height>.<revision>`.
    pub id: StatementId,
    /// base64url of the canonical body.
    pub payload: String,
    /// base64url of the protected header: `alg` (`EdDSA`), `kid`, `iat`, `exp`.
    pub protected: String,
    /// base64url of the Ed25519 signature over `protected.payload`.
    pub signature: String,
}

/// A statement's id, e.g. `block-840000.0`. As a subject token the dot separates its two parts.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct StatementId {
    /// Height of the block.
    pub height: u32,
    /// 0, or the number of the correction.
    pub revision: u32,
}

impl std::fmt::Display for StatementId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "block-{}.{}", self.height, self.revision)
    }
}

impl From<StatementId> for String {
    fn from(id: StatementId) -> Self {
        id.to_string()
    }
}

impl std::str::FromStr for StatementId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (height, revision) = text.strip_prefix("block-")?.split_once('.')?;
            Some(Self { height: height.parse().ok()?, revision: revision.parse().ok()? })
        };
        let id = parse().filter(|id| id.to_string() == text);
        id.ok_or_else(|| format!("`{text}` is not a statement id like `block-840000.0`"))
    }
}

impl TryFrom<String> for StatementId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The body of a block's statement: a pure function of slices, outcome and rule, without a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.payouts.v1.block-statement")]
pub struct BlockStatement {
    /// The statement's id.
    pub id: StatementId,
    /// Version of the rules that computed it.
    pub rules_version: u16,
    /// How the subsidy is split.
    pub reward_rule: RewardRule,
    /// The block.
    pub block_hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// `S`, the subsidy.
    pub subsidy: Sats,
    /// `F`, the fees.
    pub fees: Sats,
    /// `T`, the treasury's part of the subsidy.
    pub treasury: Sats,
    /// `N`, the nodes' part of the subsidy.
    pub nodes: Sats,
    /// `M`, the miners' part of the subsidy.
    pub miners: Sats,
    /// The shares that are paid.
    pub window: Window,
    /// Who gets the fees, and how.
    pub finder: Finder,
    /// Who gets what of `M`, in ascending order of the miner id.
    pub payees: Vec<Payee>,
}

/// How the miners' part is split (money rules, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RewardRule {
    /// Over the smallest run of whole slices that ends with the block's and holds at least
    /// `factor` times the network work of the block.
    Window {
        /// How many times the network work.
        factor: u32,
    },
    /// Over all slices after those of the previous confirmed block.
    Round,
}

/// The run of slices that a statement pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Incarnation of `SHARES`, in milliseconds since 1970.
    pub incarnation: u64,
    /// First slice.
    pub first_slice: u64,
    /// Last slice: the block's own.
    pub last_slice: u64,
    /// First sequence in `SHARES`.
    pub first_sequence: u64,
    /// Last sequence in `SHARES`.
    pub last_sequence: u64,
    /// Head of the hash chain before the first message.
    pub chain_start: HexBytes,
    /// Head of the hash chain after the last one.
    pub chain_end: HexBytes,
    /// Merkle-sum root of every slice, in order.
    pub lines_roots: Vec<HexBytes>,
    /// Sum of the credited work.
    pub work: Work,
    /// Number of shares.
    pub shares: u64,
}

/// Who found the block, and how the fees reach them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finder {
    /// The miner.
    pub miner: MinerId,
    /// The canonical identity.
    pub identity: String,
    /// The fees.
    pub amount: Sats,
    /// How they are paid.
    pub paid_by: FeesPaidBy,
}

/// How the finder gets the fees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeesPaidBy {
    /// The block's own coinbase paid them.
    Coinbase,
    /// The coinbase paid them to the treasury, because they are dust or the identity has no
    /// address; the ledger credits them.
    Ledger,
}

/// One payee of the miners' part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Payee {
    /// The miner.
    pub miner: MinerId,
    /// Credited work in the window.
    pub work: Work,
    /// What it pays.
    pub amount: Sats,
}

impl Statement {
    /// Reads the body. Says nothing about the signature.
    pub fn body(&self) -> Result<BlockStatement, DecodeError> {
        let bytes = URL_SAFE_NO_PAD
            .decode(&self.payload)
            .map_err(|error| DecodeError::field("payload", error))?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

impl Payload for Statement {
    const TYPE: &'static str = "hyperhash.payouts.v1.statement";
    const FILTER: &'static str = "payouts.statement.*.*";
    const FORM: &'static str = "payouts.statement.{id}.{revision}";
    const CODEC: Codec = Codec::Json;
    type Address = StatementId;

    fn subject(&self) -> Subject {
        Subject::join(&[&"payouts", &"statement", &self.id])
    }

    fn parse_subject(subject: &str) -> Result<StatementId, UnknownSubject> {
        let [id, revision] = tokens_of(subject, Self::FORM)?;
        format!("{id}.{revision}")
            .parse()
            .map_err(|_| UnknownSubject { subject: subject.to_owned(), expected: Self::FORM })
    }

    fn message_id(&self) -> String {
        format!("statement/{}", self.id)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(body)?)
    }
}
