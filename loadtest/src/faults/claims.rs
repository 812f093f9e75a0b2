//! A node whose server takes no claims of blocks.

use crate::network::Network;
use anyhow::{Context as _, ensure};
use serde_json::Value;
use streams::{Access, Connection, Credentials, OUT_FACTS};

/// While this lasts the node's server keeps no more facts, as if their stream were full; shares go
/// on. It holds what it was asked to be before.
pub(super) struct Refusing {
    leaf: Connection,
    config: Value,
}

impl Refusing {
    /// Begins.
    ///
    /// # Errors
    ///
    /// When the leaf does not take it.
    pub(super) async fn begin(network: &Network) -> anyhow::Result<Self> {
        let leaf = Connection::open(&Access {
            url: network.status().await?.text("/endpoints/nats/leaf")?,
            credentials: Credentials::NkeySeedFile(
                network.data().join("keys/nodes/n1/operator.nk"),
            ),
            ca_file: None,
            inbox_prefix: "_INBOX_n1.operator".into(),
        })
        .await?;
        let info = ask(&leaf, "INFO", &Value::Null).await?;
        let config = info.get("config").context("the stream has no configuration")?.clone();
        let messages = info.pointer("/state/messages").and_then(Value::as_u64);
        let messages = messages.context("the stream has no messages")?;
        let mut full = config.clone();
        let keys = full.as_object_mut().context("a configuration is an object")?;
        keys.insert("max_msgs".into(), messages.max(1).into());
        ask(&leaf, "UPDATE", &full).await?;
        Ok(Self { leaf, config })
    }

    /// Ends.
    ///
    /// # Errors
    ///
    /// When the leaf does not take it.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        ask(&self.leaf, "UPDATE", &self.config).await?;
        Ok(())
    }
}

async fn ask(leaf: &Connection, call: &str, question: &Value) -> anyhow::Result<Value> {
    let subject = format!("$JS.API.STREAM.{call}.{OUT_FACTS}");
    let payload = if question.is_null() { Vec::new() } else { serde_json::to_vec(question)? };
    let answer = leaf.client().request(subject, payload.into()).await?;
    let answer: Value = serde_json::from_slice(&answer.payload)?;
    let error = answer.get("error");
    ensure!(error.is_none(), "the leaf refuses to {call} {OUT_FACTS}: {error:?}");
    Ok(answer)
}
