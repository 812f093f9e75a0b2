//! Partitions are spread over the instances that live; each has one holder.

use crate::support::{DEADLINE, context_and_bus};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use worker_runtime::{
    Context,
    lease::{PartitionsConfig, partitions},
    testing::{nats::Server, until},
};

const TTL: Duration = Duration::from_secs(3);
const COUNT: u16 = 6;

/// Who works on which partition now.
type Board = Arc<Mutex<BTreeMap<u16, &'static str>>>;

/// Starts an instance that writes on the board what it works on. Two at once on one partition
/// fail the test.
async fn instance(
    server: &Server,
    name: &'static str,
    board: &Board,
) -> (Context<()>, JoinHandle<anyhow::Result<()>>) {
    let (context, bus) = context_and_bus(server, name).await;
    let config = PartitionsConfig {
        bucket: "LEASES".to_owned(),
        prefix: "toy".to_owned(),
        count: COUNT,
        holder: context.instance().to_owned(),
        ttl: TTL,
    };
    let (spread, board) = (context.clone(), Arc::clone(board));
    #[expect(clippy::disallowed_methods, reason = "an instance of its own")]
    let running = tokio::spawn(async move {
        partitions(&spread, &bus, &config, |held| {
            let board = Arc::clone(&board);
            async move {
                let before = board.lock().unwrap().insert(held.partition, name);
                anyhow::ensure!(before.is_none(), "{name} got what {before:?} works on");
                held.stop.cancelled().await;
                board.lock().unwrap().remove(&held.partition);
                Ok(())
            }
        })
        .await
    });
    (context, running)
}

fn count(board: &Board, name: &str) -> usize {
    board.lock().unwrap().values().filter(|holder| **holder == name).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_come_and_go_and_every_partition_has_one_holder() {
    let server = Server::start().await.unwrap();
    server.bucket("LEASES", Some(TTL)).await.unwrap();
    let board = Board::default();
    let (first, first_end) = instance(&server, "first", &board).await;
    until("the first has all", DEADLINE, async || count(&board, "first") == 6).await.unwrap();

    let (second, second_end) = instance(&server, "second", &board).await;
    let came = Instant::now();
    until("both have half", DEADLINE, async || {
        count(&board, "first") == 3 && count(&board, "second") == 3
    })
    .await
    .unwrap();
    assert!(came.elapsed() < Duration::from_secs(2), "{:?}", came.elapsed());

    // One that is killed is followed after its leases end.
    second_end.abort();
    board.lock().unwrap().retain(|_, holder| *holder != "second");
    until("the first has all again", DEADLINE, async || count(&board, "first") == 6).await.unwrap();
    drop(second);

    // One that drains hands over at once.
    let (third, third_end) = instance(&server, "third", &board).await;
    until("both have half", DEADLINE, async || count(&board, "third") == 3).await.unwrap();
    first.stop.cancel();
    let drained = Instant::now();
    until("the third has all", DEADLINE, async || count(&board, "third") == 6).await.unwrap();
    assert!(drained.elapsed() < Duration::from_secs(2), "{:?}", drained.elapsed());
    first_end.await.unwrap().unwrap();
    third.stop.cancel();
    third_end.await.unwrap().unwrap();
    assert!(board.lock().unwrap().is_empty());
}
