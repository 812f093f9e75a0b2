//! What the database takes: `COPY` alone, and the recorder's book with all that belongs to it.

use super::{
    Bench, Lab, Setting,
    feed::shares_of,
    figure::{Figure, Goal},
    meter::{family_time, float},
    replay,
};
use anyhow::{Context as _, ensure};
use futures_util::{FutureExt as _, TryStreamExt as _};
use share_recorder::{
    Config, PostgresBook,
    domain::{Batch, Feed, Heard},
    pool,
    port::{Book as _, Written},
};
use sqlx::{PgPool, postgres::PgPoolCopyExt as _};
use std::time::Duration;
use subjects::{Payload as _, shares::Accepted};
use worker_runtime::clock::Clock as _;

/// Rows per second.
pub(super) const BENCH: Bench = Bench {
    name: "copy",
    what: "Rows a second that the database takes, by COPY alone and by the recorder's book.",
    measure: |setting| measure(setting).boxed(),
};

/// Messages of a transaction: about the rows after which the recorder writes.
const MESSAGES: u64 = 79;
/// The time that a transaction may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The stream's incarnation for the first run; each run has its own.
const INCARNATION: u64 = 1_000;

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let lab = Lab::of_servers(setting).await?;
    let clock = lab.network.clock();
    let database = recorder(&lab)?;
    let server = lab.network.status().await?.pid("servers", "postgresql")?;
    let messages = replay::messages().await?;
    let transactions = u64::from(setting.times(5, 50));
    let rows = shares_of(transactions * MESSAGES);
    let (mut booked, mut copied, mut spent) = (vec![], vec![], vec![]);
    for run in 0..u64::from(setting.times(1, 5)) {
        let incarnation = INCARNATION + run;
        let batches = batches(&messages, incarnation, transactions, clock.now())?;
        let (began, used) = (clock.monotonic(), family_time(server)?);
        record(&database, &batches).await?;
        booked.push(rows / (clock.monotonic() - began).as_secs_f64());
        spent.push((family_time(server)? - used).as_secs_f64() * 1e6 / rows);
        let bytes = binary(&database, incarnation).await?;
        let began = clock.monotonic();
        copy(&database, &bytes).await?;
        copied.push(rows / (clock.monotonic() - began).as_secs_f64());
    }
    database.close().await;
    lab.end().await?;
    let ratios: Vec<f64> = booked.iter().zip(&copied).map(|(book, copy)| book / copy).collect();
    Ok(vec![
        Figure::median("copy: COPY alone", "rows/s", Goal::None, &copied)
            .with(format!("{rows} rows in one transaction")),
        Figure::median("copy: the recorder's book", "rows/s", Goal::None, &booked)
            .with("rows, sums by the minute and position in transactions of 20 000 rows"),
        Figure::median("copy: book over COPY", "", Goal::None, &ratios),
        Figure::median("copy: processor time of the book's server", "us/row", Goal::None, &spent),
    ])
}

/// The database as the recorder reaches it.
fn recorder(lab: &Lab) -> anyhow::Result<PgPool> {
    let path = lab.network.data().join("config/share-recorder.toml");
    let mut table: toml::Table = toml::from_str(&std::fs::read_to_string(path)?)?;
    table.remove("http");
    let config: Config = table.try_into().context("the recorder's configuration")?;
    let file = config.database.password_file.as_ref().context("no password")?;
    let password = std::fs::read_to_string(file)?.into();
    Ok(pool(&config.database, Some(&password))?)
}

/// The recorder's batches of a stream.
fn batches(
    messages: &[Accepted],
    incarnation: u64,
    transactions: u64,
    stored_at: subjects::Timestamp,
) -> anyhow::Result<Vec<Batch>> {
    let bodies: Vec<_> = messages.iter().map(Accepted::encode).collect();
    let mut all = (1..).zip(bodies.iter().cycle());
    let mut open = Batch::new(Feed::Shares, incarnation, 0);
    let mut batches = Vec::new();
    for _ in 0..transactions {
        for (sequence, body) in all.by_ref().take(usize::try_from(MESSAGES)?) {
            open.add(Heard { sequence, stored_at, kind: Accepted::TYPE, body })?;
        }
        let following = open.following();
        batches.push(std::mem::replace(&mut open, following));
    }
    Ok(batches)
}

async fn record(database: &PgPool, batches: &[Batch]) -> anyhow::Result<()> {
    let mut book = PostgresBook::new(database.clone(), TIMEOUT);
    if let Some(first) = batches.first() {
        book.position(Feed::Shares, first.incarnation()).await?;
    }
    for batch in batches {
        ensure!(book.record(batch).await? == Written::Whole, "another recorder is at work");
    }
    Ok(())
}

/// The rows of a stream as `COPY` takes them, under another incarnation.
async fn binary(database: &PgPool, incarnation: u64) -> anyhow::Result<Vec<u8>> {
    let copied = incarnation + INCARNATION;
    let rows = format!(
        "COPY (SELECT \"time\", {copied}::bigint, sequence, share_index, work_log2, node_id, lane, \
         boot_epoch, channel, channel_sequence, miner_id, worker_id, height, taken_at, hash_top, \
         block_hash FROM shares WHERE incarnation = {incarnation} ORDER BY sequence, share_index) \
         TO STDOUT (FORMAT binary)"
    );
    let mut stream = database.copy_out_raw(&rows).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn copy(database: &PgPool, bytes: &[u8]) -> anyhow::Result<()> {
    let mut sink = database.copy_in_raw("COPY shares FROM STDIN (FORMAT binary)").await?;
    for chunk in bytes.chunks(256 * 1_024) {
        sink.send(chunk).await?;
    }
    let rows = sink.finish().await?;
    ensure!(float(rows) > 0.0, "nothing was copied");
    Ok(())
}
