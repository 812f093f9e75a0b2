//! A bitcoind that dies, and a chain that changes its mind.

use super::Field;
use crate::network::Status;
use anyhow::Context as _;
use bitcoind_rpc::{Rpc, RpcConfig};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) async fn killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    field.kill_again_and_again("servers", "bitcoind").await
}

/// Our blocks leave the chain, miners go on on the shorter one, and the lost branch comes back if
/// it is still the longer one.
pub(super) async fn reorganised(field: &mut Field<'_>) -> anyhow::Result<()> {
    let node = Node::of(&field.network.status().await?)?;
    for depth in [1_u64, 2, 6] {
        let tip = node.call("getblockcount", json!([])).await?.as_u64().context("no height")?;
        let first = node.call("getblockhash", json!([tip.saturating_sub(depth - 1)])).await?;
        node.call("invalidateblock", json!([first])).await?;
        field.until_acknowledged(30).await?;
        node.call("reconsiderblock", json!([first])).await?;
        field.until_acknowledged(30).await?;
        field.work_for_a_while(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// JSON-RPC of the network's bitcoind.
struct Node(Rpc);

impl Node {
    fn of(status: &Status) -> anyhow::Result<Self> {
        let text = |key: &str| status.text(&format!("/endpoints/bitcoind/{key}"));
        Ok(Self(Rpc::new(RpcConfig::new(text("url")?, text("cookie")?))?))
    }

    /// Calls a method that may answer `null`.
    async fn call(&self, method: &'static str, parameters: Value) -> anyhow::Result<Value> {
        let answer = self.0.call_nullable(method, parameters, self.0.deadline()).await?;
        Ok(answer.unwrap_or_default())
    }
}
