//! Recorders that stand by, and take over when the active one goes.

use super::{Field, flow, instance::Instance, pulse::Pulse};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use sqlx::PgPool;
use std::time::Duration;

/// The worker.
const RECORDER: &str = "share-recorder";

/// Longest time that the network works between two ends.
const BETWEEN_MOVES: Duration = Duration::from_secs(2);

/// Each recorder goes once as an operator ends it and once by `kill -9`, so that the active one is
/// among them whichever it is; those that stand by take over.
pub(super) async fn come_and_go(field: &mut Field<'_>) -> anyhow::Result<()> {
    let more = field.times(1, 3);
    for (signal, most) in [(Signal::TERM, flow::PLANNED), (Signal::KILL, flow::CRASH)] {
        let mut standby = Vec::new();
        for _ in 0..more {
            standby.push(Instance::start(field, RECORDER)?);
        }
        field.until_recorded_more(20).await?;
        let database = field.network.database().await?;
        let pulse = Pulse::of(move || position(database.clone()));
        field.work_for_a_while(BETWEEN_MOVES).await;
        field.network.replace("workers", RECORDER, signal).await?;
        field.network.ready().await?;
        for instance in standby {
            field.until_recorded_more(20).await?;
            field.work_for_a_while(BETWEEN_MOVES).await;
            if signal == Signal::TERM { instance.end().await? } else { instance.kill().await? }
        }
        field.until_recorded_more(20).await?;
        let pause = pulse.longest().await?;
        field.note(format!("{} recorders, {signal:?}: longest pause {pause:?}", more + 1));
        ensure!(pause <= most, "{signal:?}: nothing was recorded for {pause:?}");
    }
    Ok(())
}

/// How much of the accounting record is in the database.
async fn position(database: PgPool) -> anyhow::Result<u64> {
    let query = "SELECT max(last_seq) FROM stream_position WHERE stream = $1";
    let position: Option<i64> =
        sqlx::query_scalar(query).bind(streams::SHARES).fetch_one(&database).await?;
    Ok(u64::try_from(position.context("nothing was ever recorded")?)?)
}
