//! Peers that connect, and then say nothing more.

use super::{super::siege::Aim, peer};
use rand::RngCore as _;
use tokio::io::AsyncWriteExt as _;

/// As many as there are of all kinds together.
const PEERS: usize = 600;
/// Asks and then never says who it is.
const SUBSCRIBE: &[u8] = b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n";

pub(super) async fn crowd(aim: Aim) -> anyhow::Result<()> {
    peer::crowd(aim, PEERS, peer::ONE_BY_ONE, |aim, number| async move {
        match number % 4 {
            0 | 1 => silent(&aim, number, &[]).await,
            2 => silent(&aim, number, SUBSCRIBE).await,
            _ => {
                // The first act of a handshake, whose answer is not answered.
                let mut key = [0; 64];
                aim.chance(number).fill_bytes(&mut key);
                silent(&aim, number, &key).await;
            }
        }
    })
    .await
}

async fn silent(aim: &Aim, number: usize, first: &[u8]) {
    let Some(mut stream) = aim.connect(number).await else { return };
    if !first.is_empty() {
        // It may be shown the door before.
        drop(stream.write_all(first).await);
        aim.sent();
    }
    aim.until_closed(&mut stream).await;
}
