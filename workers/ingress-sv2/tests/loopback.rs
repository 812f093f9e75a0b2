//! A real Noise client against the real listener, with a bus in memory.

#[cfg(test)]
mod support;

use ingress::{
    Standing,
    domain::closing::Leaving,
    port::fake::{Fake, Stuck},
    testing::work::{ADDRESS, HARD, OTHER_ADDRESS, TRIVIAL},
};
use std::time::Duration;
use stratum_core::common_messages_sv2::{Protocol, SetupConnectionOwned};
use subjects::{Payload, blocks::Claimed, sessions::Changed, shares::Submitted};
use support::{
    client::{open_extended, setup, setup_message, submit, translator},
    pool::{Bounds, Miner, PATIENCE, Pool, start},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test]
async fn a_share_is_acknowledged_only_after_the_bus_has_stored_it() {
    let pool = start(Fake::closed(), HARD, Bounds::default()).await;
    let mut miner = Miner::of(&pool).await;
    miner.open(&format!("{ADDRESS}.rig"), -20).await;
    let good = miner.share(1);
    miner.send(submit(good.clone())).await;
    pool.bus.until(|bus| bus.offered::<Submitted>().len() == 1).await;
    miner.send(submit(good)).await;
    let first = miner.line().await;
    assert_eq!(first, "SubmitShares.Error channel 2 sequence 1 duplicate-share");
    assert_eq!(pool.figure("shares_valid"), 0);
    pool.bus.let_batches(1);
    let second = miner.line().await;
    assert_eq!(second, "SubmitShares.Success channel 2 to sequence 1: 1 shares, sum 0");
    let batch = &pool.bus.stored::<Submitted>()[0];
    assert_eq!((batch.batch, batch.shares.len(), batch.workers[0].as_str()), (0, 1, "rig"));
    assert_eq!(batch.jobs[0].identity, ADDRESS);
    assert_eq!(pool.figure("shares_rejected{reason=\"duplicate-share\"}"), 1);
}

#[tokio::test]
async fn while_a_batch_is_stored_the_next_one_collects_and_is_acknowledged_as_one() {
    let pool = start(Fake::closed(), HARD, Bounds::default()).await;
    let mut miner = Miner::of(&pool).await;
    miner.open(ADDRESS, -24).await;
    let shares: Vec<_> = (1..=6).map(|number| miner.share(number)).collect();
    miner.send(submit(shares[0].clone())).await;
    pool.bus.until(|bus| bus.offered::<Submitted>().len() == 1).await;
    for share in &shares[1..] {
        miner.send(submit(share.clone())).await;
    }
    let mut wrong = shares[0].clone();
    wrong.job_id = 77;
    miner.send(submit(wrong)).await;
    assert!(miner.line().await.ends_with("invalid-job-id"), "all six were read");
    pool.bus.let_batches(1);
    assert!(miner.line().await.ends_with("to sequence 1: 1 shares, sum 0"));
    pool.bus.until(|bus| bus.offered::<Submitted>().len() == 2).await;
    pool.bus.let_batches(1);
    assert!(miner.line().await.ends_with("to sequence 6: 5 shares, sum 0"));
}

#[tokio::test]
async fn all_miners_start_the_next_block_at_once() {
    let mut pool = start(Fake::open(), HARD, Bounds::default()).await;
    let mut miners = [Miner::of(&pool).await, Miner::of(&pool).await];
    for miner in &mut miners {
        miner.open(OTHER_ADDRESS, -20).await;
    }
    let prepared = pool.chain.prepare();
    pool.tell(prepared);
    for miner in &mut miners {
        assert!(miner.line().await.contains("job 2 waits"));
    }
    let next = pool.chain.next_block();
    pool.tell(next);
    for miner in &mut miners {
        assert!(miner.line().await.contains("starts job 2 on block 02"));
        let share = miner.share(1);
        miner.send(submit(share)).await;
        assert!(miner.line().await.starts_with("SubmitShares.Success"));
    }
    let prefixes: Vec<_> = miners.iter().map(|miner| miner.channel.prefix.clone()).collect();
    assert_ne!(prefixes[0], prefixes[1], "no two miners search the same headers");
}

