//! A database that is down, or has no connection left: mining does not notice, and the recorder
//! catches up.

use super::{
    Field,
    asleep::{Frozen, ended, started_again},
};
use crate::network::Connection;
use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use sqlx::{
    Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::time::Duration;
use tokio::time::sleep;

/// More connections than the server gives.
const MAX_HELD: usize = 500;
/// SQLSTATE of a server that has no connection left (PostgreSQL's manual, appendix A).
const TOO_MANY_CONNECTIONS: &str = "53300";
/// How often to look whether a freed connection can be taken.
const BETWEEN_GRABS: Duration = Duration::from_millis(50);
/// The recorder's name in the database.
const RECORDER: &str = "share_recorder";

/// PostgreSQL is ended and stays down: the supervisor sleeps meanwhile.
pub(super) async fn down(field: &mut Field<'_>) -> anyhow::Result<()> {
    field.work_for_a_while(Duration::from_secs(2)).await;
    let core = field.network.bus("operator").await?;
    let asleep = Frozen::supervisor(field.network)?;
    // A fast shutdown: it breaks all connections, and what it was told it keeps.
    let pid = field.network.signal("servers", "postgresql", Signal::INT).await?;
    ended(pid).await?;
    mining_goes_on(field, &core, field.secs(15, 120)).await?;
    asleep.wake()?;
    started_again(field, "servers", "postgresql", pid).await?;
    field.until_recorded().await?;
    core.finish().await
}

/// Somebody else has all connections, those that the recorder had too.
pub(super) async fn full_up(field: &mut Field<'_>) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    let mut admin = superuser(field).await?;
    let mut held = grab(field).await?;
    while disconnect_recorder(&mut admin).await? > 0 {
        held.extend(grab(field).await?);
    }
    let before = recorded_until(&mut admin).await?;
    let pause = field.secs(10, 60);
    mining_goes_on(field, &core, pause).await?;
    ensure!(
        recorded_until(&mut admin).await? == before,
        "the recorder recorded without a database"
    );
    let status = field.network.status().await?;
    let health = status.text("/workers/share-recorder/health")?;
    ensure!(health == "unready", "the recorder has no database and says that it is {health}");
    field.note(format!("all {} connections taken for {pause:?}", held.len()));
    for connection in held {
        connection.close().await?;
    }
    admin.close().await?;
    field.until_recorded().await?;
    core.finish().await
}

/// Miners are acknowledged and credited for a while.
async fn mining_goes_on(
    field: &mut Field<'_>,
    core: &Connection,
    pause: Duration,
) -> anyhow::Result<()> {
    let credited = async || anyhow::Ok(core.bus.stream_info(streams::SHARES).await?.last_sequence);
    let (acknowledged, stored) = (field.network.acknowledged_count()?, credited().await?);
    sleep(pause).await; // time itself: the database is away for a while
    let acknowledged = field.network.acknowledged_count()?.saturating_sub(acknowledged);
    let stored = credited().await?.saturating_sub(stored);
    field.note(format!(
        "{acknowledged} shares acknowledged and {stored} batches accepted in {pause:?} without a \
         database"
    ));
    ensure!(acknowledged > 0, "no share was acknowledged without a database");
    ensure!(stored > 0, "no share was accepted without a database");
    Ok(())
}

/// Takes connections until there are none.
async fn grab(field: &Field<'_>) -> anyhow::Result<Vec<PgConnection>> {
    let url = field.network.status().await?.text("/endpoints/postgresql")?;
    let mut held = Vec::new();
    while held.len() < MAX_HELD {
        match PgConnection::connect(&url).await {
            Ok(connection) => held.push(connection),
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(TOO_MANY_CONNECTIONS) =>
            {
                return Ok(held);
            }
            Err(error) => return Err(error).context("the database cannot be reached"),
        }
    }
    bail!("the database has no bound on connections")
}

/// Breaks the recorder's connections; how many it had.
async fn disconnect_recorder(admin: &mut PgConnection) -> anyhow::Result<usize> {
    let breaking = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
    let broken = admin.fetch_all(sqlx::query(breaking).bind(RECORDER)).await?.len();
    // A backend takes a moment to end, and only then its slot is free.
    sleep(BETWEEN_GRABS).await; // polls
    Ok(broken)
}

/// Up to which message of SHARES everything is recorded.
async fn recorded_until(admin: &mut PgConnection) -> anyhow::Result<i64> {
    let position = "SELECT max(last_seq) FROM stream_position WHERE reader = 'shares'";
    Ok(sqlx::query_scalar(position).fetch_one(admin).await?)
}

/// A connection as the one who administers the cluster: the server keeps some for that.
async fn superuser(field: &Field<'_>) -> anyhow::Result<PgConnection> {
    let url = field.network.status().await?.text("/endpoints/postgresql")?;
    let password = field.network.data().join("secrets/postgresql-postgres");
    let password = std::fs::read_to_string(password).context("no password of the superuser")?;
    let options = url.parse::<PgConnectOptions>()?.username("postgres").password(&password);
    Ok(PgConnection::connect_with(&options.ssl_mode(PgSslMode::Disable)).await?)
}
