//! The lane's way to the bus: one batch in flight, and whoever waits for it is told.

use crate::{
    domain::lane::{Lane, NotInFlight, NotTaken, Taken},
    figures::Figures,
    port::Port,
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;
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
        self.lock().offer(Arc::clone(reply), taken)?;
        self.waiting.notify_one();
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

/// Publishes the lane's batches one after another until `done` is cancelled and all are stored.
///
/// Batches are not held back to fill: while one is being stored the next one fills by itself, and
/// an idle lane sends at once.
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
    loop {
        let next = queue.lock().next_batch();
        let Some(batch) = next else {
            tokio::select! {
                () = queue.waiting.notified() => continue,
                () = done.cancelled(), if queue.is_empty() => return Ok(()),
            }
        };
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
}
