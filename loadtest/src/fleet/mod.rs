//! Many miners in one process, so cheap that the pool is what is measured: real connections, real
//! jobs, real shares at whatever target the pool gives, as long as it can be met at once.

mod pool;

mod orders;

mod bare;

mod channel;

pub(crate) mod link;

pub(crate) mod miner;

mod lines;

mod work;

mod v1;

mod crew;

mod record;

mod tally;

pub use bare::BarePool;
pub use pool::{InvalidPool, LineAddress, Pool, dial};
pub use record::raise_file_limit;
pub use tally::{Latencies, Report, Tally};

use anyhow::{Context as _, ensure};
use channel::Violation;
use crew::Hand;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use orders::Orders;
use record::Scribe;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use stratum_v2::client::ClientError;
use subjects::shares::JobKind;
use tokio::{sync::watch, task::JoinSet, time::sleep};
use worker_runtime::clock::{Clock as _, SystemClock};

/// How often something that should come is looked for.
const LOOK: Duration = Duration::from_millis(5);

/// Who connects, and with what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The pools, all of one protocol: the first, and those that a miner tries when it is lost.
    pub pools: Vec<Pool>,
    /// Connections.
    pub connections: usize,
    /// Channels of each; a connection of Stratum V1 is one.
    pub channels: u32,
    /// The kind of channels.
    pub kind: JobKind,
    /// Whose shares they are; each channel is a worker of its own.
    pub address: String,
    /// Connections that are made at once.
    pub at_once: usize,
    /// Addresses of this machine that connections come from, in turn; whichever if there are none.
    pub sources: Vec<Ipv4Addr>,
    /// File that every acknowledged share is appended to, for an audit.
    pub acknowledged: Option<PathBuf>,
    /// What a miner does that is lost.
    pub when_lost: WhenLost,
}

/// What becomes of a fleet whose miner is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenLost {
    /// It fails.
    Fail,
    /// The miner connects again, after a pause as miners make it.
    ComeBack,
}

impl Plan {
    /// Connections that each have a channel, from whichever address, which must not be lost.
    pub fn new(pool: Pool, connections: usize, address: &str) -> Self {
        Self {
            pools: vec![pool],
            connections,
            channels: 1,
            kind: JobKind::Extended,
            address: address.to_owned(),
            at_once: 64,
            sources: Vec::new(),
            acknowledged: None,
            when_lost: WhenLost::Fail,
        }
    }

    /// Where the `number`th connection comes from.
    fn source(&self, number: usize) -> Option<Ipv4Addr> {
        let place = number.checked_rem(self.sources.len())?;
        self.sources.get(place).copied()
    }
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
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    /// The plan names none.
    #[error("no pool is named")]
    NoPool,
    /// The pool asked to connect again.
    #[error("the pool asked to connect again")]
    SentAway,
}

/// Miners that are connected. They disconnect with the value.
#[derive(Debug)]
pub struct Fleet {
    tally: Arc<Tally>,
    pace: watch::Sender<Pace>,
    miners: JoinSet<Result<(), FleetError>>,
    scribe: Option<Scribe>,
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
        let mut pools = Vec::new();
        for pool in &plan.pools {
            pools.push((pool.clone(), pool.resolve().await?));
        }
        let pools: Arc<[(Pool, SocketAddr)]> = pools.into();
        let scribe = match &plan.acknowledged {
            Some(file) => Some(Scribe::open(file).await?),
            None => None,
        };
        let (pace, told) = watch::channel(Pace::Idle);
        let (tally, clock) = (Arc::<Tally>::default(), SystemClock::new());
        let plan = Arc::new(plan.clone());
        let opening = (0..plan.connections).map(|number| {
            let record = scribe.as_ref().map(Scribe::sender);
            let orders = Orders::new(told.clone(), Arc::clone(&tally), clock, record);
            Hand::open(Arc::clone(&plan), Arc::clone(&pools), number, orders)
        });
        let opened: Vec<Hand> = stream::iter(opening)
            .buffer_unordered(plan.at_once.max(1))
            .try_collect()
            .await
            .context("a miner is not served")?;
        let mut miners = JoinSet::new();
        for hand in opened {
            miners.spawn(hand.run());
        }
        let connections = u64::try_from(plan.connections)?;
        let channels = connections.saturating_mul(plan.channels.into());
        Ok(Self { tally, pace, miners, scribe, clock, channels })
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

    /// Disconnects all, and waits until all that was acknowledged is on record.
    ///
    /// # Errors
    ///
    /// When it cannot be put on record.
    pub async fn close(self) -> anyhow::Result<()> {
        let Self { pace, mut miners, scribe, .. } = self;
        drop(pace);
        while miners.join_next().await.is_some() {}
        match scribe {
            Some(scribe) => scribe.close().await,
            None => Ok(()),
        }
    }
}
