//! Facts to publish, and a server with a stream for them.

use serde_json::{Value, json};
use std::time::Duration;
use subjects::{
    BlockHash, BootEpoch, Exponent, Lane, NodeId, Timestamp,
    blocks::{BlockResult, Outcome},
    sessions::{Changed, Event, NetworkClass, Protocol},
    shares::Rejected,
};
use worker_runtime::{Bus, BusConfig, Context, testing::nats::Server};

/// How long anything in these tests may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The stream of most tests.
pub(crate) const STREAM: &str = "FACTS";

/// A server with [`STREAM`], which takes all facts of these tests.
pub(crate) async fn server() -> Server {
    server_with(json!({})).await
}

pub(crate) async fn server_with(settings: Value) -> Server {
    let server = Server::start().await.unwrap();
    server.stream(STREAM, &["shares.rejected.>", "blocks.>", "parked.*"], settings).await.unwrap();
    server
}

/// A connection that knows which stream takes its facts.
pub(crate) async fn bus(server: &Server) -> Bus {
    context_and_bus(server, "toy").await.1
}

pub(crate) async fn context_and_bus(server: &Server, name: &'static str) -> (Context<()>, Bus) {
    let context = worker_runtime::testing::context(name);
    let mut config = BusConfig::new(server.url());
    config.ack_timeout_ms = 500;
    let bus = context.connect(&config).await.unwrap();
    let bus =
        bus.route("shares.rejected.>", STREAM).route("blocks.>", STREAM).route("parked.*", STREAM);
    (context, bus)
}

/// The n-th link of a lane's chain.
pub(crate) fn link(lane: u16, number: u64) -> Rejected {
    Rejected {
        node: NodeId::core(),
        lane: Lane(lane),
        boot_epoch: BootEpoch(1),
        sequence: number,
        minute: Timestamp(0),
        counts: Vec::new(),
    }
}

/// The n-th fact of another kind.
pub(crate) fn session(number: u32) -> Changed {
    Changed {
        node: NodeId::core(),
        lane: Lane(1),
        boot_epoch: BootEpoch(1),
        channel: 1,
        sequence: number,
        event: Event::Opened,
        at: Timestamp(0),
        identity: String::new(),
        worker: String::new(),
        agent: String::new(),
        protocol: Protocol::Sv2Extended,
        network_class: NetworkClass::Loopback,
        exponent: Exponent::MIN,
        rtt_ms: None,
        reason: None,
    }
}

/// A fact that exists once.
pub(crate) fn outcome(block: u8, result: BlockResult) -> Outcome {
    Outcome { hash: BlockHash([block; 32]), height: 7, result }
}

/// Messages that a stream holds.
pub(crate) async fn messages(server: &Server, stream: &str) -> u64 {
    let info = server.call(&format!("STREAM.INFO.{stream}"), &json!({})).await.unwrap();
    info["state"]["messages"].as_u64().unwrap()
}
