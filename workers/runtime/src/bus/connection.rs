//! Connecting, staying connected, and telling what happened in between.

use super::{Bus, BusConfig, Inner, api::Api, denied::Denials, publish::Publisher};
use crate::{causes, context::Shell, metric::Name, secret::SecretError};
use async_nats::{Client, ConnectOptions, Event, ServerAddr, connection::State};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use std::{future::Future, str::FromStr, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Longest pause between two attempts to connect. With jitter a fleet does not return as one.
const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(4);

/// First pause.
const MIN_RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// A dead link is noticed after at most three of these.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How often the link is compared with the client's own state.
const LINK_WATCH: Duration = Duration::from_secs(1);

/// Messages of one subscription that may wait to be read: more than a reader ever asks for. Who
/// sends more without being asked, a hostile node for one, fills no memory.
const SUBSCRIPTION_CAPACITY: usize = 1_024;

/// How long one attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that cannot be made by trying again.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is none.
    #[error("bus.url: `{0}` is not a NATS URL, use e.g. `nats://127.0.0.1:4222`")]
    Url(String),
    /// Two ways to say who we are.
    #[error("bus: set `creds_file` or `nkey_seed_file`, not both")]
    TwoIdentities,
    /// A secret cannot be had.
    #[error("bus: no identity")]
    Secret(#[from] SecretError),
    /// The creds file is none.
    #[error("bus.creds_file: not a NATS creds file: {0}")]
    Creds(String),
    /// A certificate without its key, or the other way round.
    #[error("bus.tls: set both `cert_file` and `key_file`, or neither")]
    HalfCertificate,
    /// The process ended before the bus answered.
    #[error("the process ended before the bus answered")]
    Stopped,
}

/// Whether the connection is up, and how often it was made.
#[derive(Clone)]
pub(super) struct Link {
    state: watch::Sender<LinkState>,
    denials: Denials,
}

/// A moment of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LinkState {
    pub(super) up: bool,
    /// Counts how often the connection was made.
    pub(super) epoch: u64,
}

impl Link {
    fn new() -> Self {
        Self { state: watch::Sender::new(LinkState::default()), denials: Denials::new() }
    }

    pub(super) fn is_up(&self) -> bool {
        self.state.borrow().up
    }

    /// Waits until the connection is up; says which one it is.
    pub(super) async fn up(&self) -> u64 {
        let mut state = self.state.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        state.wait_for(|state| state.up).await.map_or(0, |state| state.epoch)
    }

    /// Waits until the connection `epoch` is no more.
    pub(super) async fn gone(&self, epoch: u64) {
        let mut state = self.state.subscribe();
        drop(state.wait_for(|state| !state.up || state.epoch != epoch).await);
    }

    fn set(&self, up: bool) {
        self.state.send_modify(|state| {
            if up && !state.up {
                state.epoch += 1;
            }
            state.up = up;
        });
    }
}

impl Bus {
    pub(crate) async fn connect(
        shell: Arc<Shell>,
        config: &BusConfig,
    ) -> Result<Self, ConnectError> {
        let check = shell.next_bus_check();
        let addresses = addresses(&config.url)?;
        let link = Link::new();
        let mut attempt = 0;
        let client = loop {
            shell.checks.set(check, false, "connecting");
            let options = options(&shell, config, &link, check)?;
            let connecting = options.connect(addresses.as_slice());
            let error = tokio::select! {
                connected = connecting => match connected {
                    Ok(client) => break client,
                    Err(error) => error,
                },
                () = shell.stop.cancelled() => return Err(ConnectError::Stopped),
            };
            let why = causes(&error);
            tracing::warn!(url = %shown(&addresses), cause = why, "cannot reach the bus");
            shell.checks.set(check, false, &why);
            tokio::select! {
                () = tokio::time::sleep(pause(attempt)) => {}
                () = shell.stop.cancelled() => return Err(ConnectError::Stopped),
            }
            attempt += 1;
        };
        // The callback may lag behind `connect`.
        up(&shell, &link, check);
        shell.connected(client.clone());
        let bus = Self::assemble(shell, config, client, link);
        bus.watch_link(check);
        Ok(bus)
    }

