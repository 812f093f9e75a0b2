//! A whole ingress on a loopback port, with a bus in memory.

use super::work::{Chain, rules};
use crate::{
    Figures, Protocol, Shared, Standing, blocks,
    domain::{
        admission, allowance::Rate, lane::Lane, numbers::Numbers, parking::Parking,
        rejections::Rejections, rules::Rules, selection::Work,
    },
    facts,
    port::fake::Fake,
    proxy::Proxies,
    publisher::{self, Queue},
    server::{Capacity, Gate, Server},
};
use ipnet::IpNet;
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{Arc, Mutex, atomic::AtomicU32},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use worker_runtime::{clock::SystemClock, metric::Metrics};

/// How long anything may take in a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Bounds that tests change.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub per_address: usize,
    /// Shares that the lane has room for.
    pub capacity: usize,
    /// Shares of a connection that may wait for the bus.
    pub unacknowledged: usize,
    /// Bytes that may wait for a miner.
    pub unsent_bytes: usize,
    /// How long a miner may not read.
    pub unread: Duration,
    /// For the handshake.
    pub handshake: Duration,
    /// For the client's first step.
    pub setup: Duration,
    /// Whose word for a miner's address is taken.
    pub proxies: &'static [IpNet],
    /// How fast connections may come.
    pub arrivals: Rate,
    /// How fast a connection's messages may come.
    pub messages: Rate,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 16,
            per_address: 16,
            capacity: 1_000,
            unacknowledged: 100,
            unsent_bytes: 65_536,
            unread: PATIENCE,
            handshake: PATIENCE,
            setup: PATIENCE,
            proxies: &[],
            arrivals: Rate::new(NonZeroU32::MAX, 0),
            messages: Rate::new(NonZeroU32::MAX, 0),
        }
    }
}

/// The ingress: what its protocol serves, with everything behind it but the bus.
#[derive(Debug)]
pub struct Pool {
    /// The bus.
    pub bus: Fake,
    /// The provider.
    pub chain: Chain,
    /// Where it listens.
    pub address: SocketAddr,
    /// What its connections share.
    pub shared: Arc<Shared>,
    /// Whether it serves.
    pub standing: watch::Sender<Standing>,
    work: watch::Sender<Arc<Work>>,
    metrics: Metrics,
    stop: CancellationToken,
    /// Ends with the pool.
    _tasks: JoinSet<()>,
}

impl Pool {
    /// Starts one whose bus stores what `bus` lets it, on a chain of this difficulty.
    pub async fn start(bus: Fake, nbits: u32, bounds: Bounds, protocol: impl Protocol) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), bus, nbits, bounds, protocol).await
    }

    /// The same at this address, which others may have too.
    pub async fn start_at<P: Protocol>(
        address: SocketAddr,
        bus: Fake,
        nbits: u32,
        bounds: Bounds,
        protocol: P,
    ) -> Self {
        let chain = Chain::new(nbits);
        let (port, _) = protocol.ports().into_iter().next().unwrap();
        let gate = Gate::open(port, address, P::SPEAKS).await.unwrap();
        let address = gate.address().unwrap();
        let (work, told_work) = watch::channel(chain.work());
        let (standing, told_standing) = watch::channel(Standing::Serving);
        let (claims, told_claims) = mpsc::channel(blocks::MAX_WAITING);
        let (facts, told_facts) = mpsc::channel(facts::MAX_WAITING);
        let metrics = Metrics::default();
        let rules = Rules {
            max_unacknowledged: bounds.unacknowledged,
            setup_deadline: bounds.setup,
            ..rules()
        };
        let (node, lane, epoch) = (rules.node.clone(), rules.lane, rules.boot_epoch);
        let queue = Lane::new(node.clone(), lane, epoch, bounds.capacity);
        let shared = Arc::new(Shared {
            rules: Arc::new(rules).into(),
            work: told_work,
            standing: told_standing,
            queue: Arc::new(Queue::new(queue, bounds.capacity)),
            numbers: Mutex::new(Numbers::default()),
            parking: Mutex::new(Parking::new(bounds.connections)),
            rejections: Arc::new(Mutex::new(Rejections::new(node, lane, epoch))),
            claims,
            facts,
            handshakes: Semaphore::new(1),
            connections: AtomicU32::new(0),
            figures: Figures::new(&metrics),
            clock: Arc::new(SystemClock::new()),
            handshake_deadline: bounds.handshake,
            unread_deadline: bounds.unread,
            message_rate: bounds.messages,
            max_unsent_bytes: bounds.unsent_bytes,
        });
        let stop = CancellationToken::new();
        let capacity = Capacity {
            bounds: admission::Bounds {
                most: bounds.connections,
                most_per_origin: bounds.per_address,
                rate_per_origin: bounds.arrivals,
            },
            pace: bounds.arrivals,
            proxies: Proxies::new(bounds.proxies),
        };
        let mut server = Server::new(vec![gate], Arc::new(protocol), capacity, Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move {
            server.accept(&stopped).await;
            server.drain(PATIENCE).await;
        });
        let (queue, figures) = (Arc::clone(&shared.queue), shared.figures.clone());
        let (port, done) = (bus.clone(), CancellationToken::new());
        tasks.spawn(async move { publisher::run(&queue, &port, &figures, &done).await.unwrap() });
        tasks.spawn(blocks::run(told_claims, bus.clone()));
        let port = bus.clone();
        let published = CancellationToken::new();
        tasks.spawn(async move {
            facts::run_sessions(told_facts, port, published).await.unwrap();
        });
        Self { bus, chain, address, shared, standing, work, metrics, stop, _tasks: tasks }
    }

    /// Other work is current.
    pub fn tell(&self, work: Arc<Work>) {
        self.work.send_replace(work);
    }

    /// A connection to it.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The value of a figure, 0 if it was never touched.
    pub fn figure(&self, name: &str) -> u64 {
        let text = self.metrics.encode().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// Waits until the ingress has ended all connections that it had.
    pub async fn until_nobody_is_connected(&self) {
        let gone = async {
            while self.figure("sessions_open") > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.unwrap();
    }

    /// The ingress drains.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}
