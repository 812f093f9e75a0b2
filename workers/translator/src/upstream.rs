//! One connection to the pool: whichever pool of the list is there, for as long as there are miners.

use crate::{
    domain::{
        MinerId,
        channel::Violation,
        link::{Event, Link, Outbox, Request},
        route::{Attempt, Route},
    },
    hub::Command,
    shared::Shared,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use stratum_core::{
    common_messages_sv2::ReconnectOwned,
    parsers_sv2::{AnyMessageOwned, CommonMessagesOwned},
};
use stratum_v2::{
    Endpoint,
    client::{Client, ClientError, Device, Reader, Writer},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use worker_runtime::causes;

/// Messages that may wait for the socket, beside those of the link.
const WRITER: usize = 64;
/// Above so many messages that wait to be said, miners' requests wait.
const MAX_OUTGOING: usize = 1_024;
/// How long the pool may take to take a message.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Bound of a pause without any deadline.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// A connection to the pool and those who are on it.
pub(crate) struct Upstream {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    reloads: watch::Receiver<u64>,
    stop: CancellationToken,
    /// Whether its pool decides whether the process is ready.
    is_first: bool,
    link: Link,
    out: Outbox,
    listeners: BTreeMap<MinerId, mpsc::Sender<Event>>,
    route: Route,
    /// The pool of the list that was tried last.
    listed: Option<Endpoint>,
    /// Where it has sent us.
    sent_to: Option<Endpoint>,
    /// Open channels, as far as the figures know.
    counted: usize,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the translator ends, or nobody needs the connection")]
    Stopped,
    #[error("the connection to the pool failed")]
    Client(#[from] ClientError),
    #[error("the pool breaks the protocol")]
    Violation(#[from] Violation),
    #[error("nothing was heard of the pool for too long")]
    Silent,
    #[error("the pool asks us to connect again")]
    SentAway,
    #[error("the pool is no longer one of `upstreams`")]
    Unlisted,
    #[error("the pool does not take what it is sent")]
    Stuck,
}

impl Upstream {
    pub(crate) fn new(
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
        is_first: bool,
    ) -> Self {
        let config = shared.ctx.config.load();
        let link = Link::new(config.mode(), config.rules().needed_bytes(), config.hashrate());
        let reloads = shared.ctx.reloads();
        Self {
            shared,
            commands,
            reloads,
            stop,
            is_first,
            link,
            out: Outbox::default(),
            listeners: BTreeMap::new(),
            route: Route::default(),
            listed: None,
            sent_to: None,
            counted: 0,
        }
    }

    /// Serves its miners until `stop`, or until nobody can ask for anything any more.
    pub(crate) async fn run(mut self) -> anyhow::Result<()> {
        self.ready(false, "no pool was reached yet");
        while let Some((client, endpoint)) = self.connect().await {
            let began = self.shared.now();
            tracing::info!(pool = %endpoint, "the pool is there");
            self.shared.figures.upstream_came();
            self.ready(true, "connected");
            let end = self.serve(client, &endpoint).await;
            self.link.lost(&mut self.out);
            self.deliver();
            self.shared.figures.upstream_went();
            if matches!(end, End::Stopped) {
                break;
            }
            self.ready(false, "the pool is gone");
            let why = causes(&end);
            tracing::warn!(pool = %endpoint, why, "the pool is gone; its miners stay");
            self.route.ended(self.shared.now().saturating_sub(began));
        }
        Ok(())
    }

    fn ready(&self, ok: bool, why: &str) {
        if self.is_first {
            self.shared.ctx.ready("upstream", ok, why);
        }
    }

    /// Connects to the first pool that is there, and meanwhile hears its miners; `None` when it is
    /// to end.
    async fn connect(&mut self) -> Option<(Client, Endpoint)> {
        loop {
            let (endpoint, pause) = self.next_attempt();
            let (wanted, shared) = (endpoint.clone(), Arc::clone(&self.shared));
            let mut attempt = Box::pin(async move {
                sleep(pause).await; // time itself
                let Some(endpoint) = wanted else { return Err(None) };
                set_up(&endpoint, &shared).await.map_err(Some)
            });
            let reached = loop {
                tokio::select! {
                    () = self.stop.cancelled() => return None,
                    command = self.commands.recv() => self.command(command?),
                    reached = &mut attempt => break reached,
                }
            };
            match (reached, endpoint) {
                (Ok((client, took)), Some(endpoint)) => {
                    self.shared.figures.round_trip(took);
                    return Some((client, endpoint));
                }
                (Err(Some(error)), Some(endpoint)) => {
                    self.shared.figures.upstream_failed();
                    let why = causes(&error);
                    tracing::warn!(pool = %endpoint, why, "a pool cannot be reached");
                }
                (Ok(_) | Err(_), _) => {}
            }
        }
    }

    /// Which pool is next, and how long to wait before.
    fn next_attempt(&mut self) -> (Option<Endpoint>, Duration) {
        if let Some(endpoint) = self.sent_to.take() {
            return (Some(endpoint), Duration::ZERO);
        }
        let config = self.shared.ctx.config.load();
        // The configuration was checked: all of them are addresses.
        let pools = config.endpoints().unwrap_or_default();
        let Attempt { place, pause } =
            self.route.attempt(pools.len(), config.pauses(), rand::random());
        self.listed = pools.into_iter().nth(place);
        (self.listed.clone(), pause)
    }

    async fn serve(&mut self, client: Client, endpoint: &Endpoint) -> End {
        let (mut reader, writer) = client.split();
        let (sender, told) = mpsc::channel(WRITER);
        let mut writing = JoinSet::new();
        writing.spawn(write(writer, told));
        let mut heard_at = self.shared.now();
        self.link.connected(heard_at, &mut self.out);
        loop {
            self.deliver();
            let ended = self.step(&mut reader, &sender, &mut writing, &mut heard_at, endpoint);
            if let Err(end) = ended.await {
                return end;
            }
        }
    }

    async fn step(
        &mut self,
        reader: &mut Reader,
        sender: &mpsc::Sender<AnyMessageOwned>,
        writing: &mut JoinSet<Result<(), End>>,
        heard_at: &mut Duration,
        endpoint: &Endpoint,
    ) -> Result<(), End> {
        let silence = self.shared.ctx.config.load().deadlines.upstream_silence_secs;
        let silent_at = heard_at.saturating_add(Duration::from_secs(silence));
        let has_room = self.out.outgoing.len() < MAX_OUTGOING;
        let pause = self.pause(silent_at);
        tokio::select! {
            () = self.stop.cancelled() => return Err(End::Stopped),
            message = reader.next() => {
                *heard_at = self.shared.now();
                self.hear(message?, *heard_at, endpoint)?;
            }
            permit = sender.reserve(), if !self.out.outgoing.is_empty() => {
                let message = self.out.outgoing.pop_front();
                if let (Ok(permit), Some(message)) = (permit, message) {
                    permit.send(AnyMessageOwned::Mining(message));
                }
            }
            command = self.commands.recv(), if has_room => {
                self.command(command.ok_or(End::Stopped)?);
            }
            Some(ended) = writing.join_next() => return ended.unwrap_or(Err(End::Stuck)),
            Ok(()) = self.reloads.changed() => self.reloaded()?,
            () = sleep(pause) => {}
        }
        let now = self.shared.now();
        if silent_at.max(heard_at.saturating_add(Duration::from_secs(silence))) <= now {
            return Err(End::Silent);
        }
        if self.link.deadline().is_some_and(|at| at <= now) {
            self.link.tick(now, &mut self.out)?;
        }
        Ok(())
    }

    fn pause(&self, silent_at: Duration) -> Duration {
        let next = self.link.deadline().map_or(silent_at, |at| at.min(silent_at));
        next.saturating_sub(self.shared.now()).min(LONGEST_PAUSE)
    }

    fn hear(
        &mut self,
        message: AnyMessageOwned,
        now: Duration,
        endpoint: &Endpoint,
    ) -> Result<(), End> {
        if let AnyMessageOwned::Mining(message) = message {
            return Ok(self.link.receive(message, now, &mut self.out)?);
        }
        if let AnyMessageOwned::Common(CommonMessagesOwned::Reconnect(reconnect)) = message {
            self.sent_to = other_port(&reconnect, endpoint);
            return Err(End::SentAway);
        }
        Ok(())
    }

    fn reloaded(&self) -> Result<(), End> {
        let pools = self.shared.ctx.config.load().endpoints().unwrap_or_default();
        let listed = self.listed.as_ref().map(ToString::to_string);
        let is_listed = pools.iter().any(|pool| Some(pool.to_string()) == listed);
        if is_listed { Ok(()) } else { Err(End::Unlisted) }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Listen(miner, events) => {
                self.listeners.insert(miner, events);
            }
            Command::Ask(miner, request) => {
                let leaves = matches!(request, Request::Leave);
                self.link.request(miner, request, self.shared.now(), &mut self.out);
                if leaves {
                    self.listeners.remove(&miner);
                }
            }
        }
        self.deliver();
    }

    /// Tells miners what concerns them. Who is behind by more than may wait is let go: nobody waits
    /// for the slowest.
    fn deliver(&mut self) {
        let figures = &self.shared.figures;
        for (miner, event) in self.out.events.drain(..) {
            let Some(listener) = self.listeners.get(&miner) else { continue };
            if listener.try_send(event).is_err() {
                self.listeners.remove(&miner);
            }
        }
        self.out.round_trips.drain(..).for_each(|took| figures.round_trip(took));
        self.out.stored_after.drain(..).for_each(|after| figures.acknowledged(after));
        for remark in self.out.remarks.drain(..) {
            tracing::warn!("{remark}");
        }
        self.shared.tips(std::mem::take(&mut self.out.tips));
        let channels = self.link.channels();
        figures.channels(self.counted, channels);
        self.counted = channels;
    }
}

/// Connects and says who we are; with how long the pool took to answer that.
async fn set_up(endpoint: &Endpoint, shared: &Shared) -> Result<(Client, Duration), ClientError> {
    let mut client = Client::connect(endpoint).await?;
    let device = Device {
        vendor: "hyperhash".to_owned(),
        hardware: "translator".to_owned(),
        firmware: env!("CARGO_PKG_VERSION").to_owned(),
        id: String::new(),
    };
    let asked = shared.now();
    client.setup(&device, 0).await?;
    Ok((client, shared.now().saturating_sub(asked)))
}

/// Where a pool sends us, as far as we go there: another port of the same host, which must show the
/// same authority's certificate. To another host only the operator sends us.
fn other_port(reconnect: &ReconnectOwned, endpoint: &Endpoint) -> Option<Endpoint> {
    let host = reconnect.new_host.as_utf8_or_hex();
    let same = host.is_empty() || host == endpoint.host;
    let port = if reconnect.new_port == 0 { endpoint.port } else { reconnect.new_port };
    if !same {
        tracing::warn!(host, "the pool sends us to another host: set `upstreams` if that is right");
    }
    (same && port != endpoint.port).then(|| Endpoint { port, ..endpoint.clone() })
}

/// Sends what is handed in, until nothing can be handed in any more.
async fn write(mut writer: Writer, mut told: mpsc::Receiver<AnyMessageOwned>) -> Result<(), End> {
    while let Some(message) = told.recv().await {
        timeout(WRITE_DEADLINE, writer.send(message)).await.map_err(|_| End::Stuck)??;
    }
    Ok(())
}