#[tokio::test]
async fn a_block_is_claimed_on_both_roads_before_its_share_is_stored() {
    let pool = start(Fake::closed(), TRIVIAL, Bounds::default()).await;
    let _miner = find_a_block(&pool).await;
    let both = |bus: &Fake| !bus.asked().is_empty() && !bus.stored::<Claimed>().is_empty();
    timeout(PATIENCE, pool.bus.until(both)).await.unwrap();
    let (subject, question) = pool.bus.asked()[0].clone();
    let asked = Claimed::decode(&question).unwrap();
    assert_eq!(subject, "block.submit.main");
    assert!(pool.bus.stored::<Claimed>().contains(&asked));
    assert!(pool.bus.stored::<Submitted>().is_empty());
    let work = pool.chain.work();
    mining::check_claim(&work.template, &work.tip, &asked.header.0, &asked.coinbase.0).unwrap();
}

/// A miner that hands in so many shares that one of them must be a block.
async fn find_a_block(pool: &Pool) -> Miner {
    let mut miner = Miner::of(pool).await;
    miner.open(ADDRESS, -32).await;
    for number in 1..=32 {
        let share = miner.share(number);
        miner.send(submit(share)).await;
    }
    miner
}

#[tokio::test]
async fn a_submitter_that_does_not_answer_keeps_no_block_from_the_bus() {
    let pool = start(Fake::closed(), TRIVIAL, Bounds::default()).await;
    pool.bus.stick(Stuck::Requests);
    let _miner = find_a_block(&pool).await;
    timeout(PATIENCE, pool.bus.until(|bus| !bus.stored::<Claimed>().is_empty())).await.unwrap();
}

#[tokio::test]
async fn a_bus_that_stores_nothing_keeps_no_block_from_the_submitter() {
    let pool = start(Fake::open(), TRIVIAL, Bounds::default()).await;
    pool.bus.stick(Stuck::Streams);
    let _miner = find_a_block(&pool).await;
    timeout(PATIENCE, pool.bus.until(|bus| !bus.asked().is_empty())).await.unwrap();
    assert!(pool.bus.stored::<Claimed>().is_empty());
}

#[tokio::test]
async fn a_client_of_another_protocol_is_told_so_before_the_connection_ends() {
    let pool = start(Fake::open(), HARD, Bounds::default()).await;
    let mut miner = Miner::of(&pool).await;
    let other =
        SetupConnectionOwned { protocol: Protocol::TemplateDistributionProtocol, ..setup() };
    miner.send(setup_message(other)).await;
    // What a client sends without waiting must not cost it the answer.
    miner.send(open_extended(1, ADDRESS, -20)).await;
    assert_eq!(miner.line().await, "SetupConnection.Error unsupported-protocol flags 0b0");
    miner.until_closed().await;
    drop(miner);
    pool.until_nobody_is_connected().await;
    assert_eq!(pool.figure("sessions_closed_total{reason=\"unsupported-protocol\"}"), 1);
}

#[tokio::test]
async fn a_bad_identity_is_refused_and_the_connection_stays() {
    let pool = start(Fake::open(), HARD, Bounds::default()).await;
    let mut miner = Miner::of(&pool).await;
    miner.send(setup_message(setup())).await;
    miner.line().await;
    miner.send(open_extended(1, "satoshi", -20)).await;
    assert_eq!(miner.line().await, "OpenMiningChannel.Error request 1 invalid-user-identity");
    miner.send(open_extended(2, ADDRESS, -20)).await;
    assert!(miner.line().await.starts_with("OpenExtendedMiningChannel.Success request 2"));
    assert_eq!(pool.figure("sessions_refused_total{reason=\"invalid-user-identity\"}"), 1);
}

#[tokio::test]
async fn bad_frames_end_their_connection_by_name_and_no_other() {
    let pool = start(Fake::open(), HARD, Bounds::default()).await;
    let mut honest = Miner::of(&pool).await;
    honest.open(ADDRESS, -20).await;
    let oversized = [&[0_u8, 0, 0x1b, 0x01, 0x40, 0][..], &[0; 16_385]].concat();
    let cases = [
        (oversized, "frame-oversized"),
        (vec![0, 0, 0x1b, 2, 0, 0, 9, 9], "frame-malformed"),
        (vec![0, 0, 0x77, 0, 0, 0], "frame-unexpected"),
    ];
    for (bytes, reason) in cases {
        let mut miner = Miner::of(&pool).await;
        miner.open(ADDRESS, -20).await;
        let sealed = miner.sealed(support::pool::Raw(bytes));
        // The ingress may hang up before it has read to the end.
        drop(miner.stream.write_all(&sealed).await);
        miner.until_closed().await;
        assert_eq!(pool.figure(&format!("frames_invalid_total{{reason=\"{reason}\"}}")), 1);
    }
    let mut miner = Miner::of(&pool).await;
    let mut sealed =
        miner.sealed(support::pool::Raw(support::client::frame(setup_message(setup()))));
    sealed[30] ^= 1;
    miner.stream.write_all(&sealed).await.unwrap();
    miner.until_closed().await;
    assert_eq!(pool.figure("frames_invalid_total{reason=\"noise-forged\"}"), 1);
    let share = honest.share(1);
    honest.send(submit(share)).await;
    assert!(honest.line().await.starts_with("SubmitShares.Success"));
}

