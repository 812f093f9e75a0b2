//! Leases: who may do what only one may do.
//!
//! A lease is a key of a bucket whose `max_age` is the lease's length: created if absent, renewed
//! by compare-and-set, gone by itself when its holder is. Its revision at the start is the fence.
//! A holder gives up before the server lets go: it renews at a third of the lease, and stops at
//! two thirds without a renewal, counted from when the last successful renewal was *sent*.

mod partitions;
mod standby;
mod vacancy;

pub use partitions::{HeldPartition, PartitionsConfig, partitions};
pub use standby::{Held, active_standby};

use crate::{
    bus::{Bucket, BucketError, Bus},
    metric::Name,
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use vacancy::Vacancy;

/// One lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// The bucket; its `max_age` is the lease's length.
    pub bucket: String,
    /// What is leased.
    pub key: String,
    /// Who takes it: a name that no other process has, such as [`crate::Context::instance`].
    pub holder: String,
    /// The lease's length.
    pub ttl: Duration,
}

/// A lease that cannot be had by waiting.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The bucket lets keys go sooner or later than a holder thinks.
    #[error(
        "the bucket `{bucket}` keeps a lease for {has:?}, but it is used for {wants:?}: run `hyperhash streams apply`"
    )]
    Length {
        /// The bucket.
        bucket: String,
        /// Its `max_age`; zero keeps keys for ever.
        has: Duration,
        /// The lease's length as configured.
        wants: Duration,
    },
    /// The bucket does not work.
    #[error("cannot lease `{key}` in `{bucket}`")]
    Bucket {
        /// The key.
        key: String,
        /// The bucket.
        bucket: String,
        /// Why not.
        #[source]
        source: BucketError,
    },
}

impl LeaseError {
    /// Whether waiting cannot help.
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Length { .. } | Self::Bucket { source: BucketError::Refused { .. }, .. } => true,
            Self::Bucket { .. } => false,
        }
    }
}

impl LeaseConfig {
    fn failed(&self, source: BucketError) -> LeaseError {
        LeaseError::Bucket { key: self.key.clone(), bucket: self.bucket.clone(), source }
    }
}

/// How long a holder goes on after its last renewal. Whoever has not heard of it for so long knows
/// that it has stopped, although the server keeps its lease for a while yet.
fn gives_up_after(ttl: Duration) -> Duration {
    ttl * 2 / 3
}

/// Two processes that hold one lease are the worst that can happen here, and a bucket that lets
/// keys go before their holder gives up would bring it about.
async fn check_length(bucket: &Bucket, config: &LeaseConfig) -> Result<(), LeaseError> {
    let has = bucket.max_age().await.map_err(|source| config.failed(source))?;
    if has == config.ttl {
        return Ok(());
    }
    Err(LeaseError::Length { bucket: config.bucket.clone(), has, wants: config.ttl })
}

/// A lease that is held, and renewed until it is released or lost.
#[derive(Debug)]
pub struct Lease {
    bucket: Bucket,
    config: LeaseConfig,
    fence: u64,
    lost: CancellationToken,
    released: CancellationToken,
    renewal: tokio::task::JoinHandle<u64>,
}

