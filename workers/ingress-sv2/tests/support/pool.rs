//! A whole ingress on a loopback port, with a bus in memory; and a miner with a real Noise session.

use super::{
    client::{Channel, frame, open_extended, read, setup, setup_message},
    work::{Chain, rules},
};
use ingress_sv2::{
    Figures, blocks,
    domain::{
        admission::Admission, lane::Lane, numbers::Numbers, rejections::Rejections, selection::Work,
    },
    facts,
    noise::Authority,
    port::fake::Fake,
    publisher::{self, Queue},
    server::Server,
    session::{Shared, Standing},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};
use stratum_core::{
    codec_sv2::{
        Decoded, Decrypted, EncodableFrame, Handshake, InitiatorSent, NoiseDecoder, NoiseEncoder,
        TransportDecryptState, TransportEncryptState,
    },
    framing_sv2,
    mining_sv2::SubmitSharesExtendedOwned,
    noise_sv2::Initiator,
    parsers_sv2::AnyMessageOwned,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use worker_runtime::{clock::SystemClock, metric::Metrics};

/// A key pair that the specification's tools use in examples.
pub const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
pub const PUBLIC: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

/// How long anything may take in a test.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Bounds that tests change.
pub struct Bounds {
    pub connections: usize,
    pub per_address: usize,
    /// Shares that the lane has room for.
    pub capacity: usize,
    pub unacknowledged: usize,
    pub unsent_bytes: usize,
    pub unread: Duration,
    pub handshake: Duration,
    pub setup: Duration,
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
        }
    }
}

