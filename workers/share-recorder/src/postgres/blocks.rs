//! Blocks, outcomes, rounds and statements: a few rows a day, each a fact that exists once, so a
//! row that is there already is the same row.

use super::{bigint, keys::Resolved};
use crate::domain::{Batch, BlockRow, OutcomeRow, RoundRow, StatementRow};
use sqlx::PgConnection;
use subjects::{Sats, Timestamp, blocks::BlockResult};

pub(super) async fn write(
    transaction: &mut PgConnection,
    keys: &Resolved,
    batch: &Batch,
) -> Result<(), sqlx::Error> {
    for row in &batch.rows().blocks {
        block(transaction, row).await?;
    }
    for row in &batch.rows().outcomes {
        outcome(transaction, row).await?;
    }
    for row in &batch.rows().rounds {
        let finder = keys.miners.get(row.finder.0).copied().ok_or(sqlx::Error::RowNotFound)?;
        round(transaction, row, finder).await?;
    }
    for row in &batch.rows().statements {
        statement(transaction, row).await?;
    }
    Ok(())
}

async fn block(transaction: &mut PgConnection, row: &BlockRow) -> Result<(), sqlx::Error> {
    let BlockRow { solved, stored_at } = row;
    sqlx::query(
        "INSERT INTO blocks (hash, height, provider, template, subsidy_sats, fees_sats, solved_at) \
         VALUES ($1, $2, $3, $4, $5, $6, timestamptz 'epoch' + $7 * interval '1 millisecond') \
         ON CONFLICT DO NOTHING",
    )
    .bind(solved.hash.0.as_slice())
    .bind(i64::from(solved.height))
    .bind(solved.provider.as_str())
    .bind(solved.template.0.as_slice())
    .bind(sats(solved.subsidy))
    .bind(sats(solved.fees))
    .bind(millis(*stored_at))
    .execute(transaction)
    .await?;
    Ok(())
}

async fn outcome(transaction: &mut PgConnection, row: &OutcomeRow) -> Result<(), sqlx::Error> {
    let result = match row.outcome.result {
        BlockResult::Confirmed => "confirmed",
        BlockResult::Orphaned => "orphaned",
        BlockResult::Refused => "refused",
    };
    sqlx::query(
        "UPDATE blocks SET outcome = $2, \
            outcome_at = timestamptz 'epoch' + $3 * interval '1 millisecond' \
         WHERE hash = $1 AND outcome IS NULL",
    )
    .bind(row.outcome.hash.0.as_slice())
    .bind(result)
    .bind(millis(row.stored_at))
    .execute(transaction)
    .await?;
    Ok(())
}

async fn round(
    transaction: &mut PgConnection,
    row: &RoundRow,
    finder: i32,
) -> Result<(), sqlx::Error> {
    let RoundRow { closed, stored_at, .. } = row;
    sqlx::query(
        "INSERT INTO rounds (round, block_hash, height, finder_id, worker, first_slice, \
            last_slice, first_sequence, last_sequence, started_at, stopped_at, shares, work, \
            network_work, luck_ppm, closed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, to_timestamp($10), to_timestamp($11), $12, \
            $13::numeric, $14::numeric, $15, \
            timestamptz 'epoch' + $16 * interval '1 millisecond') \
         ON CONFLICT DO NOTHING",
    )
    .bind(bigint(closed.round))
    .bind(closed.block.hash.0.as_slice())
    .bind(i64::from(closed.block.height))
    .bind(finder)
    .bind(closed.block.worker.replace('\0', "\u{fffd}"))
    .bind(bigint(closed.first_slice))
    .bind(bigint(closed.last_slice))
    .bind(bigint(closed.first_sequence))
    .bind(bigint(closed.last_sequence))
    .bind(closed.started_ntime.map(f64::from))
    .bind(f64::from(closed.stopped_ntime))
    .bind(bigint(closed.shares))
    .bind(closed.work.to_string())
    .bind(closed.network_work.to_string())
    .bind(bigint(closed.luck_ppm))
    .bind(millis(*stored_at))
    .execute(transaction)
    .await?;
    Ok(())
}

async fn statement(transaction: &mut PgConnection, row: &StatementRow) -> Result<(), sqlx::Error> {
    let StatementRow { statement, body, stored_at } = row;
    let made = sqlx::query(
        "INSERT INTO payouts (id, height, revision, block_hash, subsidy_sats, fees_sats, \
            treasury_sats, nodes_sats, miners_sats, payload, protected, signature, stated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
            timestamptz 'epoch' + $13 * interval '1 millisecond') \
         ON CONFLICT DO NOTHING",
    )
    .bind(statement.id.to_string())
    .bind(i64::from(statement.id.height))
    .bind(i64::from(statement.id.revision))
    .bind(body.block_hash.0.as_slice())
    .bind(sats(body.subsidy))
    .bind(sats(body.fees))
    .bind(sats(body.treasury))
    .bind(sats(body.nodes))
    .bind(sats(body.miners))
    .bind(&statement.payload)
    .bind(&statement.protected)
    .bind(&statement.signature)
    .bind(millis(*stored_at))
    .execute(&mut *transaction)
    .await?;
    if made.rows_affected() == 0 { Ok(()) } else { lines(transaction, row).await }
}

async fn lines(transaction: &mut PgConnection, row: &StatementRow) -> Result<(), sqlx::Error> {
    let payees = &row.body.payees;
    sqlx::query(
        "INSERT INTO payout_lines (payout_id, miner, work, amount_sats) \
         SELECT $1, miner, work::numeric, amount \
         FROM unnest($2::bytea[], $3::text[], $4::bigint[]) AS line(miner, work, amount)",
    )
    .bind(row.statement.id.to_string())
    .bind(payees.iter().map(|payee| payee.miner.as_bytes().to_vec()).collect::<Vec<_>>())
    .bind(payees.iter().map(|payee| payee.work.to_string()).collect::<Vec<_>>())
    .bind(payees.iter().map(|payee| sats(payee.amount)).collect::<Vec<_>>())
    .execute(transaction)
    .await?;
    Ok(())
}

/// An amount is at most the supply, far below 2^63.
fn sats(amount: Sats) -> i64 {
    bigint(amount.to_u64())
}

fn millis(time: Timestamp) -> i64 {
    bigint(time.0)
}
