//! The listener: who is let in, and the tasks of those who are.

use crate::{
    domain::{
        admission::{Bounds, Origin, TurnedAway},
        allowance::{Allowance, Rate},
    },
    door::{Door, Guest, Known, Speaks, listen_to},
    doorman::{Doorman, Place},
    proxy::{Proxies, introduce},
    session::Serving,
    shared::{Shared, Standing},
};
use std::{
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Pause after an accept that failed, e.g. for want of file descriptors: it would fail again at
/// once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long the last connection has to end after its turn came.
const THINNED: Duration = Duration::from_secs(1);

/// Who came where.
#[derive(Debug)]
pub struct Visit<P> {
    /// The port.
    pub port: P,
    /// The miner's address.
    pub peer: IpAddr,
    /// What it began with.
    pub speaks: Speaks,
    /// Its place.
    pub place: Place,
}

/// An open port.
#[derive(Debug)]
pub(crate) struct Gate<P> {
    port: P,
    door: Arc<Door>,
    listener: TcpListener,
    guests: mpsc::Receiver<Guest>,
    turn: Turn,
}

/// Who is asked first when a gate is looked at.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Listener,
    Guests,
}

impl<P> Gate<P> {
    /// Opens a port for whoever begins so.
    pub(crate) async fn open(
        port: P,
        address: SocketAddr,
        speaks: &'static [Speaks],
    ) -> io::Result<Self> {
        let door = Door::open(address).await?;
        Ok(Self {
            port,
            listener: door.listener()?,
            guests: door.join(speaks),
            door,
            turn: Turn::Guests,
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.door.address()
    }

    /// Who came, from the listener and from other ingresses in turn.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Guest>> {
        match self.turn {
            Turn::Guests => {
                self.turn = Turn::Listener;
                self.poll_guests(context).map_or_else(|| self.poll_listener(context), ready)
            }
            Turn::Listener => {
                self.turn = Turn::Guests;
                let accepted = self.poll_listener(context);
                if accepted.is_ready() {
                    return accepted;
                }
                self.poll_guests(context).map_or(Poll::Pending, ready)
            }
        }
    }

    fn poll_guests(&mut self, context: &mut Context<'_>) -> Option<Guest> {
        match self.guests.poll_recv(context) {
            Poll::Ready(guest) => guest,
            Poll::Pending => None,
        }
    }

    fn poll_listener(&self, context: &mut Context<'_>) -> Poll<io::Result<Guest>> {
        self.listener.poll_accept(context).map_ok(|(stream, peer)| Guest::new(stream, peer))
    }
}

const fn ready(guest: Guest) -> Poll<io::Result<Guest>> {
    Poll::Ready(Ok(guest))
}

/// What miners speak.
pub trait Protocol: Send + Sync + 'static {
    /// What its miners begin with.
    const SPEAKS: &'static [Speaks];

    /// What tells its ports apart.
    type Port: Copy + Send + Sync + 'static;

    /// Where it listens.
    fn ports(&self) -> Vec<(Self::Port, SocketAddr)>;

    /// Where miners connect to a bound port: keys of the announcement, and URLs that they are given.
    fn urls(&self, port: Self::Port, address: SocketAddr) -> Vec<(&'static str, String)>;

    /// Begins to serve one connection; what is left of it to serve, if its handshake succeeds.
    fn begin(
        self: Arc<Self>,
        visit: Visit<Self::Port>,
        stream: TcpStream,
        shared: Arc<Shared>,
    ) -> impl Future<Output = Option<Serving>> + Send;
}

/// The listeners and their connections.
#[derive(Debug)]
pub struct Server<P: Protocol> {
    gates: Vec<Gate<P::Port>>,
    protocol: Arc<P>,
    shared: Arc<Shared>,
    doorman: Arc<Doorman>,
    sessions: JoinSet<()>,
    /// How fast connections are taken; others wait with the kernel.
    pace: Rate,
    taken: Allowance,
    most: usize,
    proxies: Proxies,
}

/// How many connections a server takes, and how fast.
#[derive(Clone, Debug)]
pub(crate) struct Capacity {
    /// How many.
    pub(crate) bounds: Bounds,
    /// How fast, of all origins together.
    pub(crate) pace: Rate,
    /// Whose word for a miner's address is taken.
    pub(crate) proxies: Proxies,
}

impl<P: Protocol> Server<P> {
    /// Serves at open ports.
    pub(crate) fn new(
        gates: Vec<Gate<P::Port>>,
        protocol: Arc<P>,
        capacity: Capacity,
        shared: Arc<Shared>,
    ) -> Self {
        let Capacity { bounds, pace, proxies } = capacity;
        let doorman = Doorman::new(bounds);
        let (sessions, taken) = (JoinSet::new(), Allowance::default());
        Self { gates, protocol, shared, doorman, sessions, pace, taken, most: bounds.most, proxies }
    }

