//! Several bitcoinds, several publishers.

use crate::harness::{Publisher, Reader, bus, config, health, provider};
use std::time::Duration;
use subjects::BlockHash;
use template_publisher::{config::Config, port::fake::Fake};
use worker_runtime::testing;

/// A configuration that loses patience within a second.
fn impatient(mut config: Config) -> Config {
    let mut second = provider(&mut config).clone();
    second.id = "core-b".parse().unwrap();
    config.providers.push(second);
    config.templates.poll_ms = 20;
    config.failover.unreachable_secs = 1;
    config.failover.behind_secs = 1;
    config.failover.recovered_secs = 1;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_provider_takes_over_and_gives_back() {
    let (server, bus) = bus().await;
    let (a, b) = (Fake::signet(), Fake::signet());
    let config = impatient(config(&server, "signet"));
    let nodes = vec![("core-a", a.clone()), ("core-b", b.clone())];
    let publisher = Publisher::start(config, nodes);
    let mut reader = Reader::new(&bus);
    assert_eq!(reader.tip().await.provider.as_str(), "core-a");
    a.set_down(true);
    let tip = reader.tip().await;
    assert_eq!((tip.provider.as_str(), tip.height), ("core-b", 1));
    let ill = health(&bus, |health| health.provider.as_str() == "core-a" && !health.usable).await;
    assert!(ill.problem.unwrap().contains("gave no answer"));
    let hash = b.mine(0);
    assert_eq!(reader.tip().await.prevhash, hash);
    assert_eq!(a.mine(0), hash);
    a.set_down(false);
    let tip = reader.tip().await;
    assert_eq!((tip.provider.as_str(), tip.prevhash), ("core-a", hash), "the same tip, said again");
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_stays_behind_is_left() {
    let (server, bus) = bus().await;
    let (a, b) = (Fake::signet(), Fake::signet());
    let config = impatient(config(&server, "signet"));
    let publisher = Publisher::start(config, vec![("core-a", a.clone()), ("core-b", b.clone())]);
    let mut reader = Reader::new(&bus);
    assert_eq!(reader.tip().await.provider.as_str(), "core-a");
    let hash = b.mine(0);
    let tip = reader.tip().await;
    assert_eq!((tip.provider.as_str(), tip.prevhash), ("core-b", hash));
    let behind = health(&bus, |health| health.tip_lag_blocks == 1).await;
    assert_eq!(behind.provider.as_str(), "core-a");
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_notice_costs_one_poll() {
    let (server, bus) = bus().await;
    let node = Fake::signet();
    let publisher =
        Publisher::start(impatient(config(&server, "signet")), vec![("core-a", node.clone())]);
    let mut reader = Reader::new(&bus);
    reader.tip().await;
    let heard = async || node.calls("template_after") > 0 || node.calls("state") > 2;
    testing::until("the node is watched", Duration::from_secs(10), heard).await.unwrap();
    let hash = node.mine_unheard(0);
    assert_eq!(reader.tip().await.prevhash, hash);
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_zmq_is_heard_no_long_poll_holds_bitcoind_up() {
    let (server, bus) = bus().await;
    let node = Fake::signet();
    let publisher =
        Publisher::start(impatient(config(&server, "signet")), vec![("core-a", node.clone())]);
    let mut reader = Reader::new(&bus);
    reader.tip().await;
    let settled = async || node.calls("state") > 10;
    testing::until("the node is watched", Duration::from_secs(10), settled).await.unwrap();
    let before = node.calls("template_after");
    assert!(before <= 1, "at most until ZMQ was heard");
    node.set_silent(true);
    let polled = async || node.calls("template_after") > before;
    testing::until("the long poll stands in", Duration::from_secs(10), polled).await.unwrap();
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_publishers_is_active_and_the_other_takes_over() {
    let (server, bus) = bus().await;
    let node = Fake::signet();
    let start = || {
        let config = impatient(config(&server, "signet"));
        Publisher::start(config, vec![("core-a", node.clone())])
    };
    let first = start();
    let mut reader = Reader::new(&bus);
    let session = reader.tip().await.session;
    let second = start();
    let mut tips: Vec<BlockHash> = Vec::new();
    for _ in 0..3 {
        let hash = node.mine(0);
        let tip = reader.tip().await;
        assert_eq!((tip.session, tip.prevhash), (session, hash), "only the first one speaks");
        tips.push(hash);
    }
    first.stop().await;
    let tip = reader.tip().await;
    assert_ne!(tip.session, session);
    assert_eq!(Some(&tip.prevhash), tips.last(), "the successor says the tip again");
    let hash = node.mine(0);
    assert_eq!(reader.tip().await.prevhash, hash);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_gains_fees_or_grows_old_and_is_replaced() {
    let (server, bus) = bus().await;
    let node = Fake::signet();
    let mut config = impatient(config(&server, "signet"));
    config.templates.ask_secs = 1;
    config.templates.refresh_age_secs = 2;
    config.templates.refresh_fee_gain_sats = 1_000;
    let publisher = Publisher::start(config, vec![("core-a", node.clone())]);
    let mut reader = Reader::new(&bus);
    let (_, first) = reader.full(|new| new.template > 2).await;
    assert_eq!(first.fees.to_u64(), 0);
    node.set_fees(5_000);
    let (_, richer) = reader.full(|_| true).await;
    assert_eq!((richer.fees.to_u64(), richer.prevhash), (5_000, first.prevhash));
    node.set_fees(10);
    let (_, older) = reader.full(|_| true).await;
    assert_eq!(older.fees.to_u64(), 10, "after its age, whatever it is worth");
    publisher.stop().await;
}
