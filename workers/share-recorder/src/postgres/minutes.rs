//! Sums by the minute, added to what the minute has already.

use super::{bigint, keys::Resolved};
use crate::domain::{Batch, Tally};
use sqlx::PgConnection;
use subjects::Timestamp;

/// Adds the batch's sums. Every table is added to in ascending order of its key, and the tables
/// come in one order, so two transactions never wait for each other in a circle.
pub(super) async fn write(
    transaction: &mut PgConnection,
    keys: &Resolved,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    let minutes = batch.minutes();
    if minutes.is_empty() {
        return Ok(());
    }
    let key = |keys: &[i32], index: usize| keys.get(index).copied().unwrap_or_default();
    let workers = minutes.by_worker().iter();
    let workers = workers.map(|((at, who), sum)| (key(&keys.workers, who.0), 0, *at, *sum));
    add(transaction, By::Worker, workers.collect()).await?;
    let miners = minutes.by_miner(batch.parties()).into_iter();
    let miners = miners.map(|((at, who), sum)| (key(&keys.miners, who.0), 0, at, sum));
    add(transaction, By::Miner, miners.collect()).await?;
    let nodes = minutes.by_node().into_iter();
    let nodes = nodes.map(|((at, who), sum)| (key(&keys.nodes, who.0), 0, at, sum));
    add(transaction, By::Node, nodes.collect()).await?;
    let lanes = minutes.by_lane().iter();
    let lanes =
        lanes.map(|((at, who, lane), sum)| (key(&keys.nodes, who.0), i32::from(*lane), *at, *sum));
    add(transaction, By::Lane, lanes.collect()).await
}

/// Whose sums they are.
#[derive(Clone, Copy)]
enum By {
    Worker,
    Miner,
    Node,
    Lane,
}

impl By {
    /// Table, columns of its key, and where their values come from.
    const fn table(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Worker => ("share_minutes_by_worker", "worker_id", "key"),
            Self::Miner => ("share_minutes_by_miner", "miner_id", "key"),
            Self::Node => ("share_minutes_by_node", "node_id", "key"),
            Self::Lane => ("share_minutes_by_lane", "node_id, lane", "key, lane"),
        }
    }

    /// Column and assignment of refused shares. They are not counted by miner: whom they name,
    /// nobody has checked.
    const fn refused(self) -> (&'static str, &'static str) {
        match self {
            Self::Worker | Self::Miner => ("", ""),
            Self::Node | Self::Lane => {
                (", refused", ", refused = known.refused + excluded.refused")
            }
        }
    }

    fn statement(self) -> String {
        let (table, columns, values) = self.table();
        let (refused, add_refused) = self.refused();
        format!(
            "INSERT INTO {table} AS known \
                (minute, {columns}, shares, work, best_hash_top{refused}) \
             SELECT timestamptz 'epoch' + minute * interval '1 millisecond', {values}, shares, \
                work::numeric, best{refused} \
             FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bigint[], $5::text[], \
                $6::bytea[], $7::bigint[]) \
                AS added(key, lane, minute, shares, work, best, refused) \
             ON CONFLICT ({columns}, minute) DO UPDATE SET \
                shares = known.shares + excluded.shares, work = known.work + excluded.work, \
                best_hash_top = least(known.best_hash_top, excluded.best_hash_top){add_refused}"
        )
    }
}

/// Key, lane, minute and what was done.
type Sum = (i32, i32, Timestamp, Tally);

async fn add(
    transaction: &mut PgConnection,
    by: By,
    mut sums: Vec<Sum>,
) -> Result<(), sqlx::Error> {
    if sums.is_empty() {
        return Ok(());
    }
    sums.sort_by_key(|(key, lane, minute, _)| (*key, *lane, *minute));
    let best = |sum: &Tally| (sum.shares > 0).then(|| sum.best_hash_top.to_be_bytes().to_vec());
    sqlx::query(&by.statement())
        .bind(sums.iter().map(|(key, ..)| *key).collect::<Vec<_>>())
        .bind(sums.iter().map(|(_, lane, ..)| *lane).collect::<Vec<_>>())
        .bind(sums.iter().map(|(_, _, minute, _)| bigint(minute.0)).collect::<Vec<_>>())
        .bind(sums.iter().map(|(.., sum)| bigint(sum.shares)).collect::<Vec<_>>())
        .bind(sums.iter().map(|(.., sum)| sum.work.to_string()).collect::<Vec<_>>())
        .bind(sums.iter().map(|(.., sum)| best(sum)).collect::<Vec<_>>())
        .bind(sums.iter().map(|(.., sum)| bigint(sum.refused)).collect::<Vec<_>>())
        .execute(transaction)
        .await?;
    Ok(())
}
