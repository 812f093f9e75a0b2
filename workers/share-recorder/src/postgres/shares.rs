//! Shares, refusals and rejections: many rows, by `COPY`.

use super::{bigint, copy::Rows, keys::Resolved};
use crate::domain::{Batch, RefusalRow, RejectionRow, ShareRow};
use sqlx::{PgConnection, postgres::PgCopyIn};

/// Bytes that are gathered before they are sent.
const CHUNK_BYTES: usize = 256 * 1024;

const SHARES: &str = "COPY shares (\"time\", incarnation, sequence, share_index, work_log2, \
    node_id, lane, boot_epoch, channel, channel_sequence, miner_id, worker_id, height, taken_at, \
    hash_top, block_hash) FROM STDIN (FORMAT binary)";

const REFUSALS: &str = "COPY refusals (\"time\", incarnation, sequence, refusal_index, \
    share_index, node_id, lane, boot_epoch, batch, channel, channel_sequence, identity, worker, \
    reason) FROM STDIN (FORMAT binary)";

const REJECTIONS: &str = "COPY rejections (minute, incarnation, sequence, line, node_id, lane, \
    boot_epoch, identity, worker, reason, shares) FROM STDIN (FORMAT binary)";

pub(super) async fn write(
    transaction: &mut PgConnection,
    keys: &Resolved,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    let (rows, incarnation) = (batch.rows(), bigint(batch.incarnation()));
    copy(transaction, SHARES, &rows.shares, |to, row| share(to, row, incarnation, keys)).await?;
    copy(transaction, REFUSALS, &rows.refusals, |to, row| refusal(to, row, incarnation, keys))
        .await?;
    copy(transaction, REJECTIONS, &rows.rejections, |to, row| rejection(to, row, incarnation, keys))
        .await
}

async fn copy<R: Sync>(
    transaction: &mut PgConnection,
    statement: &str,
    rows: &[R],
    encode: impl Fn(&mut Rows, &R) -> Option<()> + Send,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut sink = transaction.copy_in_raw(statement).await?;
    let mut buffer = Rows::start();
    for row in rows {
        encode(&mut buffer, row).ok_or(sqlx::Error::RowNotFound)?;
        send_full(&mut sink, &mut buffer).await?;
    }
    buffer.end();
    sink.send(buffer.as_slice()).await?;
    sink.finish().await?;
    Ok(())
}

async fn send_full(
    sink: &mut PgCopyIn<&mut PgConnection>,
    buffer: &mut Rows,
) -> Result<(), sqlx::Error> {
    if buffer.len() >= CHUNK_BYTES {
        sink.send(buffer.as_slice()).await?;
        buffer.clear();
    }
    Ok(())
}

fn share(to: &mut Rows, row: &ShareRow, incarnation: i64, keys: &Resolved) -> Option<()> {
    to.row(16)
        .time(row.stored_at)
        .int8(incarnation)
        .int8(bigint(row.sequence))
        .int2(i16::try_from(row.index).ok()?)
        .int2(i16::from(row.work_log2))
        .int4(*keys.nodes.get(row.node.0)?)
        .int4(row.lane.into())
        .int4(row.boot_epoch.into())
        .int4(i32::try_from(row.channel).ok()?)
        .int8(row.channel_sequence.into())
        .int4(*keys.miners.get(row.miner.0)?)
        .int4(*keys.workers.get(row.worker.0)?)
        .int8(row.height.into())
        .time(row.taken_at)
        .bytes(&row.hash_top.to_be_bytes());
    match row.block {
        Some(block) => to.bytes(&block.0),
        None => to.null(),
    };
    Some(())
}

fn refusal(to: &mut Rows, row: &RefusalRow, incarnation: i64, keys: &Resolved) -> Option<()> {
    to.row(14)
        .time(row.stored_at)
        .int8(incarnation)
        .int8(bigint(row.sequence))
        .int2(i16::try_from(row.index).ok()?)
        .int4(i32::try_from(row.share).unwrap_or(i32::MAX))
        .int4(*keys.nodes.get(row.node.0)?)
        .int4(row.lane.into())
        .int4(row.boot_epoch.into())
        .int8(bigint(row.batch))
        .int4(i32::try_from(row.channel).ok()?)
        .int8(row.channel_sequence.into())
        .text(&row.identity)
        .text(&row.worker)
        .text(row.reason);
    Some(())
}

fn rejection(to: &mut Rows, row: &RejectionRow, incarnation: i64, keys: &Resolved) -> Option<()> {
    to.row(11)
        .time(row.minute)
        .int8(incarnation)
        .int8(bigint(row.sequence))
        .int2(i16::try_from(row.line).ok()?)
        .int4(*keys.nodes.get(row.node.0)?)
        .int4(row.lane.into())
        .int4(row.boot_epoch.into())
        .text(&row.identity)
        .text(&row.worker)
        .text(row.reason)
        .int8(bigint(row.shares));
    Some(())
}
