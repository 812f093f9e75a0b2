//! What is written, and what the position says.

use crate::{
    database::Fresh,
    facts::{
        CREATED, MINUTE, accepted, add, closed, outcome, refused, rejected, shares_batch, solved,
        statement,
    },
};
use share_recorder::{
    domain::{Batch, Feed},
    port::{Book, Written},
};
use subjects::shares::Reason;

#[tokio::test]
async fn shares_and_their_sums_are_written_in_full() {
    let fresh = Fresh::start().await;
    let mut hand = fresh.hand();
    assert_eq!(hand.position(Feed::Shares, CREATED).await.unwrap(), 0);
    let mut batch = Batch::new(Feed::Shares, CREATED, 0);
    add(&mut batch, 1, MINUTE, &accepted(1, 1, "rig", 3));
    add(&mut batch, 2, MINUTE + 1, &accepted(2, 2, "r\0g", 2));
    add(&mut batch, 3, MINUTE + 60_000, &accepted(3, 1, "other", 1));
    assert_eq!(hand.record(&batch).await.unwrap(), Written::Whole);

    assert_eq!(fresh.count("shares").await, 6);
    assert_eq!(fresh.count("miners").await, 2);
    let names = "SELECT string_agg(name, ' ' ORDER BY name COLLATE \"C\") FROM workers";
    assert_eq!(fresh.text(names).await, "other rig r\u{fffd}g");
    let first = "SELECT concat_ws(' ', extract(epoch FROM time)::bigint, sequence, share_index, \
        node, lane, boot_epoch, channel, channel_sequence, identity, worker, work, height, \
        encode(hash_top, 'hex'), (extract(epoch FROM taken_at) * 1000)::bigint) \
        FROM recorded_shares ORDER BY sequence, share_index LIMIT 1";
    assert_eq!(
        fresh.text(first).await,
        "1700000040 1 0 n1 300 1 9 1000 address-1 rig 65536 100 00000000000003e9 1700000039005"
    );
    let sums = "SELECT string_agg(concat_ws(' ', extract(epoch FROM minute)::bigint, name, shares, \
        work, encode(best_hash_top, 'hex')), ', ' ORDER BY minute, name COLLATE \"C\") \
        FROM share_minutes_by_worker JOIN workers ON workers.id = worker_id";
    assert_eq!(
        fresh.text(sums).await,
        "1700000040 rig 3 196608 00000000000003e9, \
         1700000040 r\u{fffd}g 2 131072 00000000000007d1, \
         1700000100 other 1 65536 0000000000000bb9"
    );
    for table in ["miner", "worker", "node", "lane"] {
        let shares = format!("SELECT sum(shares)::bigint FROM share_minutes_by_{table}");
        assert_eq!(fresh.number(&shares).await, 6, "{table}");
    }
}

#[tokio::test]
async fn sums_grow_with_every_batch_and_refusals_are_the_lanes() {
    let fresh = Fresh::start().await;
    let mut hand = fresh.hand();
    hand.position(Feed::Shares, CREATED).await.unwrap();
    hand.position(Feed::Refusals, CREATED).await.unwrap();
    for sequence in 1..=3 {
        let batch = shares_batch(CREATED, sequence, sequence);
        assert_eq!(hand.record(&batch).await.unwrap(), Written::Whole);
    }
    let mut batch = Batch::new(Feed::Refusals, CREATED, 0);
    add(&mut batch, 5, MINUTE, &refused(9, &[Reason::DuplicateShare, Reason::TooLate]));
    assert_eq!(hand.record(&batch).await.unwrap(), Written::Whole);

    let lane = "SELECT concat_ws(' ', lane, shares, work, refused) FROM share_minutes_by_lane";
    assert_eq!(fresh.text(lane).await, "300 9 589824 2");
    let node = "SELECT concat_ws(' ', shares, work, refused) FROM share_minutes_by_node";
    assert_eq!(fresh.text(node).await, "9 589824 2");
    let refusals = "SELECT string_agg(concat_ws(' ', share_index, batch, identity, reason), ', ' \
        ORDER BY refusal_index) FROM refusals";
    assert_eq!(
        fresh.text(refusals).await,
        "0 9 somebody\u{fffd} duplicate-share, 1 9 somebody\u{fffd} too-late"
    );
    assert_eq!(fresh.count("miners").await, 1, "a name that nobody checked is no miner");
}

