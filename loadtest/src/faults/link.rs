//! A link between two hosts that can be slow, lossy and gone.
//!
//! Not every kernel can spoil a link, so a relay does what TCP makes of a bad one: every segment
//! is under way for a while, a lost one is sent again after a pause in which all behind it wait,
//! and no more are under way than TCP dares to send where segments get lost.

use anyhow::Context as _;
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What one segment carries: an Ethernet frame's 1500 bytes without the headers.
const SEGMENT_BYTES: usize = 1_448;
/// Segments under way in one direction. With 1 % loss CUBIC keeps about 16 unacknowledged in a
/// round trip of 400 ms (RFC 9438, section 5.1); half of a round trip is the way there.
const WINDOW: usize = 8;
/// How long a segment is under way.
const DELAY: Duration = Duration::from_millis(200);
/// Of a hundred segments one gets lost.
const ONE_LOST_OF: u32 = 100;
/// Until a lost segment is there after all: a round trip if others behind it tell of the loss,
/// otherwise the sender's retransmission timer, here within a second.
const REPAIR_MS: std::ops::RangeInclusive<u64> = 400..=1_000;
/// Connections at one time: more than any link of a test needs.
const MAX_CONNECTIONS: usize = 64;

/// How the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// As if it were not there.
    Fair,
    /// 200 ms each way, and 1 % of the segments lost.
    Slow,
    /// Connections break, and no new ones come about.
    Gone,
}

/// What went through a link.
#[derive(Debug, Default)]
struct Passed {
    connections: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
}

/// A link that leads to a server. It is gone with the value.
#[derive(Debug)]
pub(super) struct Link {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    passed: Arc<Passed>,
    // Dropping it ends all that it runs.
    _relay: JoinSet<()>,
}

impl Link {
    /// A link in fair weather to the server at `to`. Which segments get lost follows from the
    /// seed and from what is sent.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub(super) async fn to(to: SocketAddr, seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no port for a link")?;
        let address = listener.local_addr()?;
        let (weather, told) = watch::channel(Weather::Fair);
        let passed = Arc::<Passed>::default();
        let mut relay = JoinSet::new();
        let chance = StdRng::seed_from_u64(seed);
        relay.spawn(relay_all(listener, to, told, Arc::clone(&passed), chance));
        Ok(Self { address, weather, passed, _relay: relay })
    }

    /// Where it begins.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it is.
    pub(super) fn turn(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// How many connections it has carried to the server.
    pub(super) fn connections(&self) -> u64 {
        self.passed.connections.load(Ordering::Relaxed)
    }

    /// How many bytes it has carried, both ways together.
    pub(super) fn bytes(&self) -> u64 {
        self.passed.bytes.load(Ordering::Relaxed)
    }

    /// How many segments got lost and were sent again.
    pub(super) fn lost(&self) -> u64 {
        self.passed.lost.load(Ordering::Relaxed)
    }
}

