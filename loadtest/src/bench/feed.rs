//! Brings batches onto the bus as ingresses do: on each lane in order, one at a time.

use crate::bench::meter::float;
use anyhow::Context as _;
use sqlx::PgPool;
use std::time::Duration;
use subjects::shares::MAX_SHARES;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use worker_runtime::{Bus, Publication, clock::Clock};

/// Pause between two looks at the recorder's position.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// How long the recorder may stand still while there is something to record.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Publishes `lanes`, each batch when its lane's one before is stored and `room` has a place.
///
/// # Errors
///
/// When the bus does not take a batch.
pub(super) async fn publish(
    bus: &Bus,
    lanes: Vec<Vec<Publication>>,
    room: &std::sync::Arc<Semaphore>,
) -> anyhow::Result<()> {
    let mut publishing = JoinSet::new();
    for lane in lanes {
        let (bus, room) = (bus.clone(), std::sync::Arc::clone(room));
        publishing.spawn(async move {
            for batch in lane {
                room.acquire().await?.forget();
                bus.publish(batch).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = publishing.join_next().await {
        done??;
    }
    Ok(())
}

/// The last message of SHARES that is in the book.
///
/// # Errors
///
/// When the database does not say.
pub(super) async fn recorded(database: &PgPool) -> anyhow::Result<u64> {
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT last_seq FROM stream_position WHERE reader = 'shares' ORDER BY created DESC LIMIT 1",
    )
    .fetch_optional(database)
    .await
    .context("the database does not say how far the recorder is")?;
    Ok(last.unwrap_or_default().unsigned_abs())
}

/// Shares in the book.
///
/// # Errors
///
/// When the database does not say.
pub(super) async fn shares(database: &PgPool) -> anyhow::Result<u64> {
    let shares: i64 =
        sqlx::query_scalar("SELECT coalesce(sum(shares), 0)::bigint FROM share_minutes_by_node")
            .fetch_one(database)
            .await
            .context("the database does not say how many shares there are")?;
    Ok(shares.unsigned_abs())
}

/// Watches the recorder until it has come to `until`, and gives `room` back for what is recorded.
/// `at` hears of every step.
///
/// # Errors
///
/// When the recorder stands still.
pub(super) async fn watch(
    database: &PgPool,
    clock: &dyn Clock,
    room: &Semaphore,
    until: u64,
    mut at: impl FnMut(u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut position = recorded(database).await?;
    let mut moved = clock.monotonic();
    while position < until {
        sleep(BETWEEN_LOOKS).await; // polls
        let now = recorded(database).await?;
        if now > position {
            room.add_permits(usize::try_from(now - position)?);
            (position, moved) = (now, clock.monotonic());
            at(position)?;
        }
        let stood = clock.monotonic().saturating_sub(moved);
        anyhow::ensure!(stood < STANDSTILL, "nothing is recorded after message {position}");
    }
    Ok(())
}

/// Shares of so many full messages.
pub(super) fn shares_of(messages: u64) -> f64 {
    float(messages) * float(MAX_SHARES as u64)
}
