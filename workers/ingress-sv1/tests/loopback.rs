//! Miners on real sockets against the real listener, with a bus in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use ingress::{
    Standing,
    domain::{allowance::Rate, closing::Leaving},
    port::fake::Fake,
    testing::{
        pool::{Bounds, PATIENCE, Pool},
        work::{ADDRESS, HARD, OTHER_ADDRESS, TRIVIAL},
    },
};
use ipnet::IpNet;
use ppp::v2::{Builder, Command, Version};
use rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};
use serde_json::json;
use std::{net::SocketAddr, num::NonZeroU32, time::Duration};
use subjects::{
    blocks::Claimed,
    sessions::{Changed, Event, NetworkClass, Protocol},
    shares::Submitted,
};
use support::client::{Client, Plain, Trust, host, start, version};
use tokio::{io::AsyncWriteExt as _, time::timeout};

#[tokio::test]
async fn a_share_is_true_only_after_the_bus_has_stored_it() {
    let pool = start(Fake::closed(), HARD, Bounds::default(), None).await;
    let mut miner = Plain::of(&pool).await;
    let user = format!("{ADDRESS}.rig");
    miner.open(&user).await;
    miner.submit(7, &user).await;
    pool.bus.until(|bus| bus.offered::<Submitted>().len() == 1).await;
    miner.submit(7, &user).await;
    assert_eq!(miner.answer().await["error"][0], json!(22), "the duplicate is answered first");
    pool.bus.let_batches(1);
    assert_eq!(miner.answer().await, json!({"id": 7, "result": true, "error": null}));
    let batch = &pool.bus.stored::<Submitted>()[0];
    assert_eq!((batch.shares.len(), batch.workers[0].as_str()), (1, "rig"));
    assert_eq!(batch.jobs[0].identity, ADDRESS);
    assert_eq!(pool.figure("shares_valid"), 1);
}

#[tokio::test]
async fn a_batch_of_shares_is_answered_share_by_share_in_their_order() {
    let pool = start(Fake::closed(), HARD, Bounds::default(), None).await;
    let mut miner = Plain::of(&pool).await;
    miner.open(ADDRESS).await;
    for number in 11..=16 {
        miner.submit(number, ADDRESS).await;
    }
    let all = |bus: &Fake| {
        bus.offered::<Submitted>().iter().map(|batch| batch.shares.len()).sum::<usize>()
    };
    pool.bus.let_batches(10);
    pool.bus.until(|bus| all(bus) == 6).await;
    for number in 11..=16 {
        assert_eq!(miner.answer().await["id"], json!(number));
    }
}

#[tokio::test]
async fn tls_1_2_and_1_3_come_to_the_port_of_plain_lines() {
    let trust = Trust::new();
    let pool = start(Fake::open(), HARD, Bounds::default(), Some(&trust)).await;
    for (offered, agreed) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let stream = trust.connector(offered).connect(host(), pool.connect().await).await.unwrap();
        assert_eq!(version(&stream), agreed);
        let mut miner = Client::new(stream);
        miner.open(ADDRESS).await;
        miner.submit(1, ADDRESS).await;
        assert_eq!(miner.answer().await["result"], json!(true));
    }
    let mut plain = Plain::of(&pool).await;
    plain.open(ADDRESS).await;
    plain.submit(1, ADDRESS).await;
    assert_eq!(plain.answer().await["result"], json!(true));
}

#[tokio::test]
async fn tls_without_a_certificate_is_turned_away_and_counted() {
    let trust = Trust::new();
    let pool = start(Fake::open(), HARD, Bounds::default(), None).await;
    let refused = trust.connector(&TLS13).connect(host(), pool.connect().await).await;
    assert!(refused.is_err());
    pool.until_nobody_is_connected().await;
    assert_eq!(pool.figure("sessions_closed_total{reason=\"no-tls\"}"), 1);
}

#[tokio::test]
async fn all_miners_start_the_next_block_at_once() {
    let mut pool = start(Fake::open(), HARD, Bounds::default(), None).await;
    let mut miners = [Plain::of(&pool).await, Plain::of(&pool).await];
    for miner in &mut miners {
        miner.open(OTHER_ADDRESS).await;
    }
    let next = pool.chain.next_block();
    pool.tell(next);
    for miner in &mut miners {
        assert_eq!(miner.until("mining.notify").await["params"][8], json!(true));
        miner.submit(1, OTHER_ADDRESS).await;
        assert_eq!(miner.answer().await["result"], json!(true));
    }
    assert_ne!(miners[0].miner.extranonce1, miners[1].miner.extranonce1);
}