    /// Compares the link with the client's own state now and then: an event may have been dropped
    /// when many came at once.
    #[expect(clippy::disallowed_methods, reason = "the connection outlives the worker's tasks")]
    fn watch_link(&self, check: &'static str) {
        let inner = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LINK_WATCH).await;
                let Some(inner) = inner.upgrade() else { return };
                match inner.client.connection_state() {
                    State::Connected => up(&inner.shell, &inner.link, check),
                    State::Disconnected | State::Pending => {
                        down(&inner.shell, &inner.link, check, "disconnected");
                    }
                }
            }
        });
    }

    fn assemble(shell: Arc<Shell>, config: &BusConfig, client: Client, link: Link) -> Self {
        let api = Api::new(client.clone(), link.denials.clone(), config.domain.as_deref());
        let publisher = Arc::new(Publisher::new(&shell, config));
        let inbox = inbox_prefix(&shell, config);
        Self { inner: Arc::new(Inner { shell, client, api, link, inbox, publisher }) }
    }
}

fn addresses(urls: &str) -> Result<Vec<ServerAddr>, ConnectError> {
    let parsed: Result<Vec<_>, _> = urls
        .split(',')
        .map(|url| ServerAddr::from_str(url.trim()).map_err(|_| ConnectError::Url(url.to_owned())))
        .collect();
    parsed
}

/// The servers without user names and passwords.
fn shown(addresses: &[ServerAddr]) -> String {
    let hosts: Vec<_> =
        addresses.iter().map(|address| format!("{}:{}", address.host(), address.port())).collect();
    hosts.join(",")
}

fn inbox_prefix(shell: &Shell, config: &BusConfig) -> String {
    config.inbox_prefix.clone().unwrap_or_else(|| format!("_INBOX_{}", shell.name))
}

fn options(
    shell: &Arc<Shell>,
    config: &BusConfig,
    link: &Link,
    check: &'static str,
) -> Result<ConnectOptions, ConnectError> {
    let options = ConnectOptions::new()
        .name(&shell.instance)
        .custom_inbox_prefix(inbox_prefix(shell, config))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(None)
        .reconnect_delay_callback(pause)
        .event_callback(observer(shell, link, check));
    secured(identified(options, shell, config)?, config)
}

fn identified(
    options: ConnectOptions,
    shell: &Shell,
    config: &BusConfig,
) -> Result<ConnectOptions, ConnectError> {
    match (&config.creds_file, &config.nkey_seed_file) {
        (None, None) => Ok(options),
        (Some(_), Some(_)) => Err(ConnectError::TwoIdentities),
        (Some(path), None) => {
            let creds = shell.secrets.read(path)?;
            // A secret comes without the line end after it, but the client wants the whole file.
            let creds = SecretString::from(format!("{}\n", creds.expose_secret()));
            options
                .credentials(creds.expose_secret())
                .map_err(|error| ConnectError::Creds(error.to_string()))
        }
        (None, Some(path)) => {
            let seed = shell.secrets.read(path)?;
            Ok(options.nkey(seed.expose_secret().trim().to_owned()))
        }
    }
}

fn secured(
    mut options: ConnectOptions,
    config: &BusConfig,
) -> Result<ConnectOptions, ConnectError> {
    let Some(tls) = &config.tls else { return Ok(options) };
    options = options.require_tls(true);
    if let Some(authority) = &tls.ca_file {
        options = options.add_root_certificates(authority.clone());
    }
    options = match (&tls.cert_file, &tls.key_file) {
        (Some(certificate), Some(key)) => {
            options.add_client_certificate(certificate.clone(), key.clone())
        }
        (None, None) => options,
        (Some(_), None) | (None, Some(_)) => return Err(ConnectError::HalfCertificate),
    };
    Ok(if tls.first { options.tls_first() } else { options })
}

