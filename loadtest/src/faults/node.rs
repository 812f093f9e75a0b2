//! The network's bitcoinds, as a scenario calls them.

use crate::network::Network;
use anyhow::Context as _;
use bitcoind_rpc::{Rpc, RpcConfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use subjects::BlockHash;

/// JSON-RPC of one provider's bitcoind.
pub(super) struct Node {
    /// Whose it is.
    pub(super) provider: String,
    rpc: Rpc,
}

impl Node {
    /// All of them, the preferred one first.
    pub(super) async fn all(network: &Network) -> anyhow::Result<Vec<Self>> {
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
    pub(super) async fn preferred(network: &Network) -> anyhow::Result<Self> {
        let mut all = Self::all(network).await?.into_iter();
        all.next().context("the network has no bitcoind")
    }

    /// Calls a method that may answer `null`.
    pub(super) async fn call(
        &self,
        method: &'static str,
        parameters: Value,
    ) -> anyhow::Result<Value> {
        let answer = self.rpc.call_nullable(method, parameters, self.rpc.deadline()).await?;
        Ok(answer.unwrap_or_default())
    }

    /// Calls a method and reads its answer.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        method: &'static str,
        parameters: Value,
    ) -> anyhow::Result<T> {
        Ok(serde_json::from_value(self.call(method, parameters).await?)?)
    }

    /// Hash of its tip.
    pub(super) async fn tip(&self) -> anyhow::Result<BlockHash> {
        self.read("getbestblockhash", json!([])).await
    }
}
