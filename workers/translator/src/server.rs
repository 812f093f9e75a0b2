//! The listener: who is let in, and the tasks of those who are.

use crate::{hub::Hub, session, shared::Shared};
use ingress::{
    domain::{
        admission::{Bounds, Origin},
        allowance::Rate,
    },
    doorman::Doorman,
};
use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Pause after an accept that failed, e.g. for want of file descriptors: it would fail again at
/// once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a connection may take beyond the drain's patience to say its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The listener and its connections.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    doorman: Arc<Doorman>,
    sessions: JoinSet<()>,
}

impl Server {
    pub(crate) fn new(listener: TcpListener, shared: Arc<Shared>, hub: Arc<Hub>) -> Self {
        let limits = shared.ctx.config.load().limits.clone();
        let bounds = Bounds {
            most: limits.max_connections,
            most_per_origin: limits.max_connections_per_address,
            // A site's own miners may come as fast as they like.
            rate_per_origin: Rate::new(NonZeroU32::MAX, 0),
        };
        let doorman = Doorman::new(bounds);
        Self { listener, shared, hub, doorman, sessions: JoinSet::new() }
    }

    /// Takes connections until `stop`, which also sends away those that are open.
    pub(crate) async fn accept(&mut self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer, stop),
                    Err(error) => {
                        tracing::warn!(%error, "cannot take a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await; // time itself
                    }
                },
                Some(ended) = self.sessions.join_next() => note(ended),
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
        let place = match self.doorman.admit(Origin::from(peer.ip()), self.shared.now()) {
            Ok(place) => place,
            Err(reason) => {
                tracing::debug!(%reason, "a connection was turned away");
                return self.shared.figures.refused(reason.code());
            }
        };
        let (shared, hub) = (Arc::clone(&self.shared), Arc::clone(&self.hub));
        let stop = stop.clone();
        self.sessions.spawn(session::serve(stream, place, shared, hub, stop));
    }

    /// Takes no further connection and waits for those that are open.
    pub(crate) async fn drain(self) {
        let Self { listener, mut sessions, shared, .. } = self;
        drop(listener);
        let patience = Duration::from_secs(shared.ctx.config.load().deadlines.drain_secs);
        let all = async {
            while let Some(ended) = sessions.join_next().await {
                note(ended);
            }
        };
        if timeout(patience.saturating_add(LAST_WORDS), all).await.is_err() {
            tracing::warn!(left = sessions.len(), "connections were cut off at the drain's end");
            sessions.shutdown().await;
        }
    }
}

/// A session that panicked took nobody with it, but a person must look.
fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}
