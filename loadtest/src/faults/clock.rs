//! Hosts whose clocks are wrong.
//!
//! Sequence numbers and counts of tips decide between hosts, so a wrong clock changes nothing of
//! what is credited, stated and recorded. A worker's clock is set wrong as `faketime` does it: by
//! a library that is loaded before the system's own.

use super::{
    Field, Scale,
    asleep::{Frozen, ended, started_again},
    hearing::Hearing,
    instance::Instance,
};
use crate::network::{self, Connection};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use sqlx::PgPool;
use std::{path::PathBuf, time::Duration};
use subjects::{Payload as _, shares::Accepted};
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// How wrong a clock is.
const WRONG_SECS: i64 = 600;
/// Where distributions put the library.
const FOLDERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
];
/// The library, in its variant for programs with several threads.
const LIBRARY: &str = "libfaketimeMT.so.1";
/// The worker of the node; all others are Core's.
const INGRESS: &str = "ingress-sv2";

/// The clock of the node's host is wrong, then that of Core's, in either direction.
pub(super) async fn off(field: &mut Field<'_>) -> anyhow::Result<()> {
    let all = field.network.ready().await?.names("/workers")?;
    let (node, core): (Vec<_>, Vec<_>) = all.into_iter().partition(|worker| worker == INGRESS);
    let ahead = if field.seed().is_multiple_of(2) { WRONG_SECS } else { -WRONG_SECS };
    let wrong = match field.scale {
        Scale::Short => vec![(&node, ahead), (&core, -ahead)],
        Scale::Full => vec![(&node, ahead), (&core, ahead), (&node, -ahead), (&core, -ahead)],
    };
    for (host, ahead) in wrong {
        off_by(field, host, ahead).await.with_context(|| {
            format!("with a clock that is {ahead} s ahead at {}", host.join(", "))
        })?;
        field.network.ready().await?;
    }
    Ok(())
}

/// Some workers are replaced by others whose clock is ahead, work, and get their places back.
async fn off_by(field: &mut Field<'_>, workers: &[String], ahead: i64) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    let database = field.network.database().await?;
    let asleep = Frozen::supervisor(field.network)?;
    let mut before = Vec::new();
    for worker in workers {
        before.push(field.network.signal("workers", worker, Signal::TERM).await?);
    }
    for pid in &before {
        ended(*pid).await?;
    }
    let library = library()?;
    let (library, by) = (library.to_str().context("its path is no text")?, format!("{ahead:+}s"));
    let wrong = [
        ("LD_PRELOAD", library),
        ("FAKETIME", by.as_str()),
        // Time that has passed is counted by another clock, which runs on.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let others: Vec<_> = workers
        .iter()
        .map(|worker| Instance::start_in(field, worker, &wrong))
        .collect::<anyhow::Result<_>>()?;
    for _ in 0..field.times(1, 5) {
        let hearing = Hearing::begin(field.network).await?;
        field.until_acknowledged(30).await?;
        hearing.until_all(field.network).await?;
        recorded(field, &core, &database).await?;
    }
    for other in &others {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", other.pid()?))?;
        ensure!(maps.contains(LIBRARY), "its clock is not wrong: {LIBRARY} is not loaded");
    }
    if workers.iter().any(|worker| worker == INGRESS) {
        says_wrong_time(field, &core, ahead).await?;
    }
    for other in others {
        other.end().await?;
    }
    asleep.wake()?;
    for (worker, pid) in workers.iter().zip(before) {
        started_again(field, "workers", worker, pid).await?;
    }
    core.finish().await
}

/// Waits until all that Core has accepted so far is in the database.
async fn recorded(field: &Field<'_>, core: &Connection, database: &PgPool) -> anyhow::Result<()> {
    let shares = core.bus.stream_info(streams::SHARES).await?;
    let deadline = field.network.clock().monotonic() + network::PATIENCE;
    let position = "SELECT coalesce(max(last_seq), 0) FROM stream_position \
                    WHERE reader = 'shares' AND created = $1";
    loop {
        let created = i64::try_from(shares.created)?;
        let through: i64 = sqlx::query_scalar(position).bind(created).fetch_one(database).await?;
        if u64::try_from(through)? >= shares.last_sequence {
            return Ok(());
        }
        let in_time = field.network.clock().monotonic() < deadline;
        ensure!(in_time, "recorded until {through} of {}", shares.last_sequence);
        sleep(Duration::from_millis(100)).await; // polls
    }
}

/// What the ingress says of when a batch was opened is wrong by that much: its clock is.
async fn says_wrong_time(field: &Field<'_>, core: &Connection, ahead: i64) -> anyhow::Result<()> {
    let last = core.bus.last(streams::SHARES, Accepted::FILTER).await?;
    let opened = Accepted::decode(&last.context("SHARES is empty")?.body)?.opened_at;
    let now = field.network.clock().now();
    let found = i64::try_from(opened.0)?.saturating_sub(i64::try_from(now.0)?) / 1_000;
    let off = found.saturating_sub(ahead).abs();
    ensure!(off < WRONG_SECS / 2, "its clock is {found} s ahead, not {ahead}");
    Ok(())
}

fn library() -> anyhow::Result<PathBuf> {
    let found = FOLDERS.iter().map(|folder| PathBuf::from(folder).join(LIBRARY));
    found.into_iter().find(|path| path.exists()).context(
        "libfaketime is not installed: on Debian, `deploy/regtest/prepare.sh` does so as root",
    )
}
