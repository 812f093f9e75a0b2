//! The listener: who is let in, and the tasks of those who are.

use crate::{
    domain::admission::{Admission, Origin, TurnedAway},
    shared::{Shared, Standing},
};
use std::{
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Pause after an accept that failed, e.g. for want of file descriptors: it would fail again at
/// once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What miners speak.
pub trait Protocol: Send + Sync + 'static {
    /// What tells its ports apart.
    type Port: Copy + Send + Sync + 'static;

    /// Where it listens.
    fn ports(&self) -> Vec<(Self::Port, SocketAddr)>;

    /// Where miners connect to a bound port: keys of the announcement, and URLs that they are given.
    fn urls(&self, port: Self::Port, address: SocketAddr) -> Vec<(&'static str, String)>;

    /// Serves one connection to its end.
    fn serve(
        self: Arc<Self>,
        port: Self::Port,
        stream: TcpStream,
        peer: IpAddr,
        shared: Arc<Shared>,
    ) -> impl Future<Output = ()> + Send;
}

/// The listeners and their connections.
#[derive(Debug)]
pub struct Server<P: Protocol> {
    listeners: Vec<(TcpListener, P::Port)>,
    protocol: Arc<P>,
    shared: Arc<Shared>,
    admission: Arc<Mutex<Admission>>,
    sessions: JoinSet<()>,
}

/// An admitted connection's place; it is free again when this is dropped.
struct Place {
    admission: Arc<Mutex<Admission>>,
    origin: Origin,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.admission).release(self.origin);
    }
}

fn lock(admission: &Mutex<Admission>) -> MutexGuard<'_, Admission> {
    admission.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<P: Protocol> Server<P> {
    /// Serves on bound sockets.
    pub fn new(
        listeners: Vec<(TcpListener, P::Port)>,
        protocol: Arc<P>,
        admission: Admission,
        shared: Arc<Shared>,
    ) -> Self {
        let admission = Arc::new(Mutex::new(admission));
        Self { listeners, protocol, shared, admission, sessions: JoinSet::new() }
    }

    /// Takes connections until `stop`.
    pub async fn accept(&mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = accept(&self.listeners) => match accepted {
                    Ok((stream, peer, port)) => self.take(port, stream, peer),
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.sessions.join_next() => note(ended),
            }
        }
    }

    /// Takes no further connection and waits for those that are open, at most `patience`.
    pub async fn drain(self, patience: Duration) {
        let Self { listeners, mut sessions, .. } = self;
        drop(listeners);
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

    fn take(&mut self, port: P::Port, stream: TcpStream, peer: SocketAddr) {
        let place = match self.admit(peer) {
            Ok(place) => place,
            Err(reason) => {
                tracing::debug!(%reason, "a connection was turned away");
                return self.shared.figures.turned_away(reason);
            }
        };
        let (protocol, shared) = (Arc::clone(&self.protocol), Arc::clone(&self.shared));
        self.sessions.spawn(async move {
            protocol.serve(port, stream, peer.ip(), shared).await;
            drop(place);
        });
    }

    fn admit(&self, peer: SocketAddr) -> Result<Place, TurnedAway> {
        let serving = *self.shared.standing.borrow() == Standing::Serving;
        if !serving || self.shared.queue.is_backed_up() {
            return Err(TurnedAway::NotReady);
        }
        let origin = Origin::from(peer.ip());
        lock(&self.admission).admit(origin)?;
        Ok(Place { admission: Arc::clone(&self.admission), origin })
    }
}

/// The next connection of any listener. May be cancelled; then nothing is lost.
async fn accept<P: Copy>(listeners: &[(TcpListener, P)]) -> io::Result<(TcpStream, SocketAddr, P)> {
    poll_fn(|context| {
        for (listener, port) in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready(accepted.map(|(stream, peer)| (stream, peer, *port)));
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
