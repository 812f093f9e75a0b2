//! Miners and pools on real sockets, with the whole worker in between.

#[cfg(test)]
mod support;

use serde_json::json;
use std::time::Duration;
use stratum_core::parsers_sv2::MiningOwned;
use support::{
    ADDRESS, OTHER,
    messages::{self, Offer, job, not_opened, refused, stored, target, tip},
    miner::Miner,
    pool::{DEADLINE, Pool},
    running::Running,
};

#[tokio::test]
async fn every_miner_has_its_own_channel_and_true_means_that_the_pool_stored_it() {
    let pool = Pool::listen().await;
    let running = Running::start(&[&pool], "").await;
    let mut link = pool.accept().await;
    let (one, other) = (format!("{ADDRESS}.rig"), format!("{OTHER}.rig"));
    let mut first = running.miner(&one).await;
    assert_eq!(link.open(&Offer::new(2), 1, 0x33).await, one);
    let mut second = running.miner(&other).await;
    assert_eq!(link.open(&Offer::new(3), 1, 0x33).await, other);
    for (miner, offer, user) in
        [(&mut first, Offer::new(2), &one), (&mut second, Offer::new(3), &other)]
    {
        assert_eq!(miner.answer().await, json!({"id": 2, "result": true, "error": null}));
        assert_eq!(miner.until("mining.notify").await["params"][8], json!(true));
        miner.submit(7, user).await;
        let share = link.share().await;
        assert_eq!((share.channel_id, share.job_id), (offer.channel, 1));
        assert!(offer.target.is_met_by(&offer.hash(&share, 0x33)), "the pool finds the same hash");
        miner.submit(8, user).await;
        let next = link.share().await;
        // Refused at once, while the one before it waits to be stored.
        link.send(refused(offer.channel, next.sequence_number, "duplicate-share")).await;
        assert_eq!(miner.answer().await["error"], json!([22, "Duplicate share", null]));
        link.send(stored(offer.channel, share.sequence_number, 1)).await;
        assert_eq!(miner.answer().await, json!({"id": 7, "result": true, "error": null}));
    }
    assert_eq!(running.figure("translator_sessions"), 2);
    assert_eq!(running.figure("channels_open"), 2);
    assert_eq!(running.figure("shares_valid"), 2);
    assert_eq!(running.figure("shares_rejected{reason=\"duplicate-share\"}"), 2);
    assert!(running.figure("rtt_ms_count") >= 3, "the set-up and two openings");
    drop(second);
    assert!(
        matches!(link.mining().await, MiningOwned::CloseChannel(close) if close.channel_id == 3)
    );
}

#[tokio::test]
async fn miners_stay_while_the_pool_is_away_and_go_on_with_the_next_one() {
    let (main, spare) = (Pool::listen().await, Pool::listen().await);
    let running = Running::start(&[&main, &spare], "").await;
    let mut link = main.accept().await;
    let mut miner = running.miner(ADDRESS).await;
    link.open(&Offer::new(2), 1, 0x33).await;
    miner.until("mining.notify").await;
    let extranonce1 = miner.mind.extranonce1.clone();
    miner.submit(5, ADDRESS).await;
    link.share().await;
    // The pool dies before it has said that the share is stored.
    drop((link, main));
    let answer = miner.answer().await;
    assert_eq!((&answer["id"], &answer["result"]), (&json!(5), &json!(null)));
    assert_eq!(answer["error"], json!([21, "Pool is away: the share was not stored", null]));
    let mut link = spare.accept().await;
    let offer = Offer { prefix: vec![0xbb; 2], rolled: 8, ..Offer::new(9) };
    assert_eq!(link.open(&offer, 4, 0x44).await, ADDRESS);
    assert_eq!(miner.until("mining.notify").await["params"][8], json!(true));
    miner.submit(6, ADDRESS).await;
    let share = link.share().await;
    assert!(offer.target.is_met_by(&offer.hash(&share, 0x44)));
    link.send(stored(9, share.sequence_number, 1)).await;
    assert_eq!(miner.answer().await, json!({"id": 6, "result": true, "error": null}));
    assert_eq!(miner.mind.extranonce1, extranonce1, "firmware need not take another one");
}