#[tokio::test]
async fn strangers_on_the_port_are_got_rid_of() {
    let bounds = Bounds {
        handshake: Duration::from_millis(50),
        setup: Duration::from_millis(50),
        ..Bounds::default()
    };
    let pool = start(Fake::open(), HARD, bounds).await;
    let request =
        "GET / HTTP/1.1\r\nHost: pool.example\r\nUser-Agent: a browser, by accident\r\n\r\n";
    let mut browser = TcpStream::connect(pool.address).await.unwrap();
    browser.write_all(request.as_bytes()).await.unwrap();
    let mut silent = TcpStream::connect(pool.address).await.unwrap();
    let mut half_way = Miner::of(&pool).await;
    let mut bytes = Vec::new();
    drop(timeout(PATIENCE, browser.read_to_end(&mut bytes)).await.expect("hung up"));
    drop(timeout(PATIENCE, silent.read_to_end(&mut bytes)).await.expect("hung up"));
    half_way.until_closed().await;
    pool.until_nobody_is_connected().await;
    let closed =
        |reason: &str| pool.figure(&format!("sessions_closed_total{{reason=\"{reason}\"}}"));
    assert_eq!(closed("handshake-deadline"), 1);
    assert_eq!(closed("setup-deadline"), 1);
    assert_eq!(pool.figure("sessions_refused_total{reason=\"other-protocol\"}"), 1);
}

#[tokio::test]
async fn a_miner_that_does_not_read_is_dropped_and_delays_nobody() {
    let bounds =
        Bounds { unsent_bytes: 4_096, unread: Duration::from_millis(300), ..Bounds::default() };
    let mut pool = start(Fake::open(), HARD, bounds).await;
    let mut deaf = Miner::connect_small(pool.address).await;
    deaf.open(ADDRESS, -20).await;
    let mut wrong = deaf.share(1);
    wrong.job_id = 99;
    let wrong = support::client::frame(submit(wrong));
    let mut honest = Miner::of(&pool).await;
    honest.open(ADDRESS, -20).await;
    let flood = async {
        loop {
            let sealed = deaf.sealed(support::pool::Raw(wrong.clone()));
            if deaf.stream.write_all(&sealed).await.is_err() {
                return;
            }
        }
    };
    let work = async {
        for number in 1..=5 {
            let share = honest.share(number);
            honest.send(submit(share)).await;
            assert!(honest.line().await.starts_with("SubmitShares.Success"));
        }
    };
    let next = pool.chain.prepare();
    timeout(PATIENCE, async { tokio::join!(flood, work) }).await.expect("dropped");
    assert_eq!(pool.figure("sessions_closed_total{reason=\"slow-reader\"}"), 1);
    pool.tell(next);
    assert!(honest.line().await.contains("waits"));
}

#[tokio::test]
async fn connections_are_bounded_per_address_and_in_total() {
    let bounds = Bounds { connections: 3, per_address: 2, ..Bounds::default() };
    let pool = start(Fake::open(), HARD, bounds).await;
    let first = Miner::of(&pool).await;
    let _second = Miner::of(&pool).await;
    let mut third = TcpStream::connect(pool.address).await.unwrap();
    let mut bytes = Vec::new();
    drop(timeout(PATIENCE, third.read_to_end(&mut bytes)).await.expect("hung up"));
    assert_eq!(pool.figure("sessions_refused_total{reason=\"address-full\"}"), 1);
    drop(first);
    let again = async {
        while pool.figure("sessions_open") > 1 {
            tokio::task::yield_now().await;
        }
        Miner::of(&pool).await
    };
    timeout(PATIENCE, again).await.expect("room again");
}

