//! One connection, from the handshake to its end.

use super::{
    DRAIN, MinerConfig,
    channel::{Channel, Effect, Violation},
    event::{self, Event},
    hasher::Hashers,
    record::Record,
    work::Found,
};
use anyhow::Context as _;
use std::{sync::Arc, time::Duration};
use stratum_core::parsers_sv2::MiningOwned;
use stratum_v2::client::{Client, ClientError, Open, Opened};
use subjects::shares::JobKind;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use worker_runtime::clock::Clock;

/// `SetupConnection` flag of a miner that can do header-only mining alone (SV2 section 5.3.1).
const REQUIRES_STANDARD_JOBS: u32 = 1;
/// Fewest bytes that an extended channel must leave to roll.
const MIN_EXTRANONCE_SIZE: u16 = 4;
/// A pool that says nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(600);
/// How often hashes are reported.
const REPORT: Duration = Duration::from_secs(1);
/// Bits of a channel's first sequence number: a pool that hands out a channel number twice in one
/// boot epoch will not see one share number twice.
const SEQUENCE_BITS: u32 = 28;

/// How a session ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) error: Ending,
    /// Whether a share was acknowledged: the next attempt need not wait long.
    pub(super) was_useful: bool,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ending {
    #[error("the connection ended")]
    Client(#[from] ClientError),
    #[error("the pool broke the protocol")]
    Violation(#[from] Violation),
    #[error("the pool closed the channel with `{0}`")]
    Closed(String),
    #[error("the pool said nothing for {} s", IDLE.as_secs())]
    Idle,
    #[error("the miner was stopped")]
    Stopped,
}

/// What happened first.
enum Next {
    Message(Result<MiningOwned, ClientError>),
    Found(Option<Found>),
    Report,
    Stop,
    Idle,
}

/// One connection of a miner.
pub(super) struct Session<'a> {
    config: &'a MinerConfig,
    clock: &'a Arc<dyn Clock>,
    hashers: &'a mut Hashers,
    record: Option<&'a mut Record>,
    events: &'a mpsc::Sender<Event>,
    was_useful: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        config: &'a MinerConfig,
        clock: &'a Arc<dyn Clock>,
        hashers: &'a mut Hashers,
        record: Option<&'a mut Record>,
        events: &'a mpsc::Sender<Event>,
    ) -> Self {
        Self { config, clock, hashers, record, events, was_useful: false }
    }

    /// Mines on one connection until it ends or `stop`.
    ///
    /// # Errors
    ///
    /// When the file of acknowledged shares cannot be written.
    pub(super) async fn run(&mut self, stop: &CancellationToken) -> anyhow::Result<Ended> {
        let opened = tokio::select! {
            opened = self.open() => opened,
            () = stop.cancelled() => return Ok(self.ended(Ending::Stopped)),
        };
        let (client, opened) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(self.ended(error.into())),
        };
        let error = self.mine(client, opened, stop).await?;
        self.hashers.idle();
        if let Ending::Violation(violation) = &error {
            event::say(self.events, Event::Violation(violation.to_string())).await;
        }
        Ok(self.ended(error))
    }

    const fn ended(&self, error: Ending) -> Ended {
        Ended { error, was_useful: self.was_useful }
    }

    async fn open(&self) -> Result<(Client, Opened), ClientError> {
        let config = self.config;
        let mut client = Client::connect(&config.endpoint).await?;
        let open = Open {
            user_identity: config.user_identity.clone(),
            nominal_hash_rate: nominal(config.hashes_per_second),
            max_target: [0xff; 32],
        };
        let opened = match config.kind {
            JobKind::Extended => {
                client.setup(&config.device, 0).await?;
                client.open_extended(1, &open, MIN_EXTRANONCE_SIZE).await?
            }
            JobKind::Standard => {
                client.setup(&config.device, REQUIRES_STANDARD_JOBS).await?;
                client.open_standard(1, &open).await?
            }
        };
        Ok((client, opened))
    }

    async fn mine(
        &mut self,
        mut client: Client,
        opened: Opened,
        stop: &CancellationToken,
    ) -> anyhow::Result<Ending> {
        let first = rand::random::<u32>() >> (u32::BITS - SEQUENCE_BITS);
        let generation = self.hashers.generation();
        let mut channel = Channel::new(self.config.kind, opened, first, generation);
        let (prefix, target) = (channel.prefix(), channel.target());
        event::say(self.events, Event::Opened { prefix, target }).await;
        let mut report = tokio::time::interval(REPORT);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut idle = Box::pin(tokio::time::sleep(IDLE));
        loop {
            let next = tokio::select! {
                message = client.next_mining() => Next::Message(message),
                found = self.hashers.next() => Next::Found(found),
                _ = report.tick() => Next::Report,
                () = stop.cancelled() => Next::Stop,
                () = &mut idle => Next::Idle,
            };
            if matches!(next, Next::Message(_)) {
                idle.set(tokio::time::sleep(IDLE));
            }
            let stepped = match next {
                Next::Message(message) => self.heard(&mut channel, message).await?,
                Next::Found(found) => self.found(&mut client, &mut channel, found).await,
                Next::Report => {
                    self.report().await;
                    Ok(())
                }
                Next::Stop => {
                    self.hashers.idle();
                    self.report().await;
                    return self.drain(client, channel).await;
                }
                Next::Idle => Err(Ending::Idle),
            };
            if let Err(ending) = stepped {
                return Ok(ending);
            }
        }
    }

    async fn report(&self) {
        let hashes = self.hashers.take_hashes();
        event::say(self.events, Event::Hashed { hashes }).await;
    }

    async fn heard(
        &mut self,
        channel: &mut Channel,
        message: Result<MiningOwned, ClientError>,
    ) -> anyhow::Result<Result<(), Ending>> {
        let effects = match message {
            Ok(message) => channel.take(message, self.clock.monotonic()),
            Err(error) => return Ok(Err(error.into())),
        };
        let effects = match effects {
            Ok(effects) => effects,
            Err(violation) => return Ok(Err(violation.into())),
        };
        for effect in effects {
            match effect {
                Effect::Mine(work) => self.hashers.give(work),
                Effect::Say(event) => event::say(self.events, event).await,
                Effect::Acknowledged(sequences) => self.remember(channel, &sequences).await?,
                Effect::Close(code) => return Ok(Err(Ending::Closed(code))),
            }
        }
        Ok(Ok(()))
    }

    async fn remember(&mut self, channel: &Channel, sequences: &[u32]) -> anyhow::Result<()> {
        self.was_useful = true;
        let Some(record) = self.record.as_mut() else { return Ok(()) };
        let keys = sequences.iter().filter_map(|sequence| channel.key(*sequence));
        record.note(keys).await.context("cannot write the file of acknowledged shares")
    }

    async fn found(
        &self,
        client: &mut Client,
        channel: &mut Channel,
        found: Option<Found>,
    ) -> Result<(), Ending> {
        let Some(found) = found else { return Err(Ending::Stopped) };
        if let Some((sequence, message)) = channel.submit(found)? {
            client.send(message).await?;
            event::say(self.events, Event::Submitted { sequence }).await;
        }
        Ok(())
    }

    /// Nothing more is sent; what was sent is still answered.
    async fn drain(&mut self, mut client: Client, mut channel: Channel) -> anyhow::Result<Ending> {
        let outstanding = channel.outstanding();
        event::say(self.events, Event::Draining { outstanding }).await;
        let deadline = tokio::time::sleep(DRAIN);
        tokio::pin!(deadline);
        while channel.outstanding() > 0 {
            let message = tokio::select! {
                message = client.next_mining() => message,
                () = &mut deadline => break,
            };
            let heard = self.heard(&mut channel, message).await?;
            self.hashers.idle();
            if let Err(ending) = heard {
                return Ok(ending);
            }
        }
        Ok(client.close().await.err().map_or(Ending::Stopped, Ending::Client))
    }
}

/// A rate as SV2 states it.
#[expect(
    clippy::cast_precision_loss,
    reason = "the protocol states hashrates as 32-bit floats: an estimate, not an account"
)]
const fn nominal(hashes_per_second: u64) -> f32 {
    hashes_per_second as f32
}