    /// Takes connections until `stop`.
    pub async fn accept(&mut self, stop: &CancellationToken) {
        loop {
            let pause = self.taken.pause(self.pace, self.shared.clock.monotonic());
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = accept(&mut self.gates), if pause.is_none() => match accepted {
                    Ok((port, door, guest)) => self.take(port, door, guest),
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await; // time itself
                    }
                },
                () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {} // time itself
                Some(ended) = self.sessions.join_next() => note(ended),
            }
        }
    }

    /// Takes no further connection and waits for those that are open to go in their turns, a little
    /// longer than that takes, or until `stop`.
    pub(crate) async fn thin_out(&mut self, over: Duration, stop: &CancellationToken) {
        self.gates.clear();
        let all = async {
            while let Some(ended) = self.sessions.join_next().await {
                note(ended);
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = timeout(over.saturating_add(THINNED), all) => {}
        }
    }

    /// Takes no further connection and waits for those that are open, at most `patience`.
    pub async fn drain(self, patience: Duration) {
        let Self { gates, mut sessions, .. } = self;
        drop(gates);
        let all = async {
            while let Some(ended) = sessions.join_next().await {
                note(ended);
            }
        };
        if timeout(patience, all).await.is_err() {
            tracing::warn!(left = sessions.len(), "connections were cut off at the drain's end");
            sessions.shutdown().await;
        }
    }

    fn take(&mut self, port: P::Port, door: Arc<Door>, guest: Guest) {
        let now = self.shared.clock.monotonic();
        let (protocol, shared) = (Arc::clone(&self.protocol), Arc::clone(&self.shared));
        if guest.known == Known::Address && self.proxies.trust(guest.peer.ip()) {
            return self.take_proxy(port, door, guest, now);
        }
        match admit(&shared, &self.doorman, guest.peer) {
            Ok(place) => {
                self.taken.take(self.pace, 1, now);
                self.sessions.spawn(async move {
                    // Boxed, and gone when the connection is served.
                    let begun = Box::pin(receive(protocol, port, door, guest, place, shared)).await;
                    serve(begun).await;
                });
            }
            Err(reason) => turn_away(reason, &shared),
        }
    }

    /// Takes a proxy's connection, which has a place once it is known whose it is.
    fn take_proxy(&mut self, port: P::Port, door: Arc<Door>, guest: Guest, now: Duration) {
        let (protocol, shared) = (Arc::clone(&self.protocol), Arc::clone(&self.shared));
        // Those who have a place, and as many who do not say yet whose they are.
        if self.sessions.len() >= self.most.saturating_mul(2) {
            return turn_away(TurnedAway::Full, &shared);
        }
        self.taken.take(self.pace, 1, now);
        let doorman = Arc::clone(&self.doorman);
        let introduction = async move {
            let introduced = timeout(shared.handshake_deadline, introduce(guest)).await;
            let admitted = match introduced {
                Ok(Ok(guest)) => admit(&shared, &doorman, guest.peer).map(|place| (guest, place)),
                Ok(Err(_)) | Err(_) => Err(TurnedAway::NotIntroduced),
            };
            match admitted {
                Ok((guest, place)) => receive(protocol, port, door, guest, place, shared).await,
                Err(reason) => {
                    turn_away(reason, &shared);
                    None
                }
            }
        };
        self.sessions.spawn(async move {
            let begun = Box::pin(introduction).await;
            serve(begun).await;
        });
    }
}

async fn serve(begun: Option<Serving>) {
    if let Some(serving) = begun {
        serving.await;
    }
}

fn admit(shared: &Shared, doorman: &Arc<Doorman>, peer: SocketAddr) -> Result<Place, TurnedAway> {
    let serving = *shared.standing.borrow() == Standing::Serving;
    if !serving || shared.queue.is_backed_up() {
        return Err(TurnedAway::NotReady);
    }
    doorman.admit(Origin::from(peer.ip()), shared.clock.monotonic())
}

fn turn_away(reason: TurnedAway, shared: &Shared) {
    tracing::debug!(%reason, "a connection was turned away");
    shared.figures.turned_away(reason);
}

/// Begins to serve a connection, or hands it on to who speaks as its miner does.
async fn receive<P: Protocol>(
    protocol: Arc<P>,
    port: P::Port,
    door: Arc<Door>,
    guest: Guest,
    mut place: Place,
    shared: Arc<Shared>,
) -> Option<Serving> {
    let heard = tokio::select! {
        heard = timeout(shared.handshake_deadline, listen_to(&guest.stream)) => heard,
        () = place.lost() => {
            shared.figures.session_silent("evicted");
            return None;
        }
    };
    let silent = match heard {
        Ok(Ok(Some(speaks))) => Ok(speaks),
        Ok(Ok(None)) => Err("left"),
        Ok(Err(_)) => Err("socket"),
        Err(_) => Err("handshake-deadline"),
    };
    let speaks = silent.map_err(|code| shared.figures.session_silent(code)).ok()?;
    if P::SPEAKS.contains(&speaks) {
        let visit = Visit { port, peer: guest.peer.ip(), speaks, place };
        drop(door);
        return protocol.begin(visit, guest.stream, shared).await;
    }
    if let Err(reason) = door.hand_on(speaks, guest) {
        turn_away(reason, &shared);
    }
    None
}

/// The next connection at any gate. May be cancelled; then nothing is lost.
async fn accept<P: Copy>(gates: &mut [Gate<P>]) -> io::Result<(P, Arc<Door>, Guest)> {
    poll_fn(|context| {
        for (index, gate) in gates.iter_mut().enumerate() {
            if let Poll::Ready(guest) = gate.poll_next(context) {
                let (port, door) = (gate.port, Arc::clone(&gate.door));
                // Whoever comes behind this gate is asked first the next time.
                gates.rotate_left(index + 1);
                return Poll::Ready(guest.map(|guest| (port, door, guest)));
            }
        }
        Poll::Pending
    })
    .await
}

/// A session that panicked took nobody with it, but a person must look.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
