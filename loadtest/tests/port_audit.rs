//! The audit against a real nats-server and a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do: by panicking")]

mod facts;

use facts::{key, message, refused, slice};
use loadtest::audit::{Refusals, take, until_clean};
use serde_json::json;
use sqlx::PgPool;
use std::{path::Path, time::Duration};
use subjects::shares::Reason;
use worker_runtime::{
    Bus, Publication,
    clock::SystemClock,
    testing::{self, nats, postgres},
};

struct World {
    bus: Bus,
    database: PgPool,
    incarnation: u64,
    /// Held so that they live as long as the test.
    _servers: (nats::Server, postgres::Server),
}

impl World {
    async fn start() -> Self {
        let nats = nats::Server::start().await.unwrap();
        for (stream, filter) in [
            ("SHARES", "shares.accepted.>"),
            ("SHARES_REFUSED", "shares.refused.>"),
            ("ROUNDS", "rounds.>"),
        ] {
            nats.stream(stream, &[filter], json!({})).await.unwrap();
        }
        let bus = testing::bus(&nats, "loadtest").await.unwrap();
        let postgres = postgres::Server::start().await.unwrap();
        let database = PgPool::connect(&postgres.url()).await.unwrap();
        for migration in ["0001_parties", "0002_shares"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../schemas/sql")
                .join(format!("{migration}.up.sql"));
            let script = std::fs::read_to_string(path).unwrap();
            sqlx::raw_sql(&script).execute(&database).await.unwrap();
        }
        let incarnation = bus.stream_info("SHARES").await.unwrap().created;
        Self { bus, database, incarnation, _servers: (nats, postgres) }
    }

    async fn publish(&self, payload: &impl subjects::Payload) -> u64 {
        self.bus.publish(Publication::any(payload)).await.unwrap().sequence
    }

    async fn record(&self, sequence: u64, index: i16, share: u32) {
        let row = "INSERT INTO shares (time, incarnation, sequence, share_index, work_log2, \
            node_id, lane, boot_epoch, channel, channel_sequence, miner_id, worker_id, height, \
            taken_at, hash_top) \
            VALUES (now(), $1, $2, $3, 16, 1, 300, 2, 7, $4, 1, 1, 100, now(), '\\x00')";
        sqlx::query(row)
            .bind(i64::try_from(self.incarnation).unwrap())
            .bind(i64::try_from(sequence).unwrap())
            .bind(index)
            .bind(i64::from(share))
            .execute(&self.database)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_share_is_followed_from_its_acknowledgement_into_a_slice() {
    let world = World::start().await;
    let keys = [10, 11, 12, 98].map(key);
    let first = world.publish(&message(0, &[10, 11])).await;
    let second = world.publish(&message(1, &[12])).await;
    world.publish(&refused(98, Reason::TooLate)).await;
    world.publish(&slice(world.incarnation, 1, (first, first), 2)).await;
    for (sequence, index, share) in [(first, 0, 10), (first, 1, 11)] {
        world.record(sequence, index, share).await;
    }

    let report = take(&keys, &world.bus, &world.database, Refusals::Read).await.unwrap();
    let named: Vec<String> = report.named.iter().map(ToString::to_string).collect();
    let place = format!("{}/{second}/0", world.incarnation);
    assert_eq!(named, [format!("share 300 2 7 12, {place} in the stream, is not in the database")]);

    // The recorder catches up while the audit waits.
    let clock = SystemClock::new();
    let patience = Duration::from_secs(30);
    let (report, ()) = tokio::join!(
        until_clean(&keys, &world.bus, &world.database, Refusals::Read, &clock, patience),
        world.record(second, 0, 12),
    );
    let report = report.unwrap();
    assert!(report.is_clean(), "{:?}", report.named);
    let counts = (report.acknowledged, report.stored, report.recorded, report.in_slices);
    assert_eq!(counts, (4, 3, 3, 2));
    assert_eq!((report.in_open_slice, report.refused_late.get(&Reason::TooLate)), (1, Some(&1)));

    let without = take(&keys, &world.bus, &world.database, Refusals::Skip).await.unwrap();
    assert_eq!(without.violations, 1);
}