#[tokio::test]
async fn when_the_bus_is_away_shares_wait_and_then_nothing_is_read_and_nothing_is_lost() {
    let bounds = Bounds { capacity: 4, ..Bounds::default() };
    let pool = start(Fake::closed(), HARD, bounds).await;
    let mut miner = Miner::of(&pool).await;
    miner.open(ADDRESS, -24).await;
    for number in 1..=7 {
        let share = miner.share(number);
        miner.send(submit(share)).await;
    }
    let full = async {
        while pool.shared.queue.len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, full).await.unwrap();
    let mut stranger = TcpStream::connect(pool.address).await.unwrap();
    let mut bytes = Vec::new();
    drop(timeout(PATIENCE, stranger.read_to_end(&mut bytes)).await.expect("hung up"));
    assert_eq!(pool.figure("sessions_refused_total{reason=\"not-ready\"}"), 1);
    assert_eq!(pool.shared.queue.len(), 4, "the fifth is held, the others are not read");
    pool.bus.let_batches(100);
    let mut acknowledged = 0;
    while acknowledged < 7 {
        let line = miner.line().await;
        let count = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
        acknowledged += count.unwrap().parse::<u32>().unwrap();
    }
    let stored: Vec<u32> = pool
        .bus
        .stored::<Submitted>()
        .iter()
        .flat_map(|batch| batch.shares.iter().map(|share| share.sequence).collect::<Vec<_>>())
        .collect();
    assert_eq!(stored, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_drain_stores_and_acknowledges_what_was_read_and_then_says_goodbye() {
    let pool = start(Fake::closed(), HARD, Bounds::default()).await;
    let mut miner = Miner::of(&pool).await;
    miner.open(ADDRESS, -20).await;
    let share = miner.share(1);
    miner.send(submit(share)).await;
    pool.bus.until(|bus| bus.offered::<Submitted>().len() == 1).await;
    pool.stop();
    pool.standing.send_replace(Standing::Leaving(Leaving::Draining));
    pool.bus.let_batches(1);
    assert!(miner.line().await.starts_with("SubmitShares.Success"));
    assert_eq!(miner.line().await, "Reconnect host \"\" port 0");
    assert!(miner.hear().await.is_none(), "closed");
    pool.until_nobody_is_connected().await;
    let told = pool.bus.stored::<Changed>();
    assert_eq!(told.len(), 2, "opened and closed");
    assert_eq!(told[1].reason.as_deref(), Some("the ingress drains"));
    assert_eq!((told[0].sequence, told[1].sequence), (0, 1));
}

#[tokio::test]
async fn a_drain_only_closes_on_a_client_that_reconnect_would_kill() {
    let pool = start(Fake::closed(), HARD, Bounds::default()).await;
    let mut miner = Miner::of(&pool).await;
    miner.open_as(translator(), ADDRESS, -20).await;
    let share = miner.share(1);
    miner.send(submit(share)).await;
    pool.bus.until(|bus| bus.offered::<Submitted>().len() == 1).await;
    pool.stop();
    pool.standing.send_replace(Standing::Leaving(Leaving::Draining));
    pool.bus.let_batches(1);
    assert!(miner.line().await.starts_with("SubmitShares.Success"));
    assert!(miner.hear().await.is_none(), "closed without another word");
    pool.until_nobody_is_connected().await;
}

#[tokio::test]
async fn many_frames_in_one_write_and_one_frame_in_many_are_all_the_same() {
    let pool = start(Fake::open(), HARD, Bounds::default()).await;
    let mut miner = Miner::of(&pool).await;
    let mut bytes =
        miner.sealed(support::pool::Raw(support::client::frame(setup_message(setup()))));
    bytes.extend(
        miner.sealed(support::pool::Raw(support::client::frame(open_extended(1, ADDRESS, -24)))),
    );
    for byte in &bytes {
        miner.stream.write_all(std::slice::from_ref(byte)).await.unwrap();
    }
    while miner.channel.active.is_empty() {
        miner.hear().await.unwrap();
    }
    let mut all = Vec::new();
    for number in 1..=60 {
        let frame = support::client::frame(submit(miner.share(number)));
        all.extend(miner.sealed(support::pool::Raw(frame)));
    }
    miner.stream.write_all(&all).await.unwrap();
    let mut last = String::new();
    while !last.contains("to sequence 60:") {
        last = miner.line().await;
    }
}
