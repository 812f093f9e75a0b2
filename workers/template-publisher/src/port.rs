//! A bitcoind, as far as this worker needs one.

pub mod fake;

use bitcoincore_zmq::{
    Message, SequenceMessage, SocketEvent, SocketMessage, subscribe_async_monitor,
    subscribe_async_monitor_stream::MessageStream,
};
use bitcoind_rpc::{BlockTemplate, Header, NodeState, Rpc, RpcError, node::Identity};
use futures_util::StreamExt as _;
use std::{collections::BTreeSet, fmt, future::Future};
use subjects::BlockHash;

/// The calls that this worker makes.
pub trait Bitcoind: Send + Sync + 'static {
    /// How it makes itself heard.
    type Notices: Notices;

    /// What it says about its chain; `checkpoint` is the height to look at.
    fn identity(
        &self,
        checkpoint: Option<u32>,
    ) -> impl Future<Output = Result<Identity, RpcError>> + Send;

    /// Where it stands.
    fn state(&self) -> impl Future<Output = Result<NodeState, RpcError>> + Send;

    /// What it would mine next.
    fn template(&self) -> impl Future<Output = Result<BlockTemplate, RpcError>> + Send;

    /// The same, once it differs from the template with this long-poll id.
    fn template_after(
        &self,
        longpoll_id: &str,
    ) -> impl Future<Output = Result<BlockTemplate, RpcError>> + Send;

    /// A block's header; `None` when it has never heard of it.
    fn header(
        &self,
        hash: BlockHash,
    ) -> impl Future<Output = Result<Option<Header>, RpcError>> + Send;

    /// Begins to listen.
    fn notices(&self) -> Result<Self::Notices, NoticesError>;
}

/// What a bitcoind says unasked.
pub trait Notices: Send {
    /// Waits for the next one. May be dropped while it waits; nothing is lost then.
    fn next(&mut self) -> impl Future<Output = Notice> + Send;
}

/// One thing that a bitcoind said unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A block was connected to its chain or disconnected from it.
    Block,
    /// From now on it can be heard.
    Connected,
    /// From now on it cannot be heard; notices may be lost.
    Disconnected,
}

/// A ZMQ address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the ZMQ addresses {endpoints:?} cannot be used: use the form `tcp://127.0.0.1:28332`")]
pub struct NoticesError {
    endpoints: Vec<String>,
    #[source]
    source: bitcoincore_zmq::Error,
}

/// A real bitcoind.
#[derive(Debug)]
pub struct Node {
    rpc: Rpc,
    zmq: Vec<String>,
    signet: bool,
}

impl Node {
    /// Speaks over `rpc` and listens at the addresses `zmq`.
    pub const fn new(rpc: Rpc, zmq: Vec<String>, signet: bool) -> Self {
        Self { rpc, zmq, signet }
    }
}

impl Bitcoind for Node {
    type Notices = Zmq;

    async fn identity(&self, checkpoint: Option<u32>) -> Result<Identity, RpcError> {
        self.rpc.identity(checkpoint).await
    }

    async fn state(&self) -> Result<NodeState, RpcError> {
        self.rpc.state().await
    }

    async fn template(&self) -> Result<BlockTemplate, RpcError> {
        self.rpc.template(self.signet).await
    }

    async fn template_after(&self, longpoll_id: &str) -> Result<BlockTemplate, RpcError> {
        self.rpc.template_after(longpoll_id, self.signet).await
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<Header>, RpcError> {
        self.rpc.header(hash).await
    }

    fn notices(&self) -> Result<Zmq, NoticesError> {
        Zmq::subscribe(&self.zmq)
    }
}

/// Notices over ZMQ: the topics `sequence` and `hashblock`. Connections come back by themselves.
pub struct Zmq {
    stream: Option<MessageStream>,
    connected: BTreeSet<String>,
}

impl fmt::Debug for Zmq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zmq").field("connected", &self.connected).finish_non_exhaustive()
    }
}

impl Zmq {
    /// Listens at these addresses; with none it never hears anything.
    ///
    /// # Errors
    ///
    /// When an address cannot be understood.
    pub fn subscribe(endpoints: &[String]) -> Result<Self, NoticesError> {
        let texts: Vec<&str> = endpoints.iter().map(String::as_str).collect();
        let listen = || subscribe_async_monitor(&texts);
        let failed = |source| NoticesError { endpoints: endpoints.to_vec(), source };
        let stream = (!texts.is_empty()).then(listen).transpose().map_err(failed)?;
        Ok(Self { stream, connected: BTreeSet::new() })
    }

    fn hear_event(&mut self, event: SocketEvent, address: String) -> Option<Notice> {
        let before = self.connected.is_empty();
        if event == SocketEvent::HandshakeSucceeded {
            self.connected.insert(address);
        } else if matches!(event, SocketEvent::Disconnected { .. }) {
            self.connected.remove(&address);
        }
        match (before, self.connected.is_empty()) {
            (true, false) => Some(Notice::Connected),
            (false, true) => Some(Notice::Disconnected),
            (true, true) | (false, false) => None,
        }
    }
}

impl Notices for Zmq {
    async fn next(&mut self) -> Notice {
        loop {
            let Some(stream) = &mut self.stream else { return std::future::pending().await };
            let notice = match stream.next().await {
                Some(Ok(SocketMessage::Message(message))) => hear(&message),
                Some(Ok(SocketMessage::Event(event))) => {
                    self.hear_event(event.event, event.source_url)
                }
                // Something else than bitcoind publishes there; the poll does without it.
                Some(Err(error)) => {
                    tracing::debug!(%error, "an unreadable ZMQ message");
                    None
                }
                None => return std::future::pending().await,
            };
            if let Some(notice) = notice {
                return notice;
            }
        }
    }
}

const fn hear(message: &Message) -> Option<Notice> {
    match message {
        Message::HashBlock(..)
        | Message::Block(..)
        | Message::Sequence(
            SequenceMessage::BlockConnect { .. } | SequenceMessage::BlockDisconnect { .. },
            _,
        ) => Some(Notice::Block),
        Message::HashTx(..)
        | Message::Tx(..)
        | Message::Sequence(
            SequenceMessage::MempoolAcceptance { .. } | SequenceMessage::MempoolRemoval { .. },
            _,
        ) => None,
    }
}
