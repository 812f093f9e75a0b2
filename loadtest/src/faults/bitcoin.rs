//! A bitcoind that dies, and a chain that changes its mind.

use super::Field;
use crate::network::Status;
use anyhow::Context as _;
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
struct Node {
    http: reqwest::Client,
    url: String,
    cookie: String,
}

impl Node {
    fn of(status: &Status) -> anyhow::Result<Self> {
        let cookie = status.text("/endpoints/bitcoind/cookie")?;
        let cookie = std::fs::read_to_string(cookie).context("no cookie of bitcoind")?;
        let url = status.text("/endpoints/bitcoind/url")?;
        Ok(Self { http: reqwest::Client::new(), url, cookie })
    }

    async fn call(&self, method: &str, parameters: Value) -> anyhow::Result<Value> {
        let (user, password) = self.cookie.split_once(':').context("not a cookie")?;
        let question = json!({ "id": 0, "method": method, "params": parameters });
        let request = self.http.post(&self.url).basic_auth(user, Some(password.trim()));
        let answer: Value = request.json(&question).send().await?.json().await?;
        match answer.get("error") {
            None | Some(Value::Null) => Ok(answer.get("result").cloned().unwrap_or_default()),
            Some(error) => anyhow::bail!("{method}: {error}"),
        }
    }
}