async fn relay_all(
    listener: TcpListener,
    to: SocketAddr,
    weather: watch::Receiver<Weather>,
    passed: Arc<Passed>,
    mut chance: StdRng,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                // A client that is gone again, or a link that is gone: it sees a closed door.
                let Ok((near, _)) = accepted else { continue };
                if *weather.borrow() == Weather::Gone {
                    continue;
                }
                let weather = weather.clone();
                let air = Air::new(weather.clone(), Arc::clone(&passed), chance.next_u64());
                connections.spawn(relay(near, to, weather, air));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until one side or the link is gone.
async fn relay(near: TcpStream, to: SocketAddr, mut weather: watch::Receiver<Weather>, air: Air) {
    let carried = async {
        let far = TcpStream::connect(to).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        air.passed.connections.fetch_add(1, Ordering::Relaxed);
        let (back, air) = (air.another_way(), air);
        let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
        tokio::try_join!(carry(from_near, to_far, air), carry(from_far, to_near, back))
    };
    tokio::select! {
        // Either way both ends learn it from their closed sockets.
        ended = carried => drop(ended),
        gone = weather.wait_for(|weather| *weather == Weather::Gone) => drop(gone),
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut air: Air) -> io::Result<()> {
    let passed = Arc::clone(&air.passed);
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(WINDOW);
    let send = async move {
        let mut segment = [0; SEGMENT_BYTES];
        loop {
            let length = from.read(&mut segment).await?;
            let bytes = segment.get(..length).unwrap_or_default().to_vec();
            if bytes.is_empty() || sender.send((air.arrival(), bytes)).await.is_err() {
                return Ok(());
            }
        }
    };
    let receive = async move {
        while let Some((arrival, bytes)) = under_way.recv().await {
            sleep_until(arrival).await;
            to.write_all(&bytes).await?;
            passed.bytes.fetch_add(u64::try_from(bytes.len()).unwrap_or(0), Ordering::Relaxed);
        }
        to.shutdown().await
    };
    tokio::try_join!(send, receive).map(drop)
}

/// What happens to the segments of one direction.
struct Air {
    weather: watch::Receiver<Weather>,
    passed: Arc<Passed>,
    chance: StdRng,
    /// When the segment before arrives: none overtakes another.
    before: Instant,
}

impl Air {
    fn new(weather: watch::Receiver<Weather>, passed: Arc<Passed>, seed: u64) -> Self {
        Self { weather, passed, chance: StdRng::seed_from_u64(seed), before: Instant::now() }
    }

    /// The air of the other direction.
    fn another_way(&self) -> Self {
        let seed = self.chance.clone().next_u64();
        Self::new(self.weather.clone(), Arc::clone(&self.passed), !seed)
    }

    /// When a segment that is sent now arrives.
    fn arrival(&mut self) -> Instant {
        let under_way = match *self.weather.borrow() {
            Weather::Fair | Weather::Gone => Duration::ZERO,
            Weather::Slow if self.chance.gen_ratio(1, ONE_LOST_OF) => {
                self.passed.lost.fetch_add(1, Ordering::Relaxed);
                DELAY + Duration::from_millis(self.chance.gen_range(REPAIR_MS))
            }
            Weather::Slow => DELAY,
        };
        self.before = self.before.max(Instant::now() + under_way);
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);

    /// A server that sends back what it gets, and a link to it.
    async fn echo() -> (Link, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let link = Link::to(listener.local_addr().unwrap(), 7).await.unwrap();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        (link, server)
    }

    /// Sends bytes and reads as many back, in order.
    async fn round_trip(stream: &mut TcpStream, bytes: usize) -> io::Result<Duration> {
        let sent: Vec<u8> = (0_u8..=250).cycle().take(bytes).collect();
        let mut back = vec![0; bytes];
        let begun = Instant::now();
        let (mut from, mut to) = stream.split();
        tokio::try_join!(to.write_all(&sent), from.read_exact(&mut back))?;
        assert!(back == sent, "all bytes, in their order");
        Ok(begun.elapsed())
    }

    #[tokio::test]
    async fn carries_all_in_order_fast_or_slowly() {
        let (link, _server) = echo().await;
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        let fast = timeout(SOON, round_trip(&mut stream, 300_000)).await.unwrap().unwrap();
        assert!(fast < DELAY, "{fast:?}");
        link.turn(Weather::Slow);
        let slow = timeout(SOON, round_trip(&mut stream, 20_000)).await.unwrap().unwrap();
        // There and back, and more segments than are under way at one time.
        assert!(slow >= 2 * DELAY + DELAY, "{slow:?}");
        assert_eq!((link.connections(), link.bytes()), (1, 2 * 320_000));
    }

    #[tokio::test]
    async fn one_segment_in_a_hundred_is_late() {
        let (_, weather) = watch::channel(Weather::Slow);
        let mut air = Air::new(weather, Arc::default(), 7);
        let mut before = Instant::now();
        for _ in 0..10_000 {
            let arrival = air.arrival();
            assert!(arrival >= before, "one segment overtakes another");
            before = arrival;
        }
        let lost = air.passed.lost.load(Ordering::Relaxed);
        assert!((50..200).contains(&lost), "{lost} of 10000");
    }

    #[tokio::test]
    async fn gone_is_closed_and_comes_back() {
        let (link, _server) = echo().await;
        let mut old = TcpStream::connect(link.address()).await.unwrap();
        round_trip(&mut old, 1_000).await.unwrap();
        link.turn(Weather::Gone);
        let mut nothing = [0; 1];
        let closed = timeout(SOON, old.read(&mut nothing)).await.unwrap();
        assert!(closed.is_err() || closed.is_ok_and(|bytes| bytes == 0));
        let mut refused = TcpStream::connect(link.address()).await.unwrap();
        let closed = timeout(SOON, refused.read(&mut nothing)).await.unwrap();
        assert!(closed.is_err() || closed.is_ok_and(|bytes| bytes == 0));
        assert_eq!(link.connections(), 1, "nothing got through");
        link.turn(Weather::Fair);
        let mut new = TcpStream::connect(link.address()).await.unwrap();
        timeout(SOON, round_trip(&mut new, 1_000)).await.unwrap().unwrap();
    }
}
