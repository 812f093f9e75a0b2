//! The book takes shares far faster than a test needs it to: a figure for a slow machine.

use crate::{
    database::Fresh,
    facts::{CREATED, MINUTE, accepted, add},
};
use share_recorder::{
    domain::{Batch, Feed},
    port::{Book, Written},
};
use worker_runtime::clock::{Clock, SystemClock};

#[tokio::test]
async fn ten_thousand_shares_a_second_on_a_busy_machine() {
    let fresh = Fresh::start().await;
    let mut hand = fresh.hand();
    hand.position(Feed::Shares, CREATED).await.unwrap();
    let clock = SystemClock::new();
    let mut batch = Batch::new(Feed::Shares, CREATED, 0);
    for _ in 0..5 {
        for sequence in batch.through() + 1..=batch.through() + 80 {
            let miner = u8::try_from(sequence % 50).unwrap() + 1;
            let message = accepted(sequence, miner, "rig", 250);
            add(&mut batch, sequence, MINUTE + sequence, &message);
        }
        assert_eq!(hand.record(&batch).await.unwrap(), Written::Whole);
        batch = batch.following();
    }
    let rate = 100_000.0 / clock.monotonic().as_secs_f64();
    println!("{rate:.0} shares a second, decoding included");
    assert_eq!(fresh.count("shares").await, 100_000);
    assert!(rate > 10_000.0, "{rate:.0} shares a second");
}
