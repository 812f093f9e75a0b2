//! What `hyperhash dev status --json` says: a contract, described by a JSON Schema.
//!
//! Counts are over all data of the network, also of earlier starts, unless they say otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};
use subjects::{BlockHash, Sats, Timestamp, payouts::StatementId};

/// The whole status of a dev network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.dev.v1.status")]
pub struct Status {
    /// Whether it runs.
    pub state: State,
    /// Why it is not ready, one sentence each; empty when it is, or does not run.
    pub problems: Vec<String>,
    /// When this was put together, in milliseconds since 1970.
    pub at: Timestamp,
    /// Which network this is.
    pub network: Network,
    /// The block that is mined on; absent until a template was published.
    pub tip: Option<Tip>,
    /// Credited work of the last minute, in hashes per second.
    pub hashrate: u64,
    /// Shares.
    pub shares: Shares,
    /// Blocks of ours.
    pub blocks: Blocks,
    /// Rounds.
    pub rounds: Rounds,
    /// Signed statements.
    pub statements: Statements,
    /// How long each stage takes and what waits before it, by stage.
    pub stages: BTreeMap<String, Stage>,
    /// The workers' processes, by worker; those of a second provider end in `-second`.
    pub workers: BTreeMap<String, Process>,
    /// The servers' processes, by server: `bitcoind`, `postgresql`, `hub`, `leaf`; where the hub has
    /// three, also `hub-2` and `hub-3`; with a second provider also `bitcoind-second`.
    pub servers: BTreeMap<String, Process>,
    /// The network's own miners, by name.
    pub miners: BTreeMap<String, Process>,
    /// Where everything listens, always on loopback; absent when the network does not run.
    pub endpoints: Option<Endpoints>,
    /// The NATS credentials file of each role: `data-reader`, `node-n1`, `operator`.
    pub credentials: BTreeMap<String, PathBuf>,
}

/// Whether a network runs.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// On its way up.
    Starting,
    /// All parts run and are ready.
    Ready,
    /// A part is down or not ready; it is being started again, and nothing acknowledged is lost.
    Degraded,
    /// Draining.
    Stopping,
    /// Nothing runs.
    #[default]
    Down,
}

/// The network that is mined on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Network {
    /// bitcoind's name of the chain.
    pub chain: String,
    /// The signet's challenge script, in hexadecimal.
    pub signet_challenge: String,
    /// Depth at which a block's outcome is final.
    pub payout_confirmations: u32,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            chain: "signet".into(),
            signet_challenge: crate::dev::bitcoind::config::CHALLENGE.into(),
            payout_confirmations: crate::dev::workers::PAYOUT_CONFIRMATIONS,
        }
    }
}

/// What is mined on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tip {
    /// Height of the last block.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// When the network heard of it.
    pub at: Timestamp,
}

/// Shares that miners handed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shares {
    /// Judged good by an ingress, stored and acknowledged.
    pub submitted: u64,
    /// Verified by Core and in the accounting record.
    pub accepted: u64,
    /// Refused, by reason: by an ingress at once, or by Core afterwards.
    pub refused: BTreeMap<String, u64>,
    /// Accepted ones that are in the database.
    pub recorded: u64,
}

/// Blocks that our miners solved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blocks {
    /// With their proof of work checked.
    pub solved: u64,
    /// In the chain at the depth that makes it final.
    pub confirmed: u64,
    /// Displaced by another block, for ever.
    pub orphaned: u64,
    /// Refused by every bitcoind.
    pub refused: u64,
    /// The latest one.
    pub last: Option<Block>,
}

/// One block of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Block {
    /// Its height.
    pub height: u32,
    /// Its hash.
    pub hash: BlockHash,
    /// What the network pays for it.
    pub subsidy: Sats,
    /// What its transactions pay, which its finder gets.
    pub fees: Sats,
    /// When its solution was stored.
    pub at: Timestamp,
    /// `confirmed`, `orphaned` or `refused`; absent until that is final.
    pub outcome: Option<String>,
}

/// Rounds: what is mined from one block of ours to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rounds {
    /// Closed rounds.
    pub closed: u64,
    /// Closed slices.
    pub slices: u64,
    /// The latest closed round.
    pub last: Option<Round>,
}

