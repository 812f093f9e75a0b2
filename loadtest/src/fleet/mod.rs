//! Many miners in one process, so cheap that the pool is what is measured: real Noise, real jobs,
//! real shares at whatever target the pool gives, as long as it can be met at once.

mod bare;

mod channel;

mod link;

mod miner;

mod tally;

pub use bare::BarePool;
pub use tally::{Latencies, Report, Tally};

use anyhow::{Context as _, ensure};
use channel::Violation;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use miner::Miner;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use stratum_v2::{Endpoint, client::ClientError};
use subjects::shares::JobKind;
use tokio::{net::lookup_host, sync::watch, task::JoinSet, time::sleep};
use worker_runtime::clock::{Clock as _, SystemClock};

/// How often something that should come is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// Who connects, and with what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pool.
    pub endpoint: Endpoint,
    /// Connections.
    pub connections: usize,
    /// Channels of each.
    pub channels: u32,
    /// The kind of channels.
    pub kind: JobKind,
    /// Whose shares they are; each channel is a worker of its own.
    pub address: String,
    /// Connections that are made at once.
    pub at_once: usize,
}

/// How a connection sends shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Not at all.
    Idle,
    /// As many as keep this many unanswered.
    Window(usize),
    /// One in each such time, at a random phase.
    Every(Duration),
}

/// What ends a miner of a fleet.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The connection failed, or said what is no message.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The pool sent what it must not, or what cannot be mined.
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Miners that are connected. They disconnect with the value.
#[derive(Debug)]
pub struct Fleet {
    tally: Arc<Tally>,
    pace: watch::Sender<Pace>,
    miners: JoinSet<Result<(), FleetError>>,
    clock: SystemClock,
    channels: u64,
}

impl Fleet {
    /// Connects all, opens all channels, and waits until each has a job on a tip.
    ///
    /// # Errors
    ///
    /// When one of them is not served.
    pub async fn open(plan: &Plan) -> anyhow::Result<Self> {
        let address = resolve(&plan.endpoint).await?;
        let (pace, told) = watch::channel(Pace::Idle);
        let (tally, clock) = (Arc::<Tally>::default(), SystemClock::new());
        let opening = (0..plan.connections).map(|number| {
            let (tally, told) = (Arc::clone(&tally), told.clone());
            async move { Miner::open(plan, address, number, told, tally, clock).await }
        });
        let opened: Vec<Miner> = stream::iter(opening)
            .buffer_unordered(plan.at_once.max(1))
            .try_collect()
            .await
            .context("a miner is not served")?;
        let mut miners = JoinSet::new();
        for miner in opened {
            miners.spawn(miner.run());
        }
        let connections = u64::try_from(plan.connections)?;
        let channels = connections.saturating_mul(plan.channels.into());
        Ok(Self { tally, pace, miners, clock, channels })
    }

    /// What happened so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Channels of all connections.
    pub const fn channels(&self) -> u64 {
        self.channels
    }

    /// Sends shares like this from now.
    pub fn pace(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    /// Waits until something holds of the tally, and returns how long that took.
    ///
    /// # Errors
    ///
    /// When it does not within `patience`, or a miner is lost meanwhile.
    pub async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        holds: impl Fn(&Tally) -> bool,
    ) -> anyhow::Result<Duration> {
        let began = self.clock.monotonic();
        loop {
            let waited = self.clock.monotonic() - began;
            if holds(&self.tally) {
                return Ok(waited);
            }
            self.check()?;
            ensure!(waited < patience, "not {what} within {patience:?}: {:?}", self.tally);
            sleep(LOOK).await; // polls
        }
    }

    /// Sends shares like this for a while, then none until all are answered.
    ///
    /// # Errors
    ///
    /// When a miner is lost, or shares stay unanswered for `patience`.
    pub async fn work(
        &mut self,
        pace: Pace,
        time: Duration,
        patience: Duration,
    ) -> anyhow::Result<()> {
        self.pace(pace);
        sleep(time).await; // time itself: shares come all along
        self.pace(Pace::Idle);
        self.until("answered", patience, |tally| tally.unanswered() == 0).await?;
        Ok(())
    }

    /// Makes sure that all miners are still connected.
    ///
    /// # Errors
    ///
    /// Why one is not.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.miners.try_join_next() {
            None => Ok(()),
            Some(ended) => {
                ended.context("a miner died")?.context("a miner was lost")?;
                anyhow::bail!("a miner left")
            }
        }
    }

    /// Disconnects all.
    pub async fn close(self) {
        let Self { pace, mut miners, .. } = self;
        drop(pace);
        while miners.join_next().await.is_some() {}
    }
}

async fn resolve(endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
    let mut found = lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    found.next().with_context(|| format!("{endpoint} has no address"))
}
