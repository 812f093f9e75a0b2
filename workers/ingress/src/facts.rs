//! What is told of sessions and of shares that were turned away: statistics. They never hold a
//! share or a block up.

use crate::{domain::rejections::Rejections, port::Port};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use subjects::sessions::Changed;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use worker_runtime::{Publication, PublishError, clock::Clock};

/// Session facts that may wait for the bus: those of a reconnect storm of 10 000 miners.
pub const MAX_WAITING: usize = 16_384;
/// Session facts that are on their way to the bus at once; it acknowledges each.
const AT_ONCE: usize = 256;
/// How long facts that wait may take once the lane's shares are stored.
const LAST_FACTS: Duration = Duration::from_secs(3);
/// How often counts are told.
const MINUTE: Duration = Duration::from_secs(60);

/// Publishes sessions' facts until no more can come, or, once the lane's shares are `published`, for
/// a last while. Says how many were left untold.
///
/// # Errors
///
/// When the bus will never take one.
pub async fn run_sessions<P: Port>(
    mut facts: mpsc::Receiver<Changed>,
    port: P,
    published: CancellationToken,
) -> Result<usize, PublishError> {
    let mut publishing = FuturesUnordered::new();
    let last = async {
        published.cancelled().await;
        tokio::time::sleep(LAST_FACTS).await; // time itself
    };
    tokio::pin!(last);
    let mut more = true;
    while more || !publishing.is_empty() {
        tokio::select! {
            fact = facts.recv(), if more && publishing.len() < AT_ONCE => match fact {
                Some(fact) => publishing.push(publish(&port, fact)),
                None => more = false,
            },
            Some(published) = publishing.next() => published?,
            () = &mut last => return Ok(facts.len() + publishing.len()),
        }
    }
    Ok(0)
}

async fn publish<P: Port>(port: &P, fact: Changed) -> Result<(), PublishError> {
    port.publish(Publication::any(&fact)).await
}

/// Publishes the counts of every minute until `done`, and then those of the last one.
///
/// # Errors
///
/// When the bus will never take them.
pub async fn run_rejections<P: Port>(
    rejections: Arc<Mutex<Rejections>>,
    clock: Arc<dyn Clock>,
    port: P,
    done: CancellationToken,
) -> Result<(), PublishError> {
    let mut minutes = tokio::time::interval(MINUTE);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            _ = minutes.tick() => false,
            () = done.cancelled() => true,
        };
        // The minute that ends now began before now.
        let now = clock.now();
        let minute = subjects::Timestamp(now.0.saturating_sub(1));
        let ended = {
            let mut rejections = rejections.lock().unwrap_or_else(PoisonError::into_inner);
            rejections.end_minute(minute)
        };
        for counts in ended {
            port.publish(Publication::any(&counts)).await?;
        }
        if last {
            return Ok(());
        }
    }
}
