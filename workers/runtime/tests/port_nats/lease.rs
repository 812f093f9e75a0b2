//! A lease has one holder, who stops before the next one may begin.

use crate::support::{DEADLINE, context_and_bus};
use serde_json::json;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus,
    lease::{Lease, LeaseConfig, LeaseError, active_standby},
    testing::{nats::Server, until},
};

const TTL: Duration = Duration::from_secs(2);

async fn lease_server() -> Server {
    let server = Server::start().await.unwrap();
    server.bucket("LEASES", Some(TTL)).await.unwrap();
    server
}

fn lease(holder: &str) -> LeaseConfig {
    LeaseConfig {
        bucket: "LEASES".to_owned(),
        key: "round-tracker".to_owned(),
        holder: holder.to_owned(),
        ttl: TTL,
    }
}

/// Who watches the bucket.
async fn consumers(server: &Server) -> u64 {
    let info = server.call("STREAM.INFO.KV_LEASES", &json!({})).await.unwrap();
    info["state"]["consumer_count"].as_u64().unwrap()
}

async fn bus(server: &Server) -> Bus {
    context_and_bus(server, "toy").await.1
}

#[tokio::test]
async fn a_lease_outlives_its_length_while_it_is_renewed() {
    let server = lease_server().await;
    let bus = bus(&server).await;
    let held = Lease::try_acquire(&bus, &lease("a")).await.unwrap().unwrap();
    let end = Instant::now() + TTL * 2;
    while Instant::now() < end {
        assert!(Lease::try_acquire(&bus, &lease("b")).await.unwrap().is_none());
        tokio::time::sleep(TTL / 20).await; // polls
    }
    assert!(!held.lost().is_cancelled());
}

#[tokio::test]
async fn a_lease_that_is_given_back_changes_hands_at_once_and_with_a_higher_fence() {
    let server = lease_server().await;
    let bus = bus(&server).await;
    let stop = CancellationToken::new();
    let first = Lease::try_acquire(&bus, &lease("a")).await.unwrap().unwrap();
    let fence = first.fence();
    let heir = lease("b");
    let waiting = Lease::acquire(&bus, &heir, &stop);
    let giving = async {
        let watched = async || consumers(&server).await > 0;
        until("the other watches", DEADLINE, watched).await.unwrap();
        first.release().await;
        Instant::now()
    };
    let (second, given) = tokio::join!(waiting, giving);
    assert!(given.elapsed() < TTL / 2, "{:?}", given.elapsed());
    assert!(second.unwrap().unwrap().fence() > fence);
}

#[tokio::test]
async fn a_holder_that_dies_is_followed_after_the_lease() {
    let server = lease_server().await;
    let bus = bus(&server).await;
    let stop = CancellationToken::new();
    let first = Lease::try_acquire(&bus, &lease("a")).await.unwrap().unwrap();
    drop(first);
    let dead = Instant::now();
    let heir = lease("b");
    let second = timeout(DEADLINE, Lease::acquire(&bus, &heir, &stop)).await.unwrap();
    assert!(second.unwrap().is_some());
    assert!(dead.elapsed() > TTL / 2 && dead.elapsed() < TTL * 2, "{:?}", dead.elapsed());
}

#[tokio::test]
async fn a_holder_that_cannot_renew_stops_before_the_lease_ends() {
    let server = lease_server().await;
    let bus = bus(&server).await;
    let held = Lease::try_acquire(&bus, &lease("a")).await.unwrap().unwrap();
    let taken = Instant::now();
    server.freeze().unwrap();
    timeout(DEADLINE, held.lost().cancelled()).await.unwrap();
    assert!(taken.elapsed() < TTL, "{:?}", taken.elapsed());
    server.thaw().unwrap();
}

#[tokio::test]
async fn a_bucket_that_lets_keys_go_too_soon_is_refused() {
    let server = lease_server().await;
    let bus = bus(&server).await;
    let longer = LeaseConfig { ttl: TTL * 2, ..lease("a") };
    let error = Lease::try_acquire(&bus, &longer).await.unwrap_err();
    assert!(matches!(error, LeaseError::Length { has: TTL, .. }), "{error}");
    let stop = CancellationToken::new();
    assert!(Lease::acquire(&bus, &longer, &stop).await.unwrap_err().is_final());
}

#[tokio::test]
async fn a_holder_whose_key_was_taken_is_told() {
    let server = lease_server().await;
    let bus = bus(&server).await;
    let held = Lease::try_acquire(&bus, &lease("a")).await.unwrap().unwrap();
    bus.bucket("LEASES").put("round-tracker", b"somebody else").await.unwrap();
    timeout(DEADLINE, held.lost().cancelled()).await.unwrap();
}

#[tokio::test]
async fn the_standby_becomes_active_when_the_active_one_drains() {
    let server = lease_server().await;
    let (first, first_bus) = context_and_bus(&server, "first").await;
    let (second, second_bus) = context_and_bus(&server, "second").await;
    let active = [AtomicBool::new(false), AtomicBool::new(false)];
    let work = |index: usize| {
        let active = &active;
        move |held: worker_runtime::lease::Held| async move {
            active[index].store(true, Ordering::SeqCst);
            assert!(!active[1 - index].load(Ordering::SeqCst), "both are active");
            held.lost.cancelled().await;
            active[index].store(false, Ordering::SeqCst);
            Ok(())
        }
    };
    let (a, b) = (lease(first.instance()), lease(second.instance()));
    let story = async {
        let is_active = async |index: usize| active[index].load(Ordering::SeqCst);
        until("one is active", DEADLINE, async || is_active(0).await || is_active(1).await)
            .await
            .unwrap();
        let (drained, other) = if is_active(0).await { (&first, 1) } else { (&second, 0) };
        drained.stop.cancel();
        let began = Instant::now();
        until("the other is active", DEADLINE, async || is_active(other).await).await.unwrap();
        assert!(began.elapsed() < TTL, "{:?}", began.elapsed());
        first.stop.cancel();
        second.stop.cancel();
    };
    let (one, two, ()) = tokio::join!(
        active_standby(&first, &first_bus, &a, work(0)),
        active_standby(&second, &second_bus, &b, work(1)),
        story
    );
    one.unwrap();
    two.unwrap();
}
