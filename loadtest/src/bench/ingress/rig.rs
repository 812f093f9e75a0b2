//! A network whose ingress runs apart from it, so that its processor time is its own.

use crate::{
    bench::{
        Lab, Part, Setting,
        meter::{self, Memory, Meter},
        own_chain::Chain,
    },
    fleet::{Fleet, Plan, Pool, Tally, raise_file_limit},
};
use anyhow::Context as _;
use serde_json::Value;
use std::{path::Path, time::Duration};
use tokio::time::sleep;
use worker_runtime::clock::{Clock as _, SystemClock};

/// What a fleet needs: room for all of its connections, and a target that every hash meets.
const CHANGES: &[(&str, &str)] = &[
    ("HYPERHASH_LISTEN", "127.0.0.1:0"),
    ("HYPERHASH_HTTP__LISTEN", "127.0.0.1:0"),
    ("HYPERHASH_VARDIFF__SHARES_PER_MINUTE", "4000000000"),
    ("HYPERHASH_VARDIFF__FLOOR_EXPONENT", "-32"),
    ("HYPERHASH_LIMITS__MAX_CONNECTIONS", "20000"),
    ("HYPERHASH_LIMITS__MAX_CONNECTIONS_PER_ADDRESS", "20000"),
    ("HYPERHASH_LIMITS__MAX_NEW_CONNECTIONS_PER_ADDRESS_PER_SEC", "4000000000"),
    ("HYPERHASH_LIMITS__MAX_NEW_CONNECTIONS_PER_SEC", "4000000000"),
    ("HYPERHASH_LIMITS__MAX_MESSAGES_PER_CONNECTION_PER_SEC", "4000000000"),
];
/// Whose shares they are.
const ADDRESS: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// Open files of this process and of the ingress, each a connection and some more.
const FILES: u64 = 20_000;
/// How long the ingress may take to be there.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long anything may take that all miners must hear of, and the answers to their shares.
pub(in crate::bench) const PATIENCE: Duration = Duration::from_secs(60);
/// How long the ingress must have used less than a twentieth of a processor to be quiet.
const QUIET: Duration = Duration::from_secs(1);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Which ingress is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bench) enum Ingress {
    /// That of Stratum V1.
    V1,
    /// That of Stratum V2.
    V2,
}

impl Ingress {
    /// The worker.
    const fn worker(self) -> &'static str {
        match self {
            Self::V1 => "ingress-sv1",
            Self::V2 => "ingress-sv2",
        }
    }

    /// Where its announcement says where miners connect.
    const fn announced(self) -> &'static str {
        match self {
            Self::V1 => "/addresses/miners.sv1",
            Self::V2 => "/addresses/miners.sv2",
        }
    }
}

/// The network, the chain that it follows, and the ingress.
#[derive(Debug)]
pub(in crate::bench) struct Rig {
    /// What miners are told.
    pub(in crate::bench) chain: Chain,
    /// Where the ingress is.
    pub(in crate::bench) pool: Pool,
    /// The network.
    pub(in crate::bench) lab: Lab,
    which: Ingress,
    changes: &'static [(&'static str, &'static str)],
    ingress: Part,
    pid: u64,
}

impl Rig {
    /// Starts everything, with the ingress of Stratum V2; `changes` are the ingress's, on top of
    /// what a fleet needs.
    pub(in crate::bench) async fn start(
        setting: &Setting,
        changes: &'static [(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        Self::of(Ingress::V2, setting, changes).await
    }

    /// The same with either ingress.
    pub(in crate::bench) async fn of(
        which: Ingress,
        setting: &Setting,
        changes: &'static [(&'static str, &'static str)],
    ) -> anyhow::Result<Self> {
        raise_file_limit(FILES)?;
        let lab = Lab::of_servers(setting).await?;
        let chain = Chain::begin(&lab).await?;
        let (ingress, pool) = ingress(&lab, which, changes).await?;
        let pid = ingress.pid()?;
        Ok(Self { chain, pool, lab, which, changes, ingress, pid })
    }

    /// Miners of this ingress.
    pub(in crate::bench) fn plan(&self, connections: u32, channels: u32) -> Plan {
        plan(self.pool.clone(), connections, channels)
    }

