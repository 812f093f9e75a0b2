//! The servers that other crates' port tests use start, answer, survive a crash and go away.

use serde_json::json;
use std::process::Command;
use worker_runtime::testing::{bitcoind, postgres};

#[tokio::test]
async fn postgres_answers_again_after_a_crash() {
    let mut server = postgres::Server::start().await.unwrap();
    assert!(server.url().starts_with("postgres://postgres@127.0.0.1:"));
    server.kill9();
    server.restart().await.unwrap();
    assert!(server.log().contains("automatic recovery in progress"), "{}", server.log());
}

#[tokio::test]
async fn bitcoind_mines_on_its_own_signet_and_keeps_its_blocks() {
    let mut node = bitcoind::Node::start().await.unwrap();
    let mined = node.mine(2).await.unwrap();
    let template =
        node.call("getblocktemplate", json!([{ "rules": ["segwit", "signet"] }])).await.unwrap();
    assert_eq!(template["previousblockhash"], json!(mined[1]));
    assert_eq!(template["height"], json!(3));
    node.stop();
    node.restart().await.unwrap();
    assert_eq!(node.call("getbestblockhash", json!([])).await.unwrap(), json!(mined[1]));
}

#[test]
fn nothing_of_the_mounts_is_seen_outside() {
    let mounts = Command::new("cat").arg("/proc/self/mounts").output().unwrap();
    assert!(!String::from_utf8_lossy(&mounts.stdout).contains("hyperhash-postgres-"));
}