impl Lease {
    /// Waits until the lease is free and takes it; `None` when `stop` comes first.
    pub async fn acquire(
        bus: &Bus,
        config: &LeaseConfig,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, LeaseError> {
        let mut vacancy = Vacancy::of(bus, config);
        let acquired = tokio::select! {
            acquired = Self::acquire_when_free(bus, config, &mut vacancy) => acquired.map(Some),
            () = stop.cancelled() => Ok(None),
        };
        vacancy.close().await;
        acquired
    }

    async fn acquire_when_free(
        bus: &Bus,
        config: &LeaseConfig,
        vacancy: &mut Vacancy<'_>,
    ) -> Result<Self, LeaseError> {
        loop {
            match Self::try_acquire(bus, config).await {
                Ok(Some(lease)) => return Ok(lease),
                Ok(None) => {}
                Err(error) if error.is_final() => return Err(error),
                Err(error) => tracing::warn!(key = config.key, %error, "cannot take a lease yet"),
            }
            vacancy.wait().await;
        }
    }

    /// Takes the lease if it is free.
    pub async fn try_acquire(bus: &Bus, config: &LeaseConfig) -> Result<Option<Self>, LeaseError> {
        let bucket = bus.bucket(&config.bucket);
        check_length(&bucket, config).await?;
        let sent = Instant::now();
        match bucket.create(&config.key, config.holder.as_bytes()).await {
            Ok(fence) => Ok(Some(Self::begin(bus, bucket, config, fence, sent))),
            Err(BucketError::Exists(_)) => Ok(None),
            Err(source) => Err(config.failed(source)),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the renewal belongs to the lease, not to a worker"
    )]
    fn begin(bus: &Bus, bucket: Bucket, config: &LeaseConfig, fence: u64, sent: Instant) -> Self {
        let (lost, released) = (CancellationToken::new(), CancellationToken::new());
        let renewal = Renewal {
            bus: bus.clone(),
            bucket: bucket.clone(),
            config: config.clone(),
            revision: fence,
            sent,
            lost: lost.clone(),
        };
        let renewal = tokio::spawn(renewal.run(released.clone()));
        tracing::info!(key = config.key, fence, "lease taken");
        Self { bucket, config: config.clone(), fence, lost, released, renewal }
    }

    /// Grows with every holder: what a later holder writes carries a higher one.
    pub const fn fence(&self) -> u64 {
        self.fence
    }

    /// Cancelled when the lease could not be renewed: stop now, somebody else may begin.
    pub const fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Gives the lease back, so that the next one need not wait for its end.
    pub async fn release(mut self) {
        self.released.cancel();
        let Ok(revision) = (&mut self.renewal).await else { return };
        if self.lost.is_cancelled() {
            return;
        }
        match self.remove(revision).await {
            Ok(()) => tracing::info!(key = self.config.key, "lease released"),
            Err(error) => {
                tracing::warn!(key = self.config.key, %error, "the lease will end by itself");
            }
        }
    }

    /// Removes the key. A renewal that was cut off may have been stored, so the revision may be
    /// newer than known; the holder's name says whether it is still ours.
    async fn remove(&self, revision: u64) -> Result<(), BucketError> {
        let key = &self.config.key;
        match self.bucket.delete(key, revision).await {
            Err(BucketError::Stale { .. }) => {}
            removed => return removed,
        }
        match self.bucket.get(key).await? {
            Some(entry) if entry.value == self.config.holder.as_bytes() => {
                self.bucket.delete(key, entry.revision).await
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Drop for Lease {
    /// A lease that is dropped is not renewed; it ends by itself.
    fn drop(&mut self) {
        self.released.cancel();
    }
}

/// Keeps one lease alive.
struct Renewal {
    bus: Bus,
    bucket: Bucket,
    config: LeaseConfig,
    revision: u64,
    /// When the last successful renewal was sent: the server counts from no earlier.
    sent: Instant,
    lost: CancellationToken,
}

impl Renewal {
    async fn run(mut self, released: CancellationToken) -> u64 {
        let metrics = self.bus.shell().metrics.clone();
        let held = metrics.gauge_with(Name::LeaseHeld, &[("lease", &self.config.bucket)]);
        held.inc();
        tokio::select! {
            () = self.renew_until_lost() => {
                tracing::error!(key = self.config.key, "lease lost: it could not be renewed in time");
                let lost = metrics.counter_with(Name::LeaseLostTotal, &[("lease", &self.config.bucket)]);
                lost.inc();
                self.lost.cancel();
            }
            () = released.cancelled() => {}
        }
        held.dec();
        self.revision
    }

    async fn renew_until_lost(&mut self) {
        loop {
            tokio::time::sleep_until(self.sent + self.config.ttl / 3).await;
            let deadline = self.sent + gives_up_after(self.config.ttl);
            match timeout_at(deadline, self.renew()).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }

    /// Renews once; `false` when somebody else has the lease.
    async fn renew(&mut self) -> bool {
        loop {
            let sent = Instant::now();
            let LeaseConfig { key, holder, .. } = &self.config;
            match self.bucket.update(key, holder.as_bytes(), self.revision).await {
                Ok(revision) => {
                    self.revision = revision;
                    self.sent = sent;
                    return true;
                }
                Err(BucketError::Stale { .. }) => match self.bucket.get(key).await {
                    // An earlier renewal was stored although its answer never came.
                    Ok(Some(entry)) if entry.value == holder.as_bytes() => {
                        self.revision = entry.revision;
                    }
                    Ok(Some(_) | None) => return false,
                    Err(error) => self.wait_after(&error).await,
                },
                Err(error) => self.wait_after(&error).await,
            }
        }
    }

    async fn wait_after(&self, error: &BucketError) {
        tracing::warn!(key = self.config.key, %error, "cannot renew a lease yet");
        tokio::time::sleep(self.config.ttl / 20).await;
    }
}
