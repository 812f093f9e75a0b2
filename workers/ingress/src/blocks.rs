//! A solved block's two roads. Neither waits for the other, for shares or for sessions.

use crate::port::Port;
use bytes::Bytes;
use std::time::Duration;
use subjects::{Payload, blocks::Claimed};
use tokio::{sync::mpsc, task::JoinSet};
use worker_runtime::Publication;

/// Claims that may wait for a task each. Blocks are rare; on a test network a few come at once.
pub const MAX_WAITING: usize = 256;
/// Claims that are on their two roads at once.
const MAX_ON_THE_WAY: usize = 256;
/// How long the submitter beside our own bitcoind has to answer. Road 2 does not wait for it.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends claims on both roads until no more can come, then waits for those on the way.
pub async fn run<P: Port>(mut claims: mpsc::Receiver<Claimed>, port: P) {
    let mut roads = JoinSet::new();
    loop {
        tokio::select! {
            claim = claims.recv(), if roads.len() < MAX_ON_THE_WAY => {
                let Some(claim) = claim else { break };
                tracing::info!(hash = %claim.hash, provider = %claim.provider, "claiming a block");
                roads.spawn(road_1(port.clone(), claim.clone()));
                roads.spawn(road_2(port.clone(), claim));
            }
            Some(_) = roads.join_next() => {}
        }
    }
    while roads.join_next().await.is_some() {}
}

/// Straight to the submitter beside the template's own bitcoind.
async fn road_1<P: Port>(port: P, claim: Claimed) {
    let subject = streams::block_submit(&claim.provider);
    let answer = port.request(&subject, Bytes::from(claim.encode()), SUBMIT_TIMEOUT).await;
    match answer {
        Ok(_) => tracing::info!(hash = %claim.hash, "the submitter has the block"),
        Err(error) => {
            tracing::warn!(hash = %claim.hash, %error, "the block did not reach its submitter at once");
        }
    }
}

/// Over the bus to the submitters of all providers.
async fn road_2<P: Port>(port: P, claim: Claimed) {
    if let Err(error) = port.publish(Publication::any(&claim)).await {
        tracing::error!(hash = %claim.hash, %error, "a block could not be claimed on the bus");
    }
}
