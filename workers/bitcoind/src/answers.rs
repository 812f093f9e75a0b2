//! bitcoind's answers, as far as we read them. Fields that we do not name are ignored.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};
use subjects::{BlockHash, HexBytes};

/// Where a node stands, read at one moment: all of it belongs to the tip `best`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    /// The chain's name: `main`, `signet`, …
    pub chain: String,
    /// Height of the tip.
    pub blocks: u32,
    /// Height of the best header; blocks between it and the tip are not validated yet.
    pub headers: u32,
    /// Hash of the tip.
    pub best: BlockHash,
    /// Time in the tip's header, in seconds since 1970.
    pub time: u32,
    /// Median time of the last eleven blocks, in seconds since 1970.
    pub median_time: u32,
    /// Whether the node says that it is still downloading the chain.
    pub initial_block_download: bool,
    /// The challenge of a signet (BIP 325).
    pub signet_challenge: Option<HexBytes>,
    /// Compact target of the next block.
    pub next_nbits: u32,
    /// Transactions in the mempool.
    pub mempool_transactions: u64,
}

impl NodeState {
    /// Height of the block to be mined on the tip.
    pub const fn next_height(&self) -> u32 {
        self.blocks.saturating_add(1)
    }
}

/// `getblockchaininfo`.
#[derive(Debug, Deserialize)]
pub(crate) struct ChainInfo {
    pub(crate) chain: String,
    pub(crate) blocks: u32,
    pub(crate) headers: u32,
    pub(crate) bestblockhash: BlockHash,
    pub(crate) time: u32,
    pub(crate) mediantime: u32,
    pub(crate) initialblockdownload: bool,
    #[serde(default)]
    pub(crate) signet_challenge: Option<HexBytes>,
}

/// `getmininginfo`; `next` is there since version 29.
#[derive(Debug, Deserialize)]
pub(crate) struct MiningInfo {
    pub(crate) pooledtx: u64,
    #[serde(default)]
    pub(crate) next: Option<NextBlock>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NextBlock {
    pub(crate) height: u32,
    #[serde(deserialize_with = "compact_target")]
    pub(crate) bits: u32,
}

/// One entry of `getdeploymentinfo`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Deployment {
    /// `buried`, `bip9`, or a kind that only some nodes know, e.g. `flagday`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Whether its rules are enforced for the next block.
    #[serde(default)]
    pub active: bool,
    /// The height from which its rules are enforced, where that is known.
    #[serde(default)]
    pub height: Option<i64>,
}

/// The consensus changes that a node knows of, by name: `getdeploymentinfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployments(pub BTreeMap<String, Deployment>);

#[derive(Deserialize)]
struct DeploymentInfo {
    deployments: BTreeMap<String, Deployment>,
    /// Knots tells its change of the proof of work beside the others.
    #[serde(flatten)]
    beside: BTreeMap<String, Value>,
}

impl<'de> Deserialize<'de> for Deployments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let DeploymentInfo { mut deployments, beside } = DeploymentInfo::deserialize(deserializer)?;
        for (name, value) in beside {
            // `hash` and `height` of the block that was asked about are no objects.
            if value.is_object() {
                let deployment = Deployment::deserialize(value).map_err(D::Error::custom)?;
                deployments.insert(name, deployment);
            }
        }
        Ok(Self(deployments))
    }
}

/// `getblockheader`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Height of the block.
    pub height: u32,
    /// Blocks from it to the tip, both included; -1 when it is not on the best chain.
    pub confirmations: i64,
    /// The block before it; absent in the block of height 0.
    #[serde(default, rename = "previousblockhash")]
    pub parent: Option<BlockHash>,
}

/// `getblocktemplate` (BIP 22, BIP 23, BIP 145).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BlockTemplate {
    /// Block version.
    pub version: i32,
    /// Rules that the block must obey; those with a leading `!` must be understood (BIP 9).
    pub rules: Vec<String>,
    /// Version bits that must be set.
    #[serde(default, rename = "vbrequired")]
    pub required_version_bits: u32,
    /// The block that it builds on.
    #[serde(rename = "previousblockhash")]
    pub prevhash: BlockHash,
    /// Transactions after the coinbase, in block order.
    pub transactions: Vec<TemplateTransaction>,
    /// Subsidy and fees, in satoshis.
    #[serde(rename = "coinbasevalue")]
    pub coinbase_value: u64,
    /// What to hand in to wait for a change.
    #[serde(rename = "longpollid")]
    pub longpoll_id: String,
    /// Least time in the header, in seconds since 1970.
    #[serde(rename = "mintime")]
    pub min_ntime: u32,
    /// Compact target.
    #[serde(rename = "bits", deserialize_with = "compact_target")]
    pub nbits: u32,
    /// Height of the block.
    pub height: u32,
    /// Script of the witness commitment (BIP 141), if the node computed one.
    #[serde(default, rename = "default_witness_commitment")]
    pub witness_commitment: Option<HexBytes>,
}

/// One transaction of a template.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TemplateTransaction {
    /// The whole transaction with its witness, in hexadecimal.
    pub data: String,
    /// Its id, in the byte order that is hashed.
    #[serde(deserialize_with = "reversed_hash")]
    pub txid: [u8; 32],
    /// Its id with the witness, in the byte order that is hashed.
    #[serde(rename = "hash", deserialize_with = "reversed_hash")]
    pub wtxid: [u8; 32],
    /// Its fee in satoshis, where the node tells it.
    #[serde(default)]
    pub fee: Option<i64>,
}

/// What bitcoind said to `submitblock` (BIP 22), `None` being its `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitAnswer(pub Option<String>);

fn compact_target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    u32::from_str_radix(&text, 16).map_err(D::Error::custom)
}

fn reversed_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    // The text form of a transaction's id is reversed in the same way as a block's.
    BlockHash::deserialize(deserializer).map(|hash| hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments_are_found_wherever_a_node_tells_them() {
        let read = |text| serde_json::from_str::<Deployments>(text).unwrap().0;
        let knots = read(include_str!("../tests/fixtures/deployments-knots-main.json"));
        let blake2b = Deployment { kind: String::new(), active: false, height: Some(961_640) };
        assert_eq!(knots["blake2b"], blake2b);
        assert_eq!(knots["reduced_data"].kind, "flagday");
        assert!(!knots.contains_key("height"));
        let signet = read(include_str!("../tests/fixtures/deployments-signet.json"));
        assert!(signet["taproot"].active && signet["taproot"].kind == "bip9");
        assert_eq!(signet.len(), 6);
    }
}