#[tokio::test]
async fn a_pool_that_comes_late_finds_its_miners_waiting() {
    let pool = Pool::listen().await;
    let url = pool.url();
    drop(pool);
    let running = Running::start_with(std::slice::from_ref(&url), "").await;
    let mut miner = running.miner(ADDRESS).await;
    miner.say(r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.25]}"#).await;
    assert_eq!(
        miner.answer().await["id"],
        3,
        "the name is not answered for before the pool is there"
    );
    while running.figure("upstream_connections_total{result=\"failed\"}") < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await; // polls
    }
    let port = url.split([':', '/']).nth(4).unwrap().parse().unwrap();
    let pool = Pool::at(port).await;
    let mut link = pool.accept().await;
    let open = link.asked().await;
    assert_eq!(open.user_identity.as_utf8_or_hex(), ADDRESS);
    link.send(Offer::new(2).opened(&open)).await;
    assert_eq!(miner.answer().await, json!({"id": 2, "result": true, "error": null}));
}

#[tokio::test]
async fn a_name_that_the_pool_does_not_know_is_refused_and_another_may_follow() {
    let pool = Pool::listen().await;
    let running = Running::start(&[&pool], "").await;
    let mut link = pool.accept().await;
    let mut miner = running.miner("nobody.rig").await;
    let open = link.asked().await;
    link.send(not_opened(&open, "unknown-user")).await;
    let answer = miner.answer().await;
    assert_eq!(answer["error"][0], json!(24));
    assert!(answer["error"][1].as_str().unwrap().starts_with("unknown-user: "), "{answer}");
    miner.authorize(ADDRESS).await;
    assert_eq!(link.open(&Offer::new(2), 1, 0x33).await, ADDRESS);
    assert_eq!(miner.answer().await["result"], json!(true));
}