/// The ingress.
pub struct Pool {
    pub bus: Fake,
    pub chain: Chain,
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    pub standing: watch::Sender<Standing>,
    work: watch::Sender<Arc<Work>>,
    metrics: Metrics,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Pool {
    pub async fn start(bus: Fake, nbits: u32, bounds: Bounds) -> Self {
        let chain = Chain::new(nbits);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (work, told_work) = watch::channel(chain.work());
        let (standing, told_standing) = watch::channel(Standing::Serving);
        let (claims, told_claims) = mpsc::channel(blocks::MAX_WAITING);
        let (facts, told_facts) = mpsc::channel(facts::MAX_WAITING);
        let metrics = Metrics::default();
        let rules = ingress_sv2::domain::rules::Rules {
            max_unacknowledged: bounds.unacknowledged,
            setup_deadline: bounds.setup,
            ..rules()
        };
        let (node, lane, epoch) = (rules.node.clone(), rules.lane, rules.boot_epoch);
        let queue = Lane::new(node.clone(), lane, epoch, bounds.capacity);
        let shared = Arc::new(Shared {
            authority: Authority::new(SECRET, Duration::from_secs(3_600)).unwrap(),
            rules: Arc::new(rules).into(),
            work: told_work,
            standing: told_standing,
            queue: Arc::new(Queue::new(queue, bounds.capacity)),
            numbers: Mutex::new(Numbers::default()),
            rejections: Arc::new(Mutex::new(Rejections::new(node, lane, epoch))),
            claims,
            facts,
            figures: Figures::new(&metrics),
            clock: Arc::new(SystemClock::new()),
            handshake_deadline: bounds.handshake,
            unread_deadline: bounds.unread,
            max_unsent_bytes: bounds.unsent_bytes,
        });
        let stop = CancellationToken::new();
        let admission = Admission::new(bounds.connections, bounds.per_address);
        let mut server = Server::new(listener, admission, Arc::clone(&shared));
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
        tasks.spawn(async move { facts::run_sessions(told_facts, port).await.unwrap() });
        Self { bus, chain, address, shared, standing, work, metrics, stop, tasks }
    }

    pub fn tell(&self, work: Arc<Work>) {
        self.work.send_replace(work);
    }

    pub async fn miner(&self) -> Miner {
        Miner::connect(TcpStream::connect(self.address).await.unwrap()).await
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

    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// A miner on the other end of the socket, built on the library's codec.
pub struct Miner {
    pub stream: TcpStream,
    decoder: NoiseDecoder,
    encoder: NoiseEncoder,
    opener: Option<TransportDecryptState>,
    sealer: TransportEncryptState,
    pub channel: Channel,
}

/// Any bytes as a frame.
pub struct Raw(pub Vec<u8>);

impl EncodableFrame for Raw {
    fn encoded_length(&self) -> usize {
        self.0.len()
    }

    fn encode_into(self, place: &mut [u8]) -> Result<(), framing_sv2::Error> {
        place.copy_from_slice(&self.0);
        Ok(())
    }
}

impl Miner {
    pub async fn connect(mut stream: TcpStream) -> Self {
        let public: key_utils::Secp256k1PublicKey = PUBLIC.parse().unwrap();
        let initiator = Initiator::from_raw_k(public.into_bytes()).unwrap();
        let (mut decoder, mut encoder) = (NoiseDecoder::new(), NoiseEncoder::new());
        let (first, sent) = Handshake::initiator(initiator).step_0().unwrap();
        stream.write_all(encoder.encode_handshake(first).as_ref()).await.unwrap();
        let second = loop {
            match decoder.next_handshake_frame::<InitiatorSent>().unwrap() {
                Decoded::Frame(second) => break second,
                Decoded::Incomplete(_) => {
                    let read = stream.read_exact(decoder.writable());
                    timeout(PATIENCE, read).await.unwrap().unwrap();
                }
            }
        };
        let transport = sent.step_2(second.payload().try_into().unwrap()).unwrap();
        let (sealer, opener) = transport.split();
        let channel = Channel::default();
        Self { stream, decoder, encoder, opener: Some(opener), sealer, channel }
    }

    /// Connects with a receive buffer of the least size.
    pub async fn connect_small(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1_024).unwrap();
        Self::connect(socket.connect(address).await.unwrap()).await
    }

    pub fn sealed(&mut self, frame: impl EncodableFrame) -> Vec<u8> {
        self.encoder.encode_transport(frame, &mut self.sealer).unwrap()
    }

    pub async fn send_raw(&mut self, plain: Vec<u8>) {
        let sealed = self.sealed(Raw(plain));
        self.stream.write_all(&sealed).await.unwrap();
    }

    pub async fn send(&mut self, message: AnyMessageOwned) {
        self.send_raw(frame(message)).await;
    }

    /// The next message; `None` when the ingress has closed the connection.
    pub async fn hear(&mut self) -> Option<AnyMessageOwned> {
        loop {
            let read_exact = self.stream.read_exact(self.decoder.writable());
            timeout(PATIENCE, read_exact).await.expect("an answer in time").ok()?;
            let state = self.opener.take().unwrap();
            match self.decoder.next_transport_frame(state).unwrap() {
                Decrypted::Incomplete(_, state) => self.opener = Some(state),
                Decrypted::Frame(frame, state) => {
                    self.opener = Some(state);
                    let message = read(frame.as_bytes());
                    self.channel.hear(&message);
                    return Some(message);
                }
            }
        }
    }

    /// The next message, as text.
    pub async fn line(&mut self) -> String {
        let message = self.hear().await.expect("the connection is open");
        super::transcript::describe(&message)
    }

    /// Reads until the ingress closes the connection.
    pub async fn until_closed(&mut self) {
        while self.hear().await.is_some() {}
    }

    /// Sets up and opens an extended channel at exponent `k`.
    pub async fn open(&mut self, user: &str, k: i32) {
        self.send(setup_message(setup())).await;
        assert!(self.line().await.starts_with("SetupConnection.Success"));
        self.send(open_extended(1, user, k)).await;
        while self.channel.active.is_empty() {
            self.hear().await.expect("the connection is open");
        }
    }

    /// The `number`th good share of the current job.
    pub fn share(&self, number: u32) -> SubmitSharesExtendedOwned {
        let job = self.channel.current();
        SubmitSharesExtendedOwned {
            sequence_number: number,
            ..self.channel.mine(job, number << 20)
        }
    }
}
