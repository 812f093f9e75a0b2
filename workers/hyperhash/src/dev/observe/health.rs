//! Asks a process how it does.

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use std::{net::SocketAddr, time::Duration};

/// A process that answers later than this is as good as silent.
const DEADLINE: Duration = Duration::from_secs(2);

/// Asks processes on this machine over HTTP.
#[derive(Clone, Debug)]
pub struct Asker(reqwest::Client);

#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    draining: bool,
    checks: Vec<Check>,
}

#[derive(Deserialize)]
struct Check {
    name: String,
    ok: bool,
    why: String,
}

#[derive(Deserialize)]
struct Leaf {
    leafnodes: u32,
}

impl Asker {
    /// Asks without proxies and with a deadline.
    ///
    /// # Errors
    ///
    /// When no HTTP client can be made.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(reqwest::Client::builder().timeout(DEADLINE).no_proxy().build()?))
    }

    /// Whether a worker is ready; the error says which of its checks fail.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn worker(&self, at: SocketAddr) -> anyhow::Result<()> {
        let Readiness { ready, draining, checks } =
            serde_json::from_slice(&self.get(at, "readyz").await?)
                .context("cannot read /readyz")?;
        if ready {
            return Ok(());
        }
        let failing = checks.iter().filter(|check| !check.ok);
        let reasons: Vec<_> =
            failing.map(|Check { name, why, .. }| format!("{name}: {why}")).collect();
        ensure!(!draining, "it is draining");
        bail!("{}", reasons.join("; "))
    }

    /// A worker's metrics page.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self, at: SocketAddr) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.get(at, "metrics").await?)?)
    }

    /// Whether a nats-server is well.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub async fn nats(&self, monitor: SocketAddr) -> anyhow::Result<()> {
        let said = self.get(monitor, "healthz").await?;
        let text = String::from_utf8_lossy(&said);
        ensure!(text.contains("\"ok\""), "it says: {}", text.trim());
        Ok(())
    }

    /// Whether a leaf server has its link to the hub.
    ///
    /// # Errors
    ///
    /// When it has not.
    pub async fn link(&self, monitor: SocketAddr) -> anyhow::Result<()> {
        let leaf: Leaf = serde_json::from_slice(&self.get(monitor, "leafz").await?)
            .context("cannot read /leafz")?;
        ensure!(leaf.leafnodes > 0, "the link to the hub is cut");
        Ok(())
    }

    async fn get(&self, at: SocketAddr, page: &str) -> anyhow::Result<Vec<u8>> {
        let url = format!("http://{at}/{page}");
        let silent = || format!("it does not answer at {url}");
        let response = self.0.get(&url).send().await.with_context(silent)?;
        Ok(response.bytes().await.with_context(silent)?.into())
    }
}