/// Full jitter over a doubling pause.
fn pause(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt).unwrap_or(u32::MAX).min(10);
    let longest = MIN_RECONNECT_PAUSE.saturating_mul(1 << doublings).min(MAX_RECONNECT_PAUSE);
    rand::thread_rng().gen_range(MIN_RECONNECT_PAUSE / 2..=longest)
}

/// Counts and logs what the client reports, and keeps the link's state.
fn observer(
    shell: &Arc<Shell>,
    link: &Link,
    check: &'static str,
) -> impl Fn(Event) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + Sync>> + Send + Sync + 'static
{
    let (shell, link) = (Arc::downgrade(shell), link.clone());
    move |event| {
        if let Some(shell) = shell.upgrade() {
            observe(&shell, &link, check, &event);
        }
        Box::pin(std::future::ready(()))
    }
}

fn observe(shell: &Arc<Shell>, link: &Link, check: &'static str, event: &Event) {
    let label = match event {
        Event::Connected => {
            up(shell, link, check);
            "connected"
        }
        Event::Disconnected => {
            down(shell, link, check, "disconnected");
            tracing::warn!("the bus is disconnected");
            "disconnected"
        }
        Event::Closed => {
            down(shell, link, check, "closed");
            "closed"
        }
        Event::LameDuckMode => "lame-duck",
        Event::Draining => "draining",
        Event::SlowConsumer(subscription) => {
            tracing::error!(subscription, "a reader of the bus is too slow: messages were dropped");
            "slow-consumer"
        }
        Event::ServerError(error) => {
            link.denials.hear(&error.to_string());
            tracing::error!(%error, "the bus refuses");
            "server-error"
        }
        Event::ClientError(error) => {
            tracing::warn!(%error, "the client of the bus reports an error");
            "client-error"
        }
    };
    shell.metrics.counter_with(Name::BusEventsTotal, &[("event", label)]).inc();
}

fn up(shell: &Arc<Shell>, link: &Link, check: &'static str) {
    if !link.is_up() {
        link.set(true);
        shell.metrics.gauge(Name::BusConnected).inc();
        shell.checks.set(check, true, "connected");
    }
}

fn down(shell: &Arc<Shell>, link: &Link, check: &'static str, why: &str) {
    if link.is_up() {
        link.set(false);
        shell.metrics.gauge(Name::BusConnected).dec();
        shell.checks.set(check, false, why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_are_jittered() {
        for attempt in [0, 3, 50, usize::MAX] {
            assert!((MIN_RECONNECT_PAUSE / 2..=MAX_RECONNECT_PAUSE).contains(&pause(attempt)));
        }
        assert!((0..50).any(|_| pause(9) != pause(9)));
    }

    #[test]
    fn a_reader_of_the_link_sees_each_connection_once() {
        let link = Link::new();
        assert!(!link.is_up());
        link.set(true);
        link.set(true);
        assert_eq!(*link.state.borrow(), LinkState { up: true, epoch: 1 });
        link.set(false);
        link.set(true);
        assert_eq!(*link.state.borrow(), LinkState { up: true, epoch: 2 });
    }

    #[test]
    fn events_are_counted_and_turn_the_link() {
        let context = crate::Context::detached("toy", ());
        let (shell, link) = (context.shell(), Link::new());
        for event in [Event::Connected, Event::SlowConsumer(7), Event::SlowConsumer(8)] {
            observe(shell, &link, "bus", &event);
        }
        assert!(link.is_up() && context.is_ready());
        observe(shell, &link, "bus", &Event::Disconnected);
        assert!(!link.is_up() && !context.is_ready());
        let figures = context.metrics().encode().unwrap();
        assert!(figures.contains("bus_events_total{event=\"slow-consumer\"} 2"), "{figures}");
        assert!(figures.contains("bus_connected 0"), "{figures}");
    }

    #[test]
    fn urls_are_shown_without_their_passwords() {
        let addresses = addresses("nats://me:hunter2@core:4222, nats://two").unwrap();
        assert_eq!(shown(&addresses), "core:4222,two:4222");
        assert!(matches!(super::addresses("::"), Err(ConnectError::Url(_))));
    }
}
