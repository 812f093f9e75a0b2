//! The book in PostgreSQL with TimescaleDB.

mod copy;

mod keys;

mod shares;

mod minutes;

mod blocks;

use crate::{
    config::Database,
    domain::{Batch, Feed},
    port::{Book, BookError, Written},
};
use keys::{Keys, Resolved};
use secrecy::SecretString;
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, pool::PoolConnection, postgres::PgPoolOptions,
};
use std::time::Duration;
use tokio::time::error::Elapsed;

/// One feed's hand on the book in PostgreSQL. Hands share a bounded pool of connections.
#[derive(Debug)]
pub struct PostgresBook {
    pool: PgPool,
    transaction_timeout: Duration,
    keys: Keys,
}

/// A pool that connects when it is first used, so that a worker starts without its database.
///
/// # Errors
///
/// When the URL names no database server.
pub fn pool(database: &Database, password: Option<&SecretString>) -> Result<PgPool, sqlx::Error> {
    let options = database.options(password)?;
    let pool = PgPoolOptions::new()
        .max_connections(database.max_connections.get())
        .acquire_timeout(database.connect_timeout());
    Ok(pool.connect_lazy_with(options))
}

impl PostgresBook {
    /// A hand on the book behind `pool`.
    pub fn new(pool: PgPool, transaction_timeout: Duration) -> Self {
        Self { pool, transaction_timeout, keys: Keys::default() }
    }

    async fn connection(&self) -> Result<PoolConnection<Postgres>, BookError> {
        self.pool.acquire().await.map_err(failure)
    }
}

impl Book for PostgresBook {
    async fn position(&mut self, feed: Feed, incarnation: u64) -> Result<u64, BookError> {
        let mut connection = self.connection().await?;
        let work = position(&mut connection, feed, incarnation);
        let answer = tokio::time::timeout(self.transaction_timeout, work).await;
        self.settled(connection, answer)
    }

    async fn record(&mut self, batch: &Batch) -> Result<Written, BookError> {
        let mut connection = self.connection().await?;
        let work = record(&mut connection, &mut self.keys, batch);
        let answer = tokio::time::timeout(self.transaction_timeout, work).await;
        self.settled(connection, answer)
    }
}

impl PostgresBook {
    /// Closes a connection on which anything went wrong: nobody knows what it would answer next.
    fn settled<T>(
        &self,
        mut connection: PoolConnection<Postgres>,
        answer: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, BookError> {
        let outcome = match answer {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => failure(error),
            Err(_) => BookError::TimedOut(self.transaction_timeout),
        };
        connection.close_on_drop();
        Err(outcome)
    }
}

async fn position(
    connection: &mut PgConnection,
    feed: Feed,
    incarnation: u64,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "INSERT INTO stream_position (reader, stream, created, last_seq) VALUES ($1, $2, $3, 0) \
         ON CONFLICT DO NOTHING",
    )
    .bind(feed.reader())
    .bind(feed.stream())
    .bind(bigint(incarnation))
    .execute(&mut *connection)
    .await?;
    let position: i64 = sqlx::query_scalar(
        "SELECT last_seq FROM stream_position WHERE reader = $1 AND stream = $2 AND created = $3",
    )
    .bind(feed.reader())
    .bind(feed.stream())
    .bind(bigint(incarnation))
    .fetch_one(connection)
    .await?;
    Ok(position.unsigned_abs())
}

async fn record(
    connection: &mut PgConnection,
    keys: &mut Keys,
    batch: &Batch,
) -> Result<Written, sqlx::Error> {
    let resolved = keys.resolve(connection, batch.parties()).await?;
    let mut transaction = connection.begin().await?;
    let position = locked_position(&mut transaction, batch).await?;
    if position != batch.after() {
        transaction.rollback().await?;
        return Ok(Written::Elsewhere { position });
    }
    write(&mut transaction, &resolved, batch).await?;
    transaction.commit().await?;
    Ok(Written::Whole)
}

/// Where the position stands. It stands still until the transaction ends: of two recorders, one
/// waits here and then finds that the other was faster.
async fn locked_position(
    transaction: &mut PgConnection,
    batch: &Batch,
) -> Result<u64, sqlx::Error> {
    let position: Option<i64> = sqlx::query_scalar(
        "SELECT last_seq FROM stream_position \
         WHERE reader = $1 AND stream = $2 AND created = $3 FOR UPDATE",
    )
    .bind(batch.feed().reader())
    .bind(batch.feed().stream())
    .bind(bigint(batch.incarnation()))
    .fetch_optional(transaction)
    .await?;
    Ok(position.unwrap_or_default().unsigned_abs())
}

async fn write(
    transaction: &mut PgConnection,
    keys: &Resolved,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    shares::write(transaction, keys, batch).await?;
    minutes::write(transaction, keys, batch).await?;
    blocks::write(transaction, keys, batch).await?;
    let moved = sqlx::query(
        "UPDATE stream_position SET last_seq = $4, moved_at = now() \
         WHERE reader = $1 AND stream = $2 AND created = $3 AND last_seq = $5",
    )
    .bind(batch.feed().reader())
    .bind(batch.feed().stream())
    .bind(bigint(batch.incarnation()))
    .bind(bigint(batch.through()))
    .bind(bigint(batch.after()))
    .execute(transaction)
    .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// A number as PostgreSQL's `bigint` can hold it.
fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What an error means for the recorder: wait, or call somebody (SQLSTATE classes of PostgreSQL,
/// appendix A of its manual).
fn failure(error: sqlx::Error) -> BookError {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    let (class, answered) =
        (code.get(..2).unwrap_or_default(), error.as_database_error().is_some());
    match (answered, class, code.as_ref()) {
        (true, _, "42P01" | "42703" | "42883" | "42P10") => BookError::NotMigrated(error.into()),
        // Connection, resources, operator, system, rollback of a deadlock, lock not available.
        (true, "08" | "53" | "57" | "58" | "40" | "55", _) | (false, _, _) => {
            BookError::Unavailable(error.into())
        }
        (true, _, _) => BookError::Refused(error.into()),
    }
}
