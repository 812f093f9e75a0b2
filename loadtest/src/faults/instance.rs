//! Instances of a worker beside the network's own.

use super::Field;
use crate::network::send;
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use std::{fs::File, path::Path};
use tokio::process::Child;

/// Another instance of a worker. It is killed with the value.
#[derive(Debug)]
pub(super) struct Instance(Child);

impl Instance {
    /// Starts one with the configuration of the network's own.
    pub(super) fn start(field: &Field<'_>, worker: &str) -> anyhow::Result<Self> {
        Self::start_in(field, worker, &[])
    }

    /// The same with these variables in its environment.
    pub(super) fn start_in(
        field: &Field<'_>,
        worker: &str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let config = field.network.data().join("config").join(format!("{worker}.toml"));
        Self::spawn(field, worker, &config, variables)
    }

    /// Starts one with a configuration of its own. What it says is with the network's other logs.
    pub(super) fn start_with(
        field: &Field<'_>,
        worker: &str,
        config: &Path,
    ) -> anyhow::Result<Self> {
        Self::spawn(field, worker, config, &[])
    }

    /// Starts one process with several workers, each with a configuration of its own.
    pub(super) fn start_together(
        field: &Field<'_>,
        workers: &[(&str, &Path)],
        options: &[&str],
    ) -> anyhow::Result<Self> {
        Self::spawn_all(field, workers, &[], options)
    }

    fn spawn(
        field: &Field<'_>,
        worker: &str,
        config: &Path,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::spawn_all(field, &[(worker, config)], variables, &[])
    }

    fn spawn_all(
        field: &Field<'_>,
        workers: &[(&str, &Path)],
        variables: &[(&str, &str)],
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let (worker, config) = *workers.first().context("a process without a worker")?;
        let name = config.file_stem().and_then(|stem| stem.to_str()).unwrap_or(worker);
        let log = field.network.data().join("log").join(format!("{name}-more.log"));
        let log = File::options().create(true).append(true).open(log)?;
        let mut arguments = vec!["run"];
        arguments.extend(workers.iter().map(|(worker, _)| *worker));
        for (_, config) in workers {
            let config = config.to_str().context("a folder whose name is no text")?;
            arguments.extend(["--config", config]);
        }
        arguments.extend(options);
        let mut command = field.network.command(&arguments);
        let child = command
            .env("HYPERHASH_HTTP__LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start another {worker}"))?;
        Ok(Self(child))
    }

    /// Its process id.
    pub(super) fn pid(&self) -> anyhow::Result<u64> {
        Ok(self.0.id().context("the instance has ended")?.into())
    }

    /// Ends it as an operator does.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        self.ended_by(Signal::TERM).await
    }

    /// Kills it.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.ended_by(Signal::KILL).await
    }

    /// Waits for it to end by itself, and well.
    pub(super) async fn ended(&mut self) -> anyhow::Result<()> {
        let ended = self.0.wait().await?;
        ensure!(ended.success(), "the instance ended with {ended}");
        Ok(())
    }

    /// Ends it by a signal; told to end, it must end well.
    pub(super) async fn ended_by(&mut self, signal: Signal) -> anyhow::Result<()> {
        send(self.pid()?, signal)?;
        let ended = self.0.wait().await?;
        ensure!(signal == Signal::KILL || ended.success(), "the instance ended with {ended}");
        Ok(())
    }
}
