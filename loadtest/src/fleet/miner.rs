//! The task of one connection of a fleet.

use super::{
    FleetError, Plan,
    channel::Channel,
    link::Link,
    orders::{LONG, Orders},
};
use std::{net::SocketAddr, time::Duration};
use stratum_core::{
    common_messages_sv2::{Protocol, SetupConnectionOwned},
    framing_sv2::header::Header,
    mining_sv2::{OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned},
    parsers_sv2::{
        AnyMessage, AnyMessageOwned, CommonMessages, CommonMessagesOwned, Mining, MiningOwned,
    },
};
use stratum_v2::{
    Endpoint, TransportError,
    client::{ANSWER_TIMEOUT, ClientError, Opened, text},
};
use subjects::shares::JobKind;
use tokio::time::{sleep, timeout};

/// The one protocol version of Stratum V2 mining.
const VERSION: u16 = 2;
/// Hashes per second that a miner of a fleet says it has: so few that a pool gives it its easiest
/// target.
const HASHRATE: f32 = 1.0;

pub(super) struct Miner {
    link: Link,
    channels: Vec<Channel>,
    /// The channel whose turn it is.
    turn: usize,
    orders: Orders,
}

impl Miner {
    /// Connects and opens the channels of the `number`th connection.
    pub(super) async fn open(
        plan: &Plan,
        endpoint: &Endpoint,
        address: SocketAddr,
        number: usize,
        orders: Orders,
    ) -> Result<Self, FleetError> {
        let open = async {
            let key = endpoint.authority.to_bytes();
            let link = Link::open(address, plan.source(number), key).await?;
            let mut miner = Self { link, channels: Vec::new(), turn: 0, orders };
            miner.set_up(plan.kind).await?;
            for channel in 0..plan.channels {
                let user = format!("{}.{number}-{channel}", plan.address);
                miner.open_channel(plan.kind, channel, &user).await?;
            }
            Ok(miner)
        };
        let patience = ANSWER_TIMEOUT;
        timeout(patience, open).await.unwrap_or(Err(ClientError::TimedOut(patience).into()))
    }

    async fn set_up(&mut self, kind: JobKind) -> Result<(), FleetError> {
        self.ask(set_up(kind)?, |miner| miner.answer().map(|answer| answer.is_some())).await
    }

    async fn open_channel(
        &mut self,
        kind: JobKind,
        request_id: u32,
        user: &str,
    ) -> Result<(), FleetError> {
        let opened = self.channels.len() + 1;
        self.ask(open_channel(kind, request_id, user)?, |miner| {
            miner.handle()?;
            Ok(miner.channels.len() == opened && miner.channels.iter().all(Channel::is_ready))
        })
        .await
    }

    /// Says something, and reads until what it asked for is there.
    async fn ask(
        &mut self,
        message: AnyMessageOwned,
        mut done: impl FnMut(&mut Self) -> Result<bool, FleetError>,
    ) -> Result<(), FleetError> {
        self.link.say(message)?;
        self.link.send()?;
        while !done(self)? {
            self.link.readable().await;
            self.link.receive()?;
        }
        Ok(())
    }

    /// The answer to the setup, when it has come.
    fn answer(&mut self) -> Result<Option<()>, FleetError> {
        let Some((header, payload)) = self.link.next()? else {
            return Ok(None);
        };
        let message =
            AnyMessage::try_from((header, payload)).map_err(|error| unreadable(&error))?;
        if let AnyMessage::Common(CommonMessages::SetupConnectionSuccess(_)) = message {
            return Ok(Some(()));
        }
        Err(ClientError::Unexpected(message.to_string()).into())
    }

    /// Shares that wait for an answer.
    pub(super) fn owed(&self) -> usize {
        self.channels.iter().map(Channel::owed).sum()
    }

    /// Mines until the fleet is closed.
    pub(super) async fn run(&mut self) -> Result<(), FleetError> {
        loop {
            let owed = self.owed();
            let (shares, pause) = self.orders.shares(owed);
            let now = self.orders.now();
            for _ in 0..shares {
                self.submit_one(now)?;
            }
            self.link.send()?;
            tokio::select! {
                open = self.orders.changed() => if !open { return Ok(()) },
                () = self.link.readable() => {
                    self.link.receive()?;
                    let handled = self.handle();
                    self.orders.settle().await;
                    handled?;
                }
                () = self.link.writable(), if self.link.unsent() > 0 => {}
                () = sleep(pause), if pause < LONG => {} // time itself: the pace
            }
        }
    }

    fn submit_one(&mut self, now: Duration) -> Result<(), FleetError> {
        self.turn = (self.turn + 1) % self.channels.len().max(1);
        let Some(channel) = self.channels.get_mut(self.turn) else { return Ok(()) };
        if let Some(frame) = channel.share(now)? {
            self.orders.tally.sent(1);
            self.link.seal(&frame)?;
        }
        Ok(())
    }

    /// Handles all messages that have come.
    fn handle(&mut self) -> Result<(), FleetError> {
        let now = self.orders.now();
        let Self { link, channels, orders, .. } = self;
        while let Some((header, payload)) = link.next()? {
            take(header, payload, channels, orders, now)?;
        }
        Ok(())
    }
}

