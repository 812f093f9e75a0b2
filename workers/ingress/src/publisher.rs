//! The lane's way to the bus: one batch in flight, and whoever waits for it is told.

use crate::{
    domain::lane::{Lane, NotInFlight, NotTaken, Taken},
    figures::Figures,
    port::Port,
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use subjects::shares::MAX_SHARES;
use tokio::{
    sync::Notify,
    time::{Interval, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use worker_runtime::{Publication, PublishError};

/// Where a connection hears that its shares are stored.
#[derive(Debug, Default)]
pub struct Reply {
    stored: AtomicUsize,
    wake: Notify,
}

impl Reply {
    fn report(&self, shares: usize) {
        self.stored.fetch_add(shares, Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Waits until something was reported. May be cancelled; then nothing is lost.
    pub async fn reported(&self) {
        self.wake.notified().await;
    }

    /// How many more of the connection's shares are stored, oldest first.
    pub fn take(&self) -> usize {
        self.stored.swap(0, Ordering::AcqRel)
    }
}

/// The lane, shared by all connections.
#[derive(Debug)]
pub struct Queue {
    lane: Mutex<Lane<Arc<Reply>>>,
    capacity: usize,
    /// There is a first share to publish, or enough for a whole batch.
    waiting: Notify,
    room: Notify,
}

impl Queue {
    /// Wraps a lane with room for `capacity` shares.
    pub fn new(lane: Lane<Arc<Reply>>, capacity: usize) -> Self {
        Self { lane: Mutex::new(lane), capacity, waiting: Notify::new(), room: Notify::new() }
    }

    /// Hands a share in.
    ///
    /// # Errors
    ///
    /// When the lane does not take it; the share comes back.
    pub fn offer(&self, reply: &Arc<Reply>, taken: Taken) -> Result<(), (NotTaken, Taken)> {
        let waiting = {
            let mut lane = self.lock();
            lane.offer(Arc::clone(reply), taken)?;
            lane.waiting()
        };
        // Nobody waits for any other number.
        if waiting == 1 || waiting == MAX_SHARES {
            self.waiting.notify_one();
        }
        Ok(())
    }

    /// Shares that wait for the bus.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether no share waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether so many shares wait that no further connection should be taken.
    pub fn is_backed_up(&self) -> bool {
        self.len() >= self.capacity.div_ceil(2)
    }

    /// Waits until there is room. Others may take it first; then the share waits again.
    pub async fn room(&self) {
        let notified = self.room.notified();
        tokio::pin!(notified);
        // From here on no notification is missed.
        notified.as_mut().enable();
        if self.len() >= self.capacity {
            notified.await;
        }
    }

    /// Waits for a batch that is worth its message; `false` when all are stored and `done`.
    async fn gather(&self, pace: &mut Interval, done: &CancellationToken) -> bool {
        while self.lock().waiting() == 0 {
            tokio::select! {
                () = self.waiting.notified() => {}
                () = done.cancelled() => return !self.is_empty(),
            }
        }
        while self.lock().waiting() < MAX_SHARES {
            tokio::select! {
                _ = pace.tick() => break,
                () = self.waiting.notified() => {}
                () = done.cancelled() => break,
            }
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Lane<Arc<Reply>>> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What ends the lane's way to the bus before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// The bus will never take a batch.
    #[error("the lane's shares cannot be stored")]
    Publish(#[from] PublishError),
    /// The lane was told of a batch that it does not wait for.
    #[error(transparent)]
    NotInFlight(#[from] NotInFlight),
}

/// Least time between the starts of two batches that are not full, 200 in a second.
///
/// A batch costs some 100 us of processor time at the ingress, at the bus and at its readers each,
/// whatever is in it: at a few thousand shares a second that would be more than all the shares.
const BATCH_INTERVAL: Duration = Duration::from_millis(5);

/// Publishes the lane's batches one after another until `done` is cancelled and all are stored.
///
/// While one is being stored the next one fills. An idle lane sends at once; a busy one waits for
/// a full batch, but not longer than until [`BATCH_INTERVAL`] after the one before began.
///
/// # Errors
///
/// When a batch will never be stored. Nothing in it is ever acknowledged then.
pub async fn run<P: Port>(
    queue: &Queue,
    port: &P,
    figures: &Figures,
    done: &CancellationToken,
) -> Result<(), LaneError> {
    let mut pace = tokio::time::interval(BATCH_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while queue.gather(&mut pace, done).await {
        let next = queue.lock().next_batch();
        let Some(batch) = next else { continue };
        figures.unacknowledged(queue.len());
        port.publish(Publication::any(&batch)).await?;
        let replies = queue.lock().stored(batch.batch)?;
        for run in replies.chunk_by(Arc::ptr_eq) {
            if let Some(reply) = run.first() {
                reply.report(run.len());
            }
        }
        figures.batch_stored(batch.shares.len());
        figures.unacknowledged(queue.len());
        queue.room.notify_waiters();
    }
    Ok(())
}
