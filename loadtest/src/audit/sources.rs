//! Where an audit reads: files of miners, streams, the database.

use super::{Books, Report};
use crate::ShareKey;
use anyhow::Context as _;
use futures_util::TryStreamExt as _;
use sqlx::{PgPool, Row as _, postgres::PgRow};
use std::{path::PathBuf, time::Duration};
use streams::{ROUNDS, SHARES, SHARES_REFUSED};
use subjects::{
    BootEpoch, Lane, Payload, ShareId,
    rounds::SliceClosed,
    shares::{Accepted, Refused},
};
use worker_runtime::{Bus, Delivery, clock::Clock, transform::Start};

/// Pause before books that do not balance yet are read again.
const PAUSE: Duration = Duration::from_millis(500);

/// Whether refusals are read: the public mirrors do not hold them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// Read, so that a share that came too late is told from one that was lost.
    Read,
    /// Not read: every acknowledged share must be in the stream.
    Skip,
}

/// Reads the files of acknowledged shares that miners wrote. A last line that was cut short by the
/// end of its miner is left out.
///
/// # Errors
///
/// When a file cannot be read or another line is not a share.
pub async fn acknowledged(files: &[PathBuf]) -> anyhow::Result<Vec<ShareKey>> {
    let mut keys = Vec::new();
    for file in files {
        let text = tokio::fs::read_to_string(file).await.with_context(|| {
            format!("cannot read the acknowledged shares in {}", file.display())
        })?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            keys.push(line.parse().with_context(|| format!("in {}", file.display()))?);
        }
    }
    Ok(keys)
}

/// Takes the books as they are now and compares them.
///
/// # Errors
///
/// When stream or database cannot be read, or hold what is not of this network.
pub async fn take(
    acknowledged: &[ShareKey],
    bus: &Bus,
    database: &PgPool,
    refusals: Refusals,
) -> anyhow::Result<Report> {
    let mut books = Books::default();
    acknowledged.iter().for_each(|key| books.acknowledged(*key));
    let shares = bus.stream_info(SHARES).await.context("cannot look at SHARES")?;
    let (incarnation, end) = (shares.created, shares.last_sequence);
    read(bus, SHARES, Accepted::FILTER, |delivery| {
        if delivery.position.sequence <= end {
            let message = Accepted::decode(&delivery.body)?;
            books.stored(incarnation, delivery.position.sequence, &message);
        }
        Ok(())
    })
    .await?;
    if refusals == Refusals::Read {
        read(bus, SHARES_REFUSED, Refused::FILTER, |delivery| {
            books.refused(&Refused::decode(&delivery.body)?);
            Ok(())
        })
        .await?;
    }
    read(bus, ROUNDS, SliceClosed::FILTER, |delivery| {
        let slice = SliceClosed::decode(&delivery.body)?;
        if slice.incarnation == incarnation && slice.last_sequence <= end {
            books.slice(&slice);
        }
        Ok(())
    })
    .await?;
    read_rows(database, incarnation, end, &mut books).await?;
    Ok(books.report())
}

/// Takes the books again and again until they balance, at most for `patience`: shares are on their
/// way. Returns the last report.
///
/// # Errors
///
/// Those of [`take`].
pub async fn until_clean(
    acknowledged: &[ShareKey],
    bus: &Bus,
    database: &PgPool,
    refusals: Refusals,
    clock: &dyn Clock,
    patience: Duration,
) -> anyhow::Result<Report> {
    let deadline = clock.monotonic() + patience;
    loop {
        let report = take(acknowledged, bus, database, refusals).await?;
        if report.is_clean() || clock.monotonic() >= deadline {
            return Ok(report);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads a stream up to its end as it is now.
pub(super) async fn read(
    bus: &Bus,
    stream: &str,
    filter: &str,
    mut note: impl FnMut(&Delivery) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = bus.ordered(stream, vec![filter.to_owned()], Start::First);
    reader.opened().await.with_context(|| format!("cannot read {stream}"))?;
    while !reader.caught_up() {
        let delivery = reader.next().await.with_context(|| format!("cannot read {stream}"))?;
        let sequence = delivery.position.sequence;
        note(&delivery).with_context(|| format!("{stream} message {sequence} is unreadable"))?;
    }
    Ok(())
}

const ROWS: &str = "SELECT lane, boot_epoch, channel, channel_sequence, sequence, share_index \
                    FROM shares WHERE incarnation = $1 AND sequence <= $2";

async fn read_rows(
    database: &PgPool,
    incarnation: u64,
    end: u64,
    books: &mut Books,
) -> anyhow::Result<()> {
    let mut rows = sqlx::query(ROWS)
        .bind(i64::try_from(incarnation)?)
        .bind(i64::try_from(end)?)
        .fetch(database);
    while let Some(row) = rows.try_next().await.context("cannot read the table shares")? {
        let (key, id) = share_of(&row, incarnation)
            .context("a row of the table shares is not of this network")?;
        books.recorded(key, id);
    }
    Ok(())
}

fn share_of(row: &PgRow, incarnation: u64) -> anyhow::Result<(ShareKey, ShareId)> {
    let key = ShareKey {
        lane: Lane(row.try_get::<i32, _>("lane")?.try_into()?),
        boot_epoch: BootEpoch(row.try_get::<i32, _>("boot_epoch")?.try_into()?),
        channel: row.try_get::<i32, _>("channel")?.try_into()?,
        sequence: row.try_get::<i64, _>("channel_sequence")?.try_into()?,
    };
    let sequence = row.try_get::<i64, _>("sequence")?.try_into()?;
    let index = row.try_get::<i16, _>("share_index")?.try_into()?;
    Ok((key, ShareId { incarnation, sequence, index }))
}
