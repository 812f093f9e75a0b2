//! One address for all miners: Stratum V2, and V1 plain, told apart by their first bytes, however
//! many come at once and whichever of the two ingresses is there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ingress::{
    port::fake::Fake,
    testing::{
        pool::{Bounds, PATIENCE, Pool},
        work::{ADDRESS, HARD},
    },
};
use ingress_sv1::{
    domain::connection::{Extranonce1, Extranonce2},
    session::StratumV1,
};
use ingress_sv2::{noise::Authority, session::StratumV2};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use stratum_v2::{
    Endpoint,
    client::{Client, Device},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use worker_runtime::testing;

const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
const PUBLIC: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
/// Miners of each protocol.
const MINERS: usize = 40;

async fn sv1(address: SocketAddr) -> Pool {
    let protocol = StratumV1 {
        listen: address,
        rented: None,
        extranonce1: Extranonce1::default(),
        extranonce2: Extranonce2::default(),
        tls: None,
    };
    let bounds = Bounds { connections: 4 * MINERS, per_address: 4 * MINERS, ..Bounds::default() };
    Pool::start_at(address, Fake::open(), HARD, bounds, protocol).await
}

async fn sv2(address: SocketAddr) -> Pool {
    let authority = Authority::new(SECRET, Duration::from_secs(3_600)).unwrap();
    let protocol = StratumV2 { listen: address, authority };
    let bounds = Bounds { connections: 4 * MINERS, per_address: 4 * MINERS, ..Bounds::default() };
    Pool::start_at(address, Fake::open(), HARD, bounds, protocol).await
}

/// The answer to `mining.subscribe` and a job; `None` when the connection was ended.
async fn subscribe(address: SocketAddr) -> Option<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let greeting = format!(
        "{}\n{}\n",
        r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#,
        format_args!(r#"{{"id":2,"method":"mining.authorize","params":["{ADDRESS}","x"]}}"#),
    );
    stream.write_all(greeting.as_bytes()).await.unwrap();
    let mut all = String::new();
    while !all.contains(r#""method":"mining.notify""#) {
        let read = timeout(PATIENCE, stream.read_line(&mut all)).await.unwrap();
        if read.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some(all)
}

async fn set_up(address: SocketAddr) -> bool {
    let endpoint: Endpoint = format!("stratum2+tcp://{address}/{PUBLIC}").parse().unwrap();
    let Ok(mut client) = Client::connect(&endpoint).await else { return false };
    client.setup(&Device::default(), 0).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_served_at_one_address() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, testing::free_port().unwrap()));
    let (lines, noise) = (sv1(address).await, sv2(address).await);
    assert_eq!(lines.address, noise.address);
    let mut miners = JoinSet::new();
    for _ in 0..MINERS {
        miners.spawn(async move { subscribe(address).await.is_some() });
        miners.spawn(set_up(address));
    }
    assert!(miners.join_all().await.into_iter().all(|served| served));
    assert_eq!(lines.figure("sessions_total"), u64::try_from(MINERS).unwrap());
    assert_eq!(noise.figure("sessions_total"), u64::try_from(MINERS).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_there_alone_turns_away_what_it_does_not_speak() {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, testing::free_port().unwrap()));
    let noise = sv2(address).await;
    assert_eq!(subscribe(address).await, None);
    assert_eq!(noise.figure("sessions_refused_total{reason=\"other-protocol\"}"), 1);
    let lines = sv1(address).await;
    assert!(subscribe(address).await.is_some());
    drop(lines);
    assert!(set_up(address).await, "the other one stays when one leaves");
}
