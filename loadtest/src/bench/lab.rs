//! A network of which a bench brings some parts itself.

use crate::network::{Network, send};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use std::{fs::File, process::Stdio, time::Duration};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Setting;

/// How long a process may take to end once it is told to.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// A network in a folder of its own. Both end with the value.
#[derive(Debug)]
pub struct Lab {
    /// The network.
    pub network: Network,
    folder: TempDir,
}

impl Lab {
    /// Starts a network without these parts, which are named as `hyperhash dev up --without` does.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn without(setting: &Setting, parts: &[&str]) -> anyhow::Result<Self> {
        let options: Vec<&str> = parts.iter().flat_map(|part| ["--without", part]).collect();
        Self::with(setting, &options).await
    }

    /// Starts a network with these options of `hyperhash dev up`.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub async fn with(setting: &Setting, options: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no folder for the network")?;
        let network =
            Network::up(&setting.program, &folder.path().join("network"), options).await?;
        Ok(Self { network, folder })
    }

    /// Starts the servers of a network, and nothing that would take processor time from what a bench
    /// brings.
    ///
    /// # Errors
    ///
    /// When they do not come up.
    pub async fn of_servers(setting: &Setting) -> anyhow::Result<Self> {
        Self::without(setting, &["all"]).await
    }

    /// Starts a worker that the network was started without, with the network's configuration for
    /// it and `changes` on top: keys of the environment as `hyperhash run` reads them.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&self, worker: &str, changes: &[(&str, &str)]) -> anyhow::Result<Part> {
        let config = self.network.data().join("config").join(format!("{worker}.toml"));
        let config = config.to_str().context("a folder whose name is no text")?;
        let command = self.network.command(&["run", worker, "--config", config]);
        self.spawn(worker, command, changes)
    }

    /// Starts a program that belongs to a bench; what it says is in a file of its own.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(
        &self,
        name: &str,
        mut command: Command,
        changes: &[(&str, &str)],
    ) -> anyhow::Result<Part> {
        let log = self.folder.path().join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command
            .envs(changes.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Part { name: name.to_owned(), child })
    }

    /// Ends the network.
    ///
    /// # Errors
    ///
    /// When it does not end.
    pub async fn end(self) -> anyhow::Result<()> {
        self.network.down().await
    }
}

/// A process that a bench started. It is killed with the value.
#[derive(Debug)]
pub struct Part {
    name: String,
    child: Child,
}

impl Part {
    /// Its process id.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn pid(&self) -> anyhow::Result<u64> {
        Ok(self.child.id().with_context(|| format!("{} has ended", self.name))?.into())
    }

    /// Ends it politely.
    ///
    /// # Errors
    ///
    /// When it does not end, or not well.
    pub async fn end(mut self) -> anyhow::Result<()> {
        send(self.pid()?, Signal::TERM)?;
        let ended = tokio::time::timeout(END_PATIENCE, self.child.wait()).await;
        let ended = ended.with_context(|| format!("{} does not end", self.name))??;
        ensure!(ended.success(), "{} ended with {ended}", self.name);
        Ok(())
    }
}
