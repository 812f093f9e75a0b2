//! A miner that speaks Stratum V1 mines a block, and is paid like everybody.

use loadtest::{
    network::Network,
    sv1::{self, Plan, Tally},
};
use std::time::Duration;
use streams::LAST_LANE_OF_CORE;
use subjects::{Payload as _, shares::Accepted};
use tokio::time::{sleep, timeout};

/// Whose work it is: an address that no other miner of the network has.
const ADDRESS: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// How long a block may take: one of ten that are found in as many seconds is its own.
const PATIENCE: Duration = Duration::from_secs(120);

/// Mines through the port that all miners share, until a block of its own is part of the record.
pub(crate) async fn mines_a_block(network: &Network) -> Tally {
    let status = network.status().await.unwrap();
    let url = status.text("/endpoints/miners/sv1").unwrap();
    let plan = Plan {
        pool: url.strip_prefix("stratum+tcp://").unwrap().parse().unwrap(),
        user: format!("{ADDRESS}.v1"),
        acknowledged: Some(network.acknowledged_of("v1")),
    };
    // One of them may come too late.
    let mined = sv1::mine(&plan, |tally| tally.solved >= 3 && tally.accepted >= 20);
    let tally = timeout(PATIENCE, mined).await.unwrap().unwrap();
    timeout(PATIENCE, until_a_block_is_recorded(network)).await.unwrap();
    tally
}

async fn until_a_block_is_recorded(network: &Network) {
    let core = network.bus("operator").await.unwrap();
    loop {
        let all: Vec<Accepted> = core.all(streams::SHARES, Accepted::FILTER).await.unwrap();
        let is_own = |batch: &&Accepted| batch.workers.iter().any(|worker| worker == "v1");
        let own: Vec<_> = all.iter().filter(is_own).collect();
        assert!(own.iter().all(|batch| batch.lane > LAST_LANE_OF_CORE));
        if own.iter().flat_map(|batch| &batch.shares).any(|share| share.block.is_some()) {
            break;
        }
        sleep(Duration::from_millis(200)).await; // polls
    }
    core.finish().await.unwrap();
}