    /// Waits until the ingress has done all that it has to do, e.g. told the bus of every miner.
    pub(in crate::bench) async fn settle(&self) -> anyhow::Result<()> {
        let clock = SystemClock::new();
        let deadline = clock.monotonic() + PATIENCE;
        loop {
            let meter = self.meter()?;
            sleep(QUIET).await; // polls
            if meter.used()? <= QUIET / 20 {
                return Ok(());
            }
            anyhow::ensure!(clock.monotonic() < deadline, "the ingress is busy with nothing");
        }
    }

    /// Another ingress in the place of this one.
    pub(in crate::bench) async fn renew(self) -> anyhow::Result<Self> {
        self.settle().await?;
        self.ingress.end().await?;
        let Self { chain, lab, which, changes, .. } = self;
        let (ingress, pool) = ingress(&lab, which, changes).await?;
        let pid = ingress.pid()?;
        Ok(Self { chain, pool, lab, which, changes, ingress, pid })
    }

    /// A new tip, a full template on it and a job for the next one, all of which each channel of
    /// the fleet has. A channel remembers its proofs until the tip changes, and not without end.
    pub(in crate::bench) async fn next_tip(&mut self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let (tips, jobs) = (fleet.tally().prevhashes(), fleet.tally().jobs());
        let channels = fleet.channels();
        // Stratum V1 has a job of the tip and one of the template, V2 one of either template.
        self.chain.advance().await?;
        self.chain.refresh().await?;
        self.chain.prepare().await?;
        let all = move |tally: &Tally| {
            tally.prevhashes() >= tips + channels && tally.jobs() >= jobs + 2 * channels
        };
        fleet.until("told of the tip", PATIENCE, all).await?;
        Ok(())
    }

    /// Begins to measure the ingress's processor time.
    pub(in crate::bench) fn meter(&self) -> anyhow::Result<Meter> {
        Meter::of(&[self.pid])
    }

    /// The ingress's process.
    pub(in crate::bench) const fn pid(&self) -> u64 {
        self.pid
    }

    /// The ingress's memory.
    pub(in crate::bench) fn memory(&self) -> anyhow::Result<Memory> {
        meter::memory(self.pid)
    }

    /// Ends everything.
    pub(in crate::bench) async fn end(self) -> anyhow::Result<()> {
        self.settle().await?;
        self.ingress.end().await?;
        self.chain.end().await?;
        self.lab.end().await
    }
}

/// Miners of a pool, each with extended channels.
pub(in crate::bench) fn plan(pool: Pool, connections: u32, channels: u32) -> Plan {
    let connections = usize::try_from(connections).unwrap_or(usize::MAX);
    Plan { channels, ..Plan::new(pool, connections, ADDRESS) }
}

/// Starts an ingress and waits until it serves.
async fn ingress(
    lab: &Lab,
    which: Ingress,
    changes: &[(&str, &str)],
) -> anyhow::Result<(Part, Pool)> {
    let announcement = lab.network.data().join("ingress-of-the-bench.json");
    if announcement.exists() {
        std::fs::remove_file(&announcement)?;
    }
    let file = announcement.to_str().context("a folder whose name is no text")?;
    let own = [("HYPERHASH_HTTP__ANNOUNCE_FILE", file)];
    let changes: Vec<_> = CHANGES.iter().chain(&own).chain(changes).copied().collect();
    let ingress = lab.start(which.worker(), &changes)?;
    let pool = announced(which, &announcement).await?;
    Ok((ingress, pool))
}

/// Where miners connect, once the ingress says so.
async fn announced(which: Ingress, file: &Path) -> anyhow::Result<Pool> {
    let clock = SystemClock::new();
    let deadline = clock.monotonic() + START_PATIENCE;
    loop {
        let said = std::fs::read(file).unwrap_or_default();
        let said: Value = serde_json::from_slice(&said).unwrap_or_default();
        if let Some(url) = said.pointer(which.announced()).and_then(Value::as_str) {
            return Ok(url.parse()?);
        }
        anyhow::ensure!(clock.monotonic() < deadline, "no ingress within {START_PATIENCE:?}");
        sleep(LOOK).await; // polls
    }
}