/// `SetupConnection`, for jobs of this kind.
pub(crate) fn set_up(kind: JobKind) -> Result<AnyMessageOwned, ClientError> {
    Ok(AnyMessageOwned::Common(CommonMessagesOwned::SetupConnection(SetupConnectionOwned {
        protocol: Protocol::MiningProtocol,
        min_version: VERSION,
        max_version: VERSION,
        flags: u32::from(kind == JobKind::Standard),
        endpoint_host: text("")?,
        endpoint_port: 0,
        vendor: text("hyperhash")?,
        hardware_version: text("fleet")?,
        firmware: text("loadtest")?,
        device_id: text("")?,
    })))
}

/// Asks for a channel.
pub(crate) fn open_channel(
    kind: JobKind,
    request_id: u32,
    user: &str,
) -> Result<AnyMessageOwned, ClientError> {
    Ok(AnyMessageOwned::Mining(match kind {
        JobKind::Extended => {
            MiningOwned::OpenExtendedMiningChannel(OpenExtendedMiningChannelOwned {
                request_id,
                user_identity: text(user)?,
                nominal_hash_rate: HASHRATE,
                max_target: [u8::MAX; 32].into(),
                min_extranonce_size: 4,
            })
        }
        JobKind::Standard => {
            MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
                request_id,
                user_identity: text(user)?,
                nominal_hash_rate: HASHRATE,
                max_target: [u8::MAX; 32].into(),
            })
        }
    }))
}

/// Takes one message.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other message is for a miner")]
fn take(
    header: Header,
    payload: &mut [u8],
    channels: &mut Vec<Channel>,
    orders: &mut Orders,
    now: Duration,
) -> Result<(), FleetError> {
    let message =
        Mining::try_from((header.msg_type(), payload)).map_err(|error| unreadable(&error))?;
    match message {
        Mining::SubmitSharesSuccess(said) => {
            one(channels, said.channel_id)?
                .stored(&said, |written, key| orders.stored(written, now, key))?;
            orders.tally.stored(said.new_submits_accepted_count.into());
        }
        Mining::SubmitSharesError(said) => {
            one(channels, said.channel_id)?.refused(said.sequence_number);
            orders.tally.turned_down(said.error_code.as_utf8_or_hex());
        }
        Mining::NewExtendedMiningJob(job) => {
            for channel in members(channels, job.channel_id) {
                channel.extended_job(&job)?;
                orders.tally.new_job();
            }
        }
        Mining::NewMiningJob(job) => {
            one(channels, job.channel_id)?.standard_job(&job)?;
            orders.tally.new_job();
        }
        Mining::SetNewPrevHash(tip) => {
            for channel in members(channels, tip.channel_id) {
                if channel.is_ready() {
                    orders.tally.told_of_tip(&tip.prev_hash.to_array(), now);
                } else {
                    orders.tally.new_tip();
                }
                channel.new_tip(&tip)?;
            }
        }
        Mining::SetTarget(set) => {
            let target = set.maximum_target.to_array();
            members(channels, set.channel_id).for_each(|channel| channel.set_target(target));
        }
        Mining::SetGroupChannel(set) => {
            for id in set.channel_ids.as_slice() {
                one(channels, *id)?.group = set.group_channel_id;
            }
        }
        Mining::OpenExtendedMiningChannelSuccess(opened) => channels.push(Channel::new(&Opened {
            channel_id: opened.channel_id,
            target: opened.target.to_array(),
            extranonce_prefix: opened.extranonce_prefix.as_ref().to_vec(),
            extranonce_size: opened.extranonce_size,
            group_channel_id: opened.group_channel_id,
        })),
        Mining::OpenStandardMiningChannelSuccess(opened) => channels.push(Channel::new(&Opened {
            channel_id: opened.channel_id,
            target: opened.target.to_array(),
            extranonce_prefix: opened.extranonce_prefix.as_ref().to_vec(),
            extranonce_size: 0,
            group_channel_id: opened.group_channel_id,
        })),
        Mining::OpenMiningChannelError(error) => {
            return Err(ClientError::Refused(error.error_code.as_utf8_or_hex()).into());
        }
        other => return Err(ClientError::Unexpected(other.to_string()).into()),
    }
    Ok(())
}

/// The channel that a message is about.
fn one(channels: &mut [Channel], id: u32) -> Result<&mut Channel, ClientError> {
    let found = channels.iter_mut().find(|channel| channel.id == id);
    found.ok_or_else(|| ClientError::Unexpected(format!("a message for channel {id}")))
}

/// The channels that a message is about, which may be for a whole group.
fn members(channels: &mut [Channel], id: u32) -> impl Iterator<Item = &mut Channel> {
    channels.iter_mut().filter(move |channel| channel.id == id || channel.group == id)
}

fn unreadable(error: &impl std::fmt::Debug) -> ClientError {
    ClientError::Message(format!("{error:?}"))
}

impl From<TransportError> for FleetError {
    fn from(error: TransportError) -> Self {
        Self::Client(error.into())
    }
}
