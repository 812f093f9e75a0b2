//! `templates.*`: what a bitcoind would have us mine, in the terms of Stratum V2 template
//! distribution (`NewTemplate`, `SetNewPrevHash`) plus what Core decides: the coinbase rule.
//!
//! In the stream a tip never precedes the template that it activates.

use crate::{
    BlockHash, Codec, DecodeError, HexBytes, InvalidToken, Payload, ProviderId, Sats, Subject,
    TemplateId, Timestamp, UnknownSubject,
    hexed::write_hex,
    payload::{encode_json, tokens_of},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most transactions' hashes on the path from the coinbase to the merkle root: 2^32 transactions
/// do not fit a block.
pub const MAX_MERKLE_PATH: usize = 32;

/// Longest tag in the coinbase, in bytes.
pub const MAX_TAG_LENGTH: usize = 24;

/// A template that shares may be mined on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.templates.v1.new")]
pub struct New {
    /// Who made it.
    pub provider: ProviderId,
    /// The publisher's session, in which `template` is unique: when it began.
    pub session: Timestamp,
    /// The template's number in the session, counted from 1.
    pub template: u64,
    /// Height of the block that the template would become.
    pub height: u32,
    /// The block that it builds on; absent in a template that was prepared for a tip not yet
    /// known, which is then activated by a [`Tip`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prevhash: Option<BlockHash>,
    /// Subsidy `S` of the height, in satoshis.
    pub subsidy: Sats,
    /// Sum `F` of the fees of the template's transactions, in satoshis.
    pub fees: Sats,
    /// Block version with the mask's bits cleared.
    pub version: u32,
    /// First bytes of the coinbase's scriptSig: the BIP 34 push of the height.
    pub coinbase_prefix: HexBytes,
    /// Version of the coinbase transaction.
    pub tx_version: u32,
    /// Sequence of the coinbase's input.
    pub input_sequence: u32,
    /// Lock time of the coinbase transaction.
    pub locktime: u32,
    /// Outputs that follow ours: always the witness commitment (BIP 141), also when empty.
    pub coinbase_outputs: Vec<Output>,
    /// Hashes from the coinbase to the merkle root, lowest first, in header byte order.
    pub merkle_path: Vec<MerkleHash>,
    /// What every coinbase on this template must look like.
    pub coinbase_rule: CoinbaseRule,
}

/// One output of the coinbase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Value in satoshis.
    pub value: Sats,
    /// The `scriptPubKey`.
    pub script: HexBytes,
}

/// An inner node of the merkle tree, in the byte order that is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MerkleHash(pub [u8; 32]);

impl std::fmt::Display for MerkleHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_hex(&self.0, f)
    }
}

impl Serialize for MerkleHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MerkleHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = HexBytes::deserialize(deserializer)?;
        bytes
            .0
            .try_into()
            .map(Self)
            .map_err(|_| serde::de::Error::custom("a merkle hash has 64 hexadecimal digits"))
    }
}

impl JsonSchema for MerkleHash {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MerkleHash".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
    }
}

/// What Core decided about every coinbase on a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoinbaseRule {
    /// Version of the rules: layout of the scriptSig, dust constants, order of the outputs.
    pub rules_version: u16,
    /// Script that output 0 pays the subsidy to.
    pub treasury_script: HexBytes,
    /// Text that stands before the exponent in the scriptSig, at most [`MAX_TAG_LENGTH`] bytes.
    pub tag: String,
    /// Version bits that miners may roll (BIP 323).
    pub version_mask: u32,
}

/// A new tip, and the template that it activates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.templates.v1.tip")]
pub struct Tip {
    /// Who saw it.
    pub provider: ProviderId,
    /// The publisher's session.
    pub session: Timestamp,
    /// Hash of the tip: what the next block's header names as its previous block.
    pub prevhash: BlockHash,
    /// Height of the block to be mined on the tip.
    pub height: u32,
    /// Compact target of the block to be mined.
    pub nbits: u32,
    /// Least time the next header may carry, in seconds since 1970.
    pub min_ntime: u32,
    /// The template to mine on from now.
    pub template: TemplateId,
}

/// How a provider is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.templates.v1.health")]
pub struct Health {
    /// Whose health it is.
    pub provider: ProviderId,
    /// When it was measured.
    pub at: Timestamp,
    /// Whether templates may be built on it.
    pub usable: bool,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Height of its tip.
    pub tip_height: u32,
    /// Blocks that its tip is behind the best tip known to the publisher.
    pub tip_lag_blocks: u32,
    /// Time of its last `getblocktemplate`, in milliseconds.
    pub template_latency_ms: u32,
    /// Transactions in its mempool.
    pub mempool_transactions: u64,
    /// Transactions in its last template.
    pub template_transactions: u32,
    /// Failed calls since the publisher started.
    pub rpc_errors_total: u64,
}

macro_rules! provider_payload {
    ($name:ident, $type:literal, $filter:literal, $form:literal, $middle:literal, $id:expr) => {
        impl Payload for $name {
            const TYPE: &'static str = $type;
            const FILTER: &'static str = $filter;
            const FORM: &'static str = $form;
            const CODEC: Codec = Codec::Json;
            type Address = ProviderId;

            fn subject(&self) -> Subject {
                Subject::join(&[&"templates", &$middle, &self.provider])
            }

            fn parse_subject(subject: &str) -> Result<ProviderId, UnknownSubject> {
                let [provider] = tokens_of(subject, Self::FORM)?;
                provider.parse().map_err(|_: InvalidToken| UnknownSubject {
                    subject: subject.to_owned(),
                    expected: Self::FORM,
                })
            }

            fn message_id(&self) -> String {
                let id: fn(&Self) -> String = $id;
                id(self)
            }

            fn encode(&self) -> Vec<u8> {
                encode_json(self)
            }

            fn decode(body: &[u8]) -> Result<Self, DecodeError> {
                let value: Self = serde_json::from_slice(body)?;
                value.check()?;
                Ok(value)
            }
        }
    };
}

provider_payload!(
    New,
    "hyperhash.templates.v1.new",
    "templates.new.*",
    "templates.new.{provider}",
    "new",
    |new| format!("template/{}/{}/{}", new.provider, new.session.0, new.template)
);
provider_payload!(
    Tip,
    "hyperhash.templates.v1.tip",
    "templates.tip.*",
    "templates.tip.{provider}",
    "tip",
    |tip| format!("tip/{}/{}/{}/{}", tip.provider, tip.session.0, tip.prevhash, tip.template)
);
provider_payload!(
    Health,
    "hyperhash.templates.v1.health",
    "templates.health.*",
    "templates.health.{provider}",
    "health",
    |health| format!("template-health/{}/{}", health.provider, health.at.0)
);

impl New {
    /// What shares call this template by.
    pub fn id(&self) -> TemplateId {
        TemplateId::of_payload(&self.encode())
    }

    fn check(&self) -> Result<(), DecodeError> {
        if self.merkle_path.len() > MAX_MERKLE_PATH {
            return Err(DecodeError::field("merkle_path", "more than 32 hashes"));
        }
        if self.coinbase_rule.tag.len() > MAX_TAG_LENGTH {
            return Err(DecodeError::field("coinbase_rule.tag", "longer than 24 bytes"));
        }
        if self.subsidy.checked_add(self.fees).is_none() {
            return Err(DecodeError::field("fees", "subsidy and fees exceed the supply"));
        }
        Ok(())
    }
}

impl Tip {
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "same form as its siblings")]
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl Health {
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "same form as its siblings")]
    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}
