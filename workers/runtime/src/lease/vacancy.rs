//! When a lease that somebody else has becomes free.

use super::LeaseConfig;
use crate::bus::{Bucket, BucketError, Bus, Change, ReadError, Watch};
use std::time::Duration;
use subjects::Timestamp;
use tokio::time::{Instant, sleep_until};

/// Pause between two tries to take what should have aged out. The server lets go at most a quarter
/// of a second late, because it looks no more often.
pub(super) const AGAIN: Duration = Duration::from_millis(50);

/// Tries at that pace: twice as long as the server may take.
const TRIES: u32 = 10;

/// Pause between two tries after those, and while the bucket does not work.
pub(super) const LATER: Duration = Duration::from_millis(500);

/// A moment by the server's clock and by this process's own.
///
/// An entry that is found in a bucket may be as old as a lease. Its age is the difference of two
/// times of the server, so that it does not matter what time it is here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    there: Timestamp,
    here: Instant,
}

impl Moment {
    pub(super) async fn ask(bucket: &Bucket) -> Result<Self, BucketError> {
        let here = Instant::now();
        Ok(Self { there: bucket.now().await?, here })
    }

    /// When an entry was set that was there at this moment, by this process's clock.
    pub(super) fn own_time_of(&self, set: Timestamp) -> Instant {
        let age = Duration::from_millis(self.there.millis_since(set));
        self.here.checked_sub(age).unwrap_or(self.here)
    }
}

/// Waits for one lease.
pub(super) struct Vacancy<'a> {
    config: &'a LeaseConfig,
    bucket: Bucket,
    watched: Option<Watched>,
    /// When the lease should be free, if nothing is heard before.
    free_at: Instant,
    /// How often it was not.
    tries: u32,
}

struct Watched {
    watch: Watch,
    /// When the watch began; `None` if the server did not say.
    begun: Option<Moment>,
}

impl<'a> Vacancy<'a> {
    pub(super) fn of(bus: &Bus, config: &'a LeaseConfig) -> Self {
        let bucket = bus.bucket(&config.bucket);
        Self { config, bucket, watched: None, free_at: Instant::now(), tries: 0 }
    }

    /// Waits until the lease may be free: at once when it is given back, or when its holder has
    /// not renewed it for its length, because a key that ages out says nothing.
    pub(super) async fn wait(&mut self) {
        let pause = if self.watched.is_some() && self.tries < TRIES { AGAIN } else { LATER };
        self.tries = self.tries.saturating_add(1);
        self.free_at = self.free_at.max(Instant::now() + pause);
        loop {
            let free_at = self.free_at;
            let changed = tokio::select! {
                changed = self.changed() => changed,
                () = sleep_until(free_at) => return,
            };
            match changed {
                Ok(Some(set)) => (self.free_at, self.tries) = (set + self.config.ttl, 0),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(key = self.config.key, %error, "cannot watch a lease");
                    self.watched = None;
                    return tokio::time::sleep(LATER).await;
                }
            }
        }
    }

    /// When the lease was taken or renewed; `None` when it was given back. May be cancelled.
    async fn changed(&mut self) -> Result<Option<Instant>, ReadError> {
        let Watched { watch, begun } = self.watched().await?;
        let was_there = !watch.caught_up();
        Ok(match watch.next().await? {
            Change::Put(entry) => Some(match begun {
                Some(begun) if was_there => begun.own_time_of(entry.created_at),
                Some(_) | None => Instant::now(),
            }),
            Change::Removed { .. } => None,
        })
    }

    async fn watched(&mut self) -> Result<&mut Watched, ReadError> {
        let watched = match self.watched.take() {
            Some(watched) => watched,
            None => {
                let begun = Moment::ask(&self.bucket).await.ok();
                let mut watch = self.bucket.watch(&self.config.key);
                watch.opened().await?;
                Watched { watch, begun }
            }
        };
        Ok(self.watched.insert(watched))
    }

    pub(super) async fn close(self) {
        if let Some(Watched { watch, .. }) = self.watched {
            watch.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_old_as_the_server_says_whatever_time_it_is_here() {
        let here = Instant::now() + Duration::from_secs(60);
        let moment = Moment { there: Timestamp(1_000_000), here };
        let set = |millis| moment.own_time_of(Timestamp(millis));
        assert_eq!(set(994_500), here - Duration::from_millis(5_500));
        assert_eq!(set(1_000_000), here);
        // By the clock of a server that is ahead of the one that was asked.
        assert_eq!(set(1_000_300), here);
    }
}