#[tokio::test]
async fn all_miners_share_one_channel_and_never_search_the_same_headers() {
    let pool = Pool::listen().await;
    let running = Running::start(&[&pool], &format!("aggregate = \"{ADDRESS}.farm\"")).await;
    let mut link = pool.accept().await;
    let offer = Offer::new(2);
    assert_eq!(link.open(&offer, 1, 0x33).await, format!("{ADDRESS}.farm"));
    let mut miners = Vec::new();
    for user in [ADDRESS, OTHER, "anybody"] {
        let mut miner = running.miner(user).await;
        assert_eq!(miner.answer().await["result"], json!(true));
        miner.until("mining.notify").await;
        miners.push((miner, user));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (miner, user) in &mut miners {
        miner.submit(7, user).await;
        let share = link.share().await;
        assert!(offer.target.is_met_by(&offer.hash(&share, 0x33)));
        assert!(seen.insert(share.extranonce.as_bytes().to_vec()), "extranonces differ");
        link.send(stored(2, share.sequence_number, 1)).await;
        assert_eq!(miner.answer().await["result"], json!(true));
    }
    let numbers: std::collections::BTreeSet<_> =
        miners.iter().map(|(miner, _)| miner.mind.extranonce1.clone()).collect();
    assert_eq!(numbers.len(), miners.len());
    assert_eq!(running.figure("agg_channel_on"), 1);
    // Who leaves on this tip takes its number along.
    let (gone, _) = miners.pop().unwrap();
    let resting = gone.mind.extranonce1.clone();
    drop(gone);
    while running.figure("translator_sessions") > 2 {
        tokio::time::sleep(Duration::from_millis(2)).await; // polls
    }
    let newcomer = running.miner(OTHER).await;
    assert_ne!(newcomer.mind.extranonce1, resting);
    assert!(!numbers.contains(&newcomer.mind.extranonce1));
}

#[tokio::test]
async fn with_vardiff_a_shared_channel_gives_small_miners_shares_of_their_own() {
    let pool = Pool::listen().await;
    let more = format!("aggregate = \"{ADDRESS}\"\nvardiff = true\nhashrate_hs = 1");
    let running = Running::start(&[&pool], &more).await;
    let mut link = pool.accept().await;
    let offer = Offer { target: target(1_000_000_000), ..Offer::new(2) };
    link.open(&offer, 1, 0x33).await;
    let mut miner = running.miner(OTHER).await;
    miner.until("mining.notify").await;
    assert!(miner.mind.difficulty < 0.001, "{}", miner.mind.difficulty);
    miner.submit(7, OTHER).await;
    assert_eq!(miner.answer().await["result"], json!(true));
    assert_eq!(running.figure("translator_shares_local_total"), 1);
    assert_eq!(running.figure("shares_valid"), 0, "the pool never saw it");
}

#[tokio::test]
async fn more_miners_than_a_connection_has_channels_get_another_connection() {
    let pool = Pool::listen().await;
    let running = Running::start(&[&pool], "limits = { max_channels_per_upstream = 1 }").await;
    let mut first = pool.accept().await;
    let mut one = running.miner(ADDRESS).await;
    first.open(&Offer::new(2), 1, 0x33).await;
    one.until("mining.notify").await;
    let mut two = running.miner(OTHER).await;
    let mut second = pool.accept().await;
    assert_eq!(second.open(&Offer::new(2), 1, 0x33).await, OTHER);
    two.until("mining.notify").await;
    two.submit(9, OTHER).await;
    let share = second.share().await;
    second.send(stored(2, share.sequence_number, 1)).await;
    assert_eq!(two.answer().await["result"], json!(true));
    // A connection beyond the first ends with its last miner.
    drop(two);
    while second.next().await.is_some() {}
    assert_eq!(running.figure("upstream_up"), 1);
}

#[tokio::test]
async fn a_pool_may_send_to_another_port_of_its_host_and_nowhere_else() {
    let (old, new) = (Pool::listen().await, Pool::listen().await);
    let running = Running::start(&[&old], "").await;
    let mut link = old.accept().await;
    let mut miner = running.miner(ADDRESS).await;
    link.open(&Offer::new(2), 1, 0x33).await;
    miner.until("mining.notify").await;
    link.send_away("elsewhere.example", 1).await;
    let mut link = old.accept().await;
    link.open(&Offer::new(3), 1, 0x33).await;
    miner.until("mining.notify").await;
    link.send_away("", new.port()).await;
    let mut link = new.accept().await;
    link.open(&Offer::new(4), 1, 0x33).await;
    assert_eq!(miner.until("mining.notify").await["params"][8], json!(true));
}

#[tokio::test]
async fn who_stops_answers_what_it_owes_and_sends_miners_away() {
    let pool = Pool::listen().await;
    let running = Running::start(&[&pool], "").await;
    let mut link = pool.accept().await;
    let mut miner = running.miner(ADDRESS).await;
    link.open(&Offer::new(2), 1, 0x33).await;
    miner.until("mining.notify").await;
    miner.submit(5, ADDRESS).await;
    let share = link.share().await;
    running.ctx.stop.cancel();
    link.send(stored(2, share.sequence_number, 1)).await;
    assert_eq!(miner.answer().await, json!({"id": 5, "result": true, "error": null}));
    miner.until("client.reconnect").await;
    assert_eq!(miner.line().await, None);
    drop(miner);
    running.ctx.finish(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn what_is_no_miner_is_turned_away() {
    let pool = Pool::listen().await;
    let running = Running::start(&[&pool], "limits = { max_connections_per_address = 3 }").await;
    while running.figure("translator_sessions") > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await; // polls
    }
    for garbage in ["GET / HTTP/1.1".to_owned(), "x".repeat(5_000)] {
        let mut stranger = Miner::connect(running.address).await;
        stranger.say(&garbage).await;
        assert_eq!(stranger.line().await, None);
    }
    assert_eq!(running.figure("frames_invalid_total{reason=\"line-not-json\"}"), 1);
    assert_eq!(running.figure("frames_invalid_total{reason=\"line-too-long\"}"), 1);
    let mut miners = Vec::new();
    for _ in 0..3 {
        miners.push(running.miner(ADDRESS).await);
    }
    let mut fourth = Miner::connect(running.address).await;
    assert_eq!(fourth.line().await, None);
    assert_eq!(running.figure("sessions_refused_total{reason=\"address-full\"}"), 1);
}

#[tokio::test]
async fn another_target_and_another_tip_reach_the_miner_in_their_order() {
    let pool = Pool::listen().await;
    let running = Running::start(&[&pool], "").await;
    let mut link = pool.accept().await;
    let mut miner = running.miner(ADDRESS).await;
    let offer = Offer { group: 77, ..Offer::new(2) };
    link.open(&offer, 1, 0x33).await;
    miner.until("mining.notify").await;
    // As pools do that tell all channels of a group at once.
    link.send(messages::set_target(77, target(1_000))).await;
    link.send(job(77, 2, Some(messages::NTIME + 5))).await;
    let difficulty = miner.until("mining.set_difficulty").await;
    assert_eq!(difficulty["params"][0], json!(2.32827090941e-7));
    let told = miner.until("mining.notify").await;
    assert_eq!((&told["params"][8], &told["params"][7]), (&json!(false), &json!("6553f105")));
    // A share on the job before is judged by what was asked for then.
    let before = miner.mind.jobs[0].clone();
    let found = miner.mind.find_on(&before, 9, 0);
    miner.say(&found.submit("9", ADDRESS)).await;
    assert_eq!(link.share().await.job_id, 1);
    link.send(job(77, 3, None)).await;
    link.send(tip(77, 3, 0x44)).await;
    assert_eq!(miner.until("mining.notify").await["params"][8], json!(true));
    miner.say(&found.submit("10", ADDRESS)).await;
    assert_eq!(miner.answer().await["error"], json!([21, "Job not found", null]));
}
