//! The network's bitcoinds, as scenarios and benches call them.

use crate::network::Network;
use anyhow::Context as _;
use bitcoind_rpc::{Rpc, RpcConfig};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::time::Duration;
use subjects::BlockHash;

/// How long bitcoind may look for a block, or wait for one.
const LONG: Duration = Duration::from_secs(240);

/// JSON-RPC of one provider's bitcoind.
#[derive(Debug)]
pub(crate) struct Node {
    /// Whose it is.
    pub(crate) provider: String,
    rpc: Rpc,
}

/// A tip, as bitcoind's waiting calls tell it.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Best {
    pub(crate) hash: BlockHash,
    pub(crate) height: u32,
}

impl Node {
    /// All of them, the preferred one first.
    pub(crate) async fn all(network: &Network) -> anyhow::Result<Vec<Self>> {
        let status = network.status().await?;
        // The map is in the order of names, which is that of preference.
        let node = |provider: String| {
            let text = |key: &str| status.text(&format!("/endpoints/bitcoinds/{provider}/{key}"));
            let rpc = Rpc::new(RpcConfig::new(text("url")?, text("cookie")?))?;
            Ok(Self { provider, rpc })
        };
        status.names("/endpoints/bitcoinds")?.into_iter().map(node).collect()
    }

    /// The preferred one.
    pub(crate) async fn preferred(network: &Network) -> anyhow::Result<Self> {
        let mut all = Self::all(network).await?.into_iter();
        all.next().context("the network has no bitcoind")
    }

    /// The bitcoind of a provider.
    pub(crate) async fn of(network: &Network, provider: &str) -> anyhow::Result<Self> {
        let mut all = Self::all(network).await?.into_iter();
        let found = all.find(|node| node.provider == provider);
        found.with_context(|| format!("the network has no bitcoind `{provider}`"))
    }

    /// Calls a method that may answer `null`.
    pub(crate) async fn call(
        &self,
        method: &'static str,
        parameters: Value,
    ) -> anyhow::Result<Value> {
        let answer = self.rpc.call_nullable(method, parameters, self.rpc.deadline()).await?;
        Ok(answer.unwrap_or_default())
    }

    /// Calls a method and reads its answer, which may take as long as a block.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        parameters: Value,
    ) -> anyhow::Result<T> {
        Ok(self.rpc.call(method, parameters, LONG).await?)
    }

    /// Hash of its tip.
    pub(crate) async fn tip(&self) -> anyhow::Result<BlockHash> {
        self.read("getbestblockhash", json!([])).await
    }

    /// Height of its tip.
    pub(crate) async fn height(&self) -> anyhow::Result<u32> {
        self.read("getblockcount", json!([])).await
    }

    /// Waits until its tip has this height. A tip that came before the call is told at once.
    pub(crate) async fn reaches(&self, height: u32) -> anyhow::Result<Best> {
        let best: Best = self.read("waitforblockheight", json!([height, LONG.as_millis()])).await?;
        anyhow::ensure!(best.height >= height, "no block at height {height} within {LONG:?}");
        Ok(best)
    }

    /// Connects to its peers, or lets go of them.
    pub(crate) async fn set_peers(&self, connected: bool) -> anyhow::Result<()> {
        self.read::<Value>("setnetworkactive", json!([connected])).await.map(drop)
    }

    /// The addresses at which it speaks over ZMQ.
    pub(crate) async fn zmq(&self) -> anyhow::Result<Vec<String>> {
        let all: Vec<Value> = self.read("getzmqnotifications", json!([])).await?;
        let address = |one: &Value| one.get("address").and_then(Value::as_str).map(str::to_owned);
        let mut all: Vec<_> = all.iter().filter_map(address).collect();
        all.dedup();
        Ok(all)
    }
}
