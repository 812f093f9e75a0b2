//! A crash between the rows and the commit: of the server, and of the recorder.

use crate::{
    database::Fresh,
    facts::{CREATED, shares_batch},
};
use share_recorder::{
    domain::Feed,
    port::{Book, BookError, Written},
};
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;
use worker_runtime::testing::until;

const DEADLINE: Duration = Duration::from_secs(20);

/// Makes every recording wait after its rows were copied and before it commits.
async fn hold_up(fresh: &Fresh) -> PgConnection {
    let mut session = PgConnection::connect(&fresh.url()).await.unwrap();
    for statement in ["BEGIN", "LOCK TABLE share_minutes_by_worker"] {
        sqlx::query(statement).execute(&mut session).await.unwrap();
    }
    session
}

async fn somebody_waits(fresh: &Fresh) {
    let waits = "SELECT count(*) FROM pg_stat_activity \
        WHERE wait_event_type = 'Lock' AND datname = current_database()";
    until("a recorder waits", DEADLINE, async || fresh.number(waits).await > 0).await.unwrap();
}

#[tokio::test]
async fn the_server_dies_before_the_commit() {
    let mut fresh = Fresh::alone().await;
    let mut hand = fresh.hand();
    hand.position(Feed::Shares, CREATED).await.unwrap();
    let batch = shares_batch(CREATED, 1, 5);
    let session = hold_up(&fresh).await;
    let (failed, ()) = tokio::join!(hand.record(&batch), async {
        somebody_waits(&fresh).await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE wait_event_type = 'Lock'";
        sqlx::query(kill).execute(&fresh.pool).await.unwrap();
    });
    assert!(matches!(failed, Err(BookError::Unavailable(_))), "{failed:?}");
    drop(session);
    fresh.server().kill9();
    assert!(hand.record(&batch).await.is_err());
    fresh.server().restart().await.unwrap();
    assert_eq!(fresh.count("shares").await, 0);
    assert_eq!(hand.record(&batch).await.unwrap(), Written::Whole);
    assert_eq!(hand.record(&batch).await.unwrap(), Written::Elsewhere { position: 5 });
    assert_eq!(fresh.count("shares").await, 15);
}

#[tokio::test]
async fn the_recorder_dies_before_the_commit() {
    let fresh = Fresh::start().await;
    let mut hand = fresh.hand();
    hand.position(Feed::Shares, CREATED).await.unwrap();
    let batch = shares_batch(CREATED, 1, 5);
    let session = hold_up(&fresh).await;
    tokio::select! {
        written = hand.record(&batch) => panic!("not before the lock is gone: {written:?}"),
        () = somebody_waits(&fresh) => {}
    }
    drop(hand);
    drop(session);
    let mut standby = fresh.hand();
    assert_eq!(standby.record(&batch).await.unwrap(), Written::Whole);
    assert_eq!(fresh.count("shares").await, 15);
    let sums = "SELECT sum(shares)::bigint FROM share_minutes_by_worker";
    assert_eq!(fresh.number(sums).await, 15);
}

#[tokio::test]
async fn a_database_that_was_not_migrated_says_what_to_do() {
    let fresh = Fresh::start().await;
    share_recorder::migrations().undo(&fresh.pool, 0).await.unwrap();
    let error = fresh.hand().position(Feed::Shares, CREATED).await.unwrap_err();
    assert!(error.to_string().contains("hyperhash migrate"), "{error}");
}