#[tokio::test]
async fn a_block_is_claimed_before_its_share_is_stored() {
    let pool = start(Fake::closed(), TRIVIAL, Bounds::default(), None).await;
    let mut miner = Plain::of(&pool).await;
    miner.open(ADDRESS).await;
    for number in 1..=32 {
        miner.submit(number, ADDRESS).await;
    }
    timeout(PATIENCE, pool.bus.until(|bus| !bus.stored::<Claimed>().is_empty())).await.unwrap();
    assert!(pool.bus.stored::<Submitted>().is_empty());
    let claimed = pool.bus.stored::<Claimed>().remove(0);
    let work = pool.chain.work();
    mining::check_claim(&work.template, &work.tip, &claimed.header.0, &claimed.coinbase.0).unwrap();
}

#[tokio::test]
async fn a_miner_that_says_more_than_it_may_is_answered_later_and_nobody_else_is() {
    let messages = Rate::new(NonZeroU32::new(100).unwrap(), 20);
    let bounds = Bounds { messages, ..Bounds::default() };
    let pool = start(Fake::open(), HARD, bounds, None).await;
    let (mut loud, mut quiet) = (Plain::of(&pool).await, Plain::of(&pool).await);
    quiet.open(ADDRESS).await;
    loud.open(ADDRESS).await;
    let began = pool.shared.clock.monotonic();
    for _ in 0..80 {
        loud.say(r#"{"id":5,"method":"mining.ping","params":[]}"#).await;
    }
    quiet.submit(1, ADDRESS).await;
    assert_eq!(quiet.answer().await["result"], json!(true));
    let quiet_took = pool.shared.clock.monotonic() - began;
    for _ in 0..80 {
        assert_eq!(loud.answer().await["result"], json!("pong"));
    }
    let loud_took = pool.shared.clock.monotonic() - began;
    assert!(loud_took >= Duration::from_millis(550), "80 messages in {loud_took:?}");
    assert!(quiet_took < loud_took);
}

#[tokio::test]
async fn connections_beyond_the_pace_wait_their_turn() {
    let arrivals = Rate::new(NonZeroU32::new(2).unwrap(), 2);
    let bounds = Bounds { arrivals, ..Bounds::default() };
    let pool = start(Fake::open(), HARD, bounds, None).await;
    let began = pool.shared.clock.monotonic();
    let mut miners = Vec::new();
    for _ in 0..4 {
        let mut miner = Plain::of(&pool).await;
        miner.open(ADDRESS).await;
        miners.push(miner);
    }
    let took = pool.shared.clock.monotonic() - began;
    assert!(took >= Duration::from_millis(450), "three at once, then two a second: {took:?}");
    assert_eq!(pool.figure("sessions_open"), 4);
}

/// What a proxy says before a miner's first words.
fn header(client: [u8; 4]) -> Vec<u8> {
    let source = SocketAddr::from((client, 4_000));
    let pool = SocketAddr::from(([192, 0, 2, 1], 34_255));
    let first = Version::Two | Command::Proxy;
    Builder::with_addresses(first, ppp::v2::Protocol::Stream, (source, pool)).build().unwrap()
}

#[tokio::test]
async fn miners_behind_a_trusted_proxy_are_bounded_each_by_its_own_address() {
    let proxies: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
    let bounds = Bounds { per_address: 1, proxies: proxies.leak(), ..Bounds::default() };
    let pool = start(Fake::open(), HARD, bounds, None).await;
    let mut miners = Vec::new();
    for client in [[198, 51, 100, 1], [198, 51, 100, 2]] {
        let mut stream = pool.connect().await;
        stream.write_all(&header(client)).await.unwrap();
        let mut miner = Client::new(stream);
        miner.open(ADDRESS).await;
        miner.submit(1, ADDRESS).await;
        assert_eq!(miner.answer().await["result"], json!(true));
        miners.push(miner);
    }
    let mut again = pool.connect().await;
    again.write_all(&header([198, 51, 100, 2])).await.unwrap();
    assert_eq!(Client::new(again).line().await, None);
    assert_eq!(pool.figure("sessions_refused_total{reason=\"address-full\"}"), 1);
    let mut nobody = pool.connect().await;
    nobody.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\"}\n").await.unwrap();
    assert_eq!(Client::new(nobody).line().await, None);
    assert_eq!(pool.figure("sessions_refused_total{reason=\"not-introduced\"}"), 1);
    timeout(PATIENCE, pool.bus.until(|bus| bus.stored::<Changed>().len() == 2)).await.unwrap();
    let classes = pool.bus.stored::<Changed>().into_iter().map(|fact| fact.network_class);
    assert!(classes.eq([NetworkClass::PublicV4, NetworkClass::PublicV4]));
}

