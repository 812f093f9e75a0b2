//! Miners that speak Stratum V1 mine a block each, and are paid like everybody: one at the port that
//! all miners share, one through a translator that has nothing but the port for V2.

use loadtest::{
    network::Network,
    sv1::{self, Plan, Tally, Way},
};
use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};
use streams::LAST_LANE_OF_CORE;
use subjects::{Payload as _, shares::Accepted};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};
use worker_runtime::testing;

/// Whose work it is: an address that no other miner of the network has.
const ADDRESS: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// Another one, of the miner behind the translator.
const TRANSLATED: &str = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";
/// How long a block may take: one of ten that are found in as many seconds is its own.
const PATIENCE: Duration = Duration::from_secs(120);

/// Mines through the port that all miners share, until a block of its own is part of the record.
pub(crate) async fn mines_a_block(network: &Network) -> Tally {
    let status = network.status().await.unwrap();
    let url = status.text("/endpoints/miners/sv1").unwrap();
    let pool = url.strip_prefix("stratum+tcp://").unwrap().parse().unwrap();
    mines(network, pool, Way::Direct, ADDRESS, "v1").await
}

/// The same through a translator, which knows the network's address for V2 and nothing else.
pub(crate) async fn mines_a_block_through_a_translator(
    network: &Network,
    program: &Path,
    log: &Path,
) -> Tally {
    let status = network.status().await.unwrap();
    let pool = status.text("/endpoints/miners/sv2").unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], testing::free_port().unwrap()));
    let mut translator = translate(program, &pool, address, log);
    let listening = async {
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(20)).await; // polls
        }
    };
    timeout(PATIENCE, listening).await.unwrap();
    let tally = mines(network, address, Way::Translator, TRANSLATED, "translated").await;
    translator.kill().await.unwrap();
    tally
}

fn translate(program: &Path, pool: &str, listen: SocketAddr, log: &Path) -> Child {
    let log = std::fs::File::create(log).unwrap();
    Command::new(program)
        .args(["run", "translator", "--preset", "signet", "--upstream", pool])
        .args(["--listen", &listen.to_string()])
        .stdout(Stdio::from(log))
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn mines(
    network: &Network,
    pool: SocketAddr,
    way: Way,
    address: &str,
    worker: &str,
) -> Tally {
    let plan = Plan {
        pool,
        user: format!("{address}.{worker}"),
        acknowledged: Some(network.acknowledged_of(worker)),
        way,
    };
    // One of them may come too late.
    let mined = sv1::mine(&plan, |tally| tally.solved >= 3 && tally.accepted >= 20);
    let tally = timeout(PATIENCE, mined).await.unwrap().unwrap();
    timeout(PATIENCE, until_a_block_is_recorded(network, address, worker)).await.unwrap();
    tally
}

/// Core derives the coinbase of each share from whose it is: a block that it found for this address
/// pays its fees there.
async fn until_a_block_is_recorded(network: &Network, address: &str, worker: &str) {
    let core = network.bus("operator").await.unwrap();
    loop {
        let all: Vec<Accepted> = core.all(streams::SHARES, Accepted::FILTER).await.unwrap();
        let mut solved = false;
        for batch in &all {
            assert!(batch.lane > LAST_LANE_OF_CORE);
            for accepted in &batch.shares {
                let place = |index: u32| usize::try_from(index).unwrap();
                if batch.workers[place(accepted.share.worker)] == worker {
                    let job = &batch.jobs[place(accepted.share.job)].job;
                    assert_eq!(job.identity, address);
                    solved |= accepted.block.is_some();
                }
            }
        }
        if solved {
            break;
        }
        sleep(Duration::from_millis(200)).await; // polls
    }
    core.finish().await.unwrap();
}
