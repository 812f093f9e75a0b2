//! Migrations go both ways, and what must never change cannot be changed.

use crate::database::Fresh;
use share_recorder::migrations;

const TABLES: &str = "SELECT string_agg(table_name, ' ' ORDER BY table_name) \
    FROM information_schema.tables \
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT LIKE '\\_%'";

#[tokio::test]
async fn up_down_and_up_again() {
    let fresh = Fresh::start().await;
    let before = fresh.text(TABLES).await;
    assert_eq!(
        before,
        "audit blocks invoices miners nodes payout_lines payouts refusals rejections rounds \
         share_minutes_by_lane share_minutes_by_miner share_minutes_by_node \
         share_minutes_by_worker shares stream_position workers"
    );
    migrations().run(&fresh.pool).await.unwrap();
    migrations().undo(&fresh.pool, 0).await.unwrap();
    let none: Option<String> = sqlx::query_scalar(TABLES).fetch_one(&fresh.pool).await.unwrap();
    assert_eq!(none, None);
    let functions = "SELECT count(*) FROM pg_proc WHERE proname = 'refuse_change'";
    assert_eq!(fresh.number(functions).await, 0);
    migrations().run(&fresh.pool).await.unwrap();
    assert_eq!(fresh.text(TABLES).await, before);
    hypertables(&fresh).await;
    comments(&fresh).await;
    append_only(&fresh).await;
}

async fn hypertables(fresh: &Fresh) {
    let hypertables = "SELECT string_agg(hypertable_name, ' ' ORDER BY hypertable_name) \
        FROM timescaledb_information.hypertables";
    assert_eq!(
        fresh.text(hypertables).await,
        "refusals rejections share_minutes_by_lane share_minutes_by_miner share_minutes_by_node \
         share_minutes_by_worker shares"
    );
}

async fn comments(fresh: &Fresh) {
    let silent = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace \
        AND relkind IN ('r', 'v') AND relname NOT LIKE '\\_%' \
        AND obj_description(oid, 'pg_class') IS NULL";
    assert_eq!(fresh.number(silent).await, 0, "every table says what it is");
}

async fn append_only(fresh: &Fresh) {
    sqlx::query(
        "INSERT INTO audit (at, actor, action, object, outcome, previous_hash, hash, signature) \
         VALUES (now(), 'me', 'node.revoke', 'n1', 'done', $1, $2, '')",
    )
    .bind([0_u8; 32].as_slice())
    .bind([1_u8; 32].as_slice())
    .execute(&fresh.pool)
    .await
    .unwrap();
    for change in ["UPDATE audit SET actor = 'you'", "DELETE FROM audit", "TRUNCATE audit"] {
        let refused = sqlx::query(change).execute(&fresh.pool).await.unwrap_err();
        assert!(refused.to_string().contains("never changed or removed"), "{change}: {refused}");
    }
    assert_eq!(fresh.count("audit").await, 1);
}