#[tokio::test]
async fn who_is_no_trusted_proxy_speaks_for_itself() {
    let pool = start(Fake::open(), HARD, Bounds::default(), None).await;
    let mut stranger = pool.connect().await;
    stranger.write_all(&header([198, 51, 100, 1])).await.unwrap();
    assert_eq!(Client::new(stranger).line().await, None);
    assert_eq!(pool.figure("sessions_refused_total{reason=\"other-protocol\"}"), 1);
}

#[tokio::test]
async fn a_session_is_told_from_its_opening_to_its_end() {
    let pool = start(Fake::open(), HARD, Bounds::default(), None).await;
    let mut miner = Plain::of(&pool).await;
    miner.open(&format!("{ADDRESS}.rig")).await;
    drop(miner);
    pool.until_nobody_is_connected().await;
    let told = |bus: &Fake| bus.stored::<Changed>().len() == 2;
    timeout(PATIENCE, pool.bus.until(told)).await.unwrap();
    let facts = pool.bus.stored::<Changed>();
    let events: Vec<_> = facts.iter().map(|fact| (fact.event, fact.protocol)).collect();
    assert_eq!(events, [(Event::Opened, Protocol::Sv1), (Event::Closed, Protocol::Sv1)]);
    assert_eq!((facts[0].agent.as_str(), facts[0].worker.as_str()), ("test/1", "rig"));
}

#[tokio::test]
async fn garbage_ends_a_connection_and_is_counted() {
    let pool = start(Fake::open(), HARD, Bounds::default(), None).await;
    for (garbage, code) in [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "line-not-json"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "line-not-json"),
        (vec![b'{'; 5_000], "line-too-long"),
        (b"{}x\n".to_vec(), "line-not-json"),
    ] {
        let before = pool.figure(&format!("frames_invalid_total{{reason=\"{code}\"}}"));
        let mut stranger = Plain::of(&pool).await;
        stranger.stream.write_all(&garbage).await.unwrap();
        assert!(stranger.until_closed().await.is_empty());
        pool.until_nobody_is_connected().await;
        let after = pool.figure(&format!("frames_invalid_total{{reason=\"{code}\"}}"));
        assert_eq!(after, before + 1, "{code}");
    }
}

#[tokio::test]
async fn who_speaks_something_else_is_turned_away() {
    let pool = start(Fake::open(), HARD, Bounds::default(), None).await;
    let mut stranger = Plain::of(&pool).await;
    stranger.stream.write_all(&[0xff; 64]).await.unwrap();
    assert!(stranger.until_closed().await.is_empty());
    assert_eq!(pool.figure("sessions_refused_total{reason=\"other-protocol\"}"), 1);
}

#[tokio::test]
async fn lines_arrive_whole_however_they_are_cut() {
    let pool = start(Fake::open(), HARD, Bounds::default(), None).await;
    let mut miner = Plain::of(&pool).await;
    let greeting = format!(
        "{}\r\n\r\n{}\n",
        r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#,
        format_args!(r#"{{"id":2,"method":"mining.authorize","params":["{ADDRESS}","x"]}}"#)
    );
    for byte in greeting.as_bytes() {
        miner.stream.write_all(&[*byte]).await.unwrap();
        miner.stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    miner.until("mining.notify").await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_ended() {
    let bounds = Bounds { handshake: Duration::from_millis(200), ..Bounds::default() };
    let pool = start(Fake::open(), HARD, bounds, None).await;
    let mut silent = Plain::of(&pool).await;
    assert!(silent.until_closed().await.is_empty());
    pool.until_nobody_is_connected().await;
    assert_eq!(pool.figure("sessions_closed_total{reason=\"handshake-deadline\"}"), 1);
}

async fn leave(pool: &Pool, leaving: Leaving) -> Vec<String> {
    let mut miner = Plain::of(pool).await;
    miner.open(ADDRESS).await;
    miner.submit(1, ADDRESS).await;
    pool.bus.until(|bus| bus.offered::<Submitted>().len() == 1).await;
    pool.standing.send_replace(Standing::Leaving(leaving));
    pool.bus.let_batches(1);
    miner.until_closed().await
}

#[tokio::test]
async fn a_drain_answers_what_it_owes_and_asks_to_come_back() {
    let pool = start(Fake::closed(), HARD, Bounds::default(), None).await;
    let said = leave(&pool, Leaving::Draining).await;
    let [stored, reconnect] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(support::json(stored)["result"], json!(true));
    assert_eq!(support::json(reconnect)["method"], "client.reconnect");
}

#[tokio::test]
async fn miners_are_told_why_there_is_no_work() {
    let pool = start(Fake::closed(), HARD, Bounds::default(), None).await;
    let said = leave(&pool, Leaving::NoTip).await;
    assert_eq!(support::json(said.last().unwrap())["method"], "client.show_message");
}
