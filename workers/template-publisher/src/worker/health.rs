//! Says how the providers are, beside everything else: a slow stream of health facts must not
//! delay a tip.

use std::time::Duration;
use subjects::templates::Health;
use tokio::{sync::watch, time::MissedTickBehavior};
use worker_runtime::{Bus, Publication};

/// Publishes the latest health of every provider, again and again, until it is dropped.
pub(super) async fn publish(
    bus: Bus,
    mut healths: watch::Receiver<Vec<Health>>,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let latest = healths.borrow_and_update().clone();
        for health in latest {
            bus.publish(Publication::any(&health)).await?;
        }
        // One that was said is not said again; the next one has a later time.
        if healths.changed().await.is_err() {
            return Ok(());
        }
        ticks.tick().await;
    }
}