/// One closed round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Round {
    /// Its number.
    pub round: u64,
    /// Height of the block that ended it.
    pub height: u32,
    /// Its shares.
    pub shares: u64,
    /// Expected over done work, in millionths: above 1 000 000 is lucky.
    pub luck_ppm: u64,
}

/// Signed statements of what blocks pay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statements {
    /// How many.
    pub count: u64,
    /// The latest one.
    pub last: Option<Statement>,
}

/// One signed statement. `treasury + nodes + miners` is `subsidy`, and with `fees` the coinbase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Statement {
    /// Its id.
    pub id: StatementId,
    /// The block that it divides.
    pub block_hash: BlockHash,
    /// Subsidy of the block.
    pub subsidy: Sats,
    /// Fees of the block, which the coinbase paid to the finder.
    pub fees: Sats,
    /// Part of the treasury.
    pub treasury: Sats,
    /// Part of the node pool.
    pub nodes: Sats,
    /// Part of the miners.
    pub miners: Sats,
    /// How many miners share it.
    pub payees: u64,
}

/// One stage of a share's or a block's way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Half took at most this long in the last minute, in milliseconds.
    pub p50_ms: Option<f64>,
    /// All but one in a hundred took at most this long in the last minute, in milliseconds.
    pub p99_ms: Option<f64>,
    /// Messages that wait; absent where nothing can wait.
    pub lag: Option<u64>,
}

/// One process of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Its number, while it runs.
    pub pid: Option<u32>,
    /// How it does.
    pub health: Health,
    /// Why it is not ready.
    pub why: Option<String>,
}

/// How a process does.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It runs and does its work.
    Ready,
    /// It runs, but something that it needs is missing.
    Unready,
    /// It does not run; if the network does, it is being started again.
    #[default]
    Down,
}

/// Where everything listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Endpoints {
    /// For miners.
    pub miners: Miners,
    /// The bus.
    pub nats: Nats,
    /// The database, for a role that may read everything and change nothing.
    pub postgresql: String,
    /// The Bitcoin node of the provider that the ingress prefers.
    pub bitcoind: Bitcoind,
    /// The Bitcoin node of each template provider, by provider: `dev`, and `second` if there is one.
    pub bitcoinds: BTreeMap<String, Bitcoind>,
    /// The metrics page of each worker; `/healthz` and `/readyz` are beside it.
    pub metrics: BTreeMap<String, String>,
}

/// Where miners connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Miners {
    /// Stratum V2 over Noise, `stratum2+tcp://host:port/<authority key>`.
    pub sv2: String,
    /// Stratum V1 in plain lines, `stratum+tcp://host:port`.
    pub sv1: String,
    /// Stratum V1 over TLS, `stratum+ssl://host:port`; the certificate is the network's own
    /// authority's, `nats.ca_file`.
    pub sv1_tls: String,
}

/// Where NATS clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nats {
    /// The hub, over TLS; where it has several servers, all of them, separated by commas.
    pub hub: String,
    /// The leaf server of node `n1`.
    pub leaf: String,
    /// The authority that the hub's certificate is signed by, PEM.
    pub ca_file: PathBuf,
}

/// The Bitcoin node's RPC server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bitcoind {
    /// Its URL.
    pub url: String,
    /// The file that holds `user:password`.
    pub cookie: PathBuf,
}

/// The JSON Schema of [`Status`].
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_down_says_so_and_keeps_the_form() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&Status::default()).unwrap());
    }

    #[test]
    fn the_schema_names_what_the_contract_lists() {
        let schema = serde_json::to_value(schema()).unwrap();
        let listed = [
            "state",
            "network",
            "tip",
            "hashrate",
            "shares",
            "blocks",
            "rounds",
            "statements",
            "stages",
            "workers",
            "endpoints",
            "credentials",
        ];
        for key in listed {
            assert!(schema["properties"].get(key).is_some(), "{key} is missing");
        }
        assert_eq!(schema["title"], "hyperhash.dev.v1.status");
        let shares = &schema["$defs"]["Shares"]["properties"];
        for key in ["submitted", "accepted", "refused", "recorded"] {
            assert!(shares.get(key).is_some(), "shares.{key} is missing");
        }
    }
}