#[tokio::test]
async fn blocks_rounds_statements_and_rejections_are_written_once() {
    let fresh = Fresh::start().await;
    let mut hand = fresh.hand();
    // A second stream, as after a restored backup, says the same facts again.
    for created in [CREATED, CREATED + 1] {
        for feed in [Feed::Blocks, Feed::Rounds, Feed::Statements] {
            assert_eq!(hand.position(feed, created).await.unwrap(), 0);
        }
        let mut blocks = Batch::new(Feed::Blocks, created, 0);
        add(&mut blocks, 1, MINUTE, &solved());
        add(&mut blocks, 4, MINUTE + 9_000, &outcome());
        let mut rounds = Batch::new(Feed::Rounds, created, 0);
        add(&mut rounds, 3, MINUTE, &closed());
        let mut statements = Batch::new(Feed::Statements, created, 0);
        add(&mut statements, 1, MINUTE, &statement());
        for batch in [blocks, rounds, statements] {
            assert_eq!(hand.record(&batch).await.unwrap(), Written::Whole);
        }
    }
    let mut batch = Batch::new(Feed::Rejections, CREATED, 0);
    hand.position(Feed::Rejections, CREATED).await.unwrap();
    add(&mut batch, 8, MINUTE + 70_000, &rejected(1));
    hand.record(&batch).await.unwrap();

    let block = "SELECT concat_ws(' ', height, provider, subsidy_sats, fees_sats, outcome, \
        extract(epoch FROM outcome_at - solved_at)::int) FROM blocks";
    assert_eq!(fresh.text(block).await, "100 main 312500000 4321987 confirmed 9");
    let round = "SELECT concat_ws(' ', round, identity, worker, shares, work, luck_ppm, \
        extract(epoch FROM stopped_at)::bigint) FROM rounds JOIN miners ON finder_id = miners.id";
    assert_eq!(fresh.text(round).await, "1 address-1 rig 400 26214400 640000 1700000000");
    let payout = "SELECT concat_ws(' ', payouts.id, miners_sats, sum(amount_sats), sum(work)) \
        FROM payouts JOIN payout_lines ON payout_id = payouts.id GROUP BY payouts.id";
    assert_eq!(fresh.text(payout).await, "block-100.0 309375000 309375000 8");
    let rejections = "SELECT concat_ws(' ', extract(epoch FROM minute)::bigint, identity, reason, \
        shares) FROM rejections";
    assert_eq!(fresh.text(rejections).await, "1700000100 address-1 stale-share 12");
}

#[tokio::test]
async fn the_position_decides_what_is_written() {
    let fresh = Fresh::start().await;
    let mut hand = fresh.hand();
    hand.position(Feed::Shares, CREATED).await.unwrap();
    assert_eq!(hand.record(&shares_batch(CREATED, 1, 4)).await.unwrap(), Written::Whole);
    // Again, from before, and from after a hole.
    for (from, through) in [(1, 4), (3, 6), (6, 7)] {
        let written = hand.record(&shares_batch(CREATED, from, through)).await.unwrap();
        assert_eq!(written, Written::Elsewhere { position: 4 }, "{from} to {through}");
    }
    assert_eq!(fresh.count("shares").await, 12);
    assert_eq!(fresh.hand().position(Feed::Shares, CREATED).await.unwrap(), 4);
    // A stream that was made anew counts from 1 again, and its shares are others.
    assert_eq!(hand.position(Feed::Shares, CREATED + 1).await.unwrap(), 0);
    assert_eq!(hand.record(&shares_batch(CREATED + 1, 1, 2)).await.unwrap(), Written::Whole);
    assert_eq!(fresh.count("shares").await, 18);
    assert_eq!(hand.position(Feed::Shares, CREATED).await.unwrap(), 4);
}

#[tokio::test]
async fn of_two_recorders_one_writes() {
    let fresh = Fresh::start().await;
    let (mut one, mut other) = (fresh.hand(), fresh.hand());
    one.position(Feed::Shares, CREATED).await.unwrap();
    for sequence in 1..=20 {
        let batch = shares_batch(CREATED, sequence, sequence);
        let (one, other) = tokio::join!(one.record(&batch), other.record(&batch));
        let mut written = [one.unwrap(), other.unwrap()];
        written.sort_by_key(|written| *written != Written::Whole);
        assert_eq!(written, [Written::Whole, Written::Elsewhere { position: sequence }]);
    }
    assert_eq!(fresh.count("shares").await, 60);
    let sums = "SELECT sum(shares)::bigint FROM share_minutes_by_worker";
    assert_eq!(fresh.number(sums).await, 60);
    assert_eq!(fresh.count("workers").await, 1);
}
