//! The whole process: configured by a file, read again at a signal, ended by another. This program
//! has one test, because a process has its signals once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use serde_json::json;
use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};
use support::{
    ADDRESS,
    messages::{Offer, stored},
    miner::Miner,
    pool::{DEADLINE, Pool},
};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use translator::Translator;
use worker_runtime::{Process, testing};

fn configure(file: &Path, pool: &Pool, listen: SocketAddr, vardiff: bool) {
    let url = pool.url();
    let text = format!(
        "preset = \"signet\"\nupstreams = [{url:?}]\nlisten = \"{listen}\"\nvardiff = {vardiff}\n\
         [log]\nlevel = \"error\"\n"
    );
    fs::write(file, text).unwrap();
}

fn signal(name: &str) {
    let pid = std::process::id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[tokio::test]
async fn another_pool_is_taken_at_a_signal_and_no_session_is_lost() {
    let (old, new) = (Pool::listen().await, Pool::listen().await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("translator.toml");
    let address = SocketAddr::from(([127, 0, 0, 1], testing::free_port().unwrap()));
    configure(&file, &old, address, false);
    let mut running = JoinSet::new();
    running.spawn(Process::new().worker::<Translator>(Some(file.clone())).run());
    let listening = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await; // polls
        }
    };
    timeout(DEADLINE, listening).await.unwrap();
    let mut link = old.accept().await;
    let mut miner = Miner::connect(address).await;
    miner.greet(ADDRESS).await;
    link.open(&Offer::new(2), 1, 0x33).await;
    miner.until("mining.notify").await;
    // What concerns neither pool nor sessions leaves both alone: the share is still the old pool's.
    configure(&file, &old, address, true);
    signal("-HUP");
    miner.submit(3, ADDRESS).await;
    let share = link.share().await;
    link.send(stored(2, share.sequence_number, 1)).await;
    assert_eq!(miner.answer().await["result"], json!(true));
    configure(&file, &new, address, true);
    signal("-HUP");
    let mut link = new.accept().await;
    assert_eq!(link.open(&Offer::new(5), 1, 0x44).await, ADDRESS);
    assert_eq!(miner.until("mining.notify").await["params"][8], json!(true));
    miner.submit(4, ADDRESS).await;
    let share = link.share().await;
    signal("-TERM");
    link.send(stored(5, share.sequence_number, 1)).await;
    assert_eq!(miner.answer().await, json!({"id": 4, "result": true, "error": null}));
    miner.until("client.reconnect").await;
    assert_eq!(miner.line().await, None);
    let ended = timeout(DEADLINE, running.join_next()).await.unwrap().unwrap().unwrap();
    assert_eq!(format!("{ended:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
}
