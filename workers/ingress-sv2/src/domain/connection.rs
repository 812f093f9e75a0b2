//! One connection: what its client may say when, and what it is told.

use crate::{
    domain::{
        Moment,
        channel::{Channel, Good, Terms},
        closing::Closing,
        lane::{NotTaken, Taken},
        ledger::Ledger,
        miner::Miner,
        numbers::Number,
        rules::Rules,
        selection::Work,
        setup::{self, Client, Refusal},
    },
    wire::{Frames, GROUP_CHANNEL, Inbound, Submit},
};
use mining::{Hashrate, InvalidHashrate, Target, target::easiest_within};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use stratum_core::{
    common_messages_sv2::SetupConnection,
    mining_sv2::{
        CloseChannel, ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED,
        ERROR_CODE_OPEN_MINING_CHANNEL_EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS,
        ERROR_CODE_OPEN_MINING_CHANNEL_MAX_TARGET_OUT_OF_RANGE,
        ERROR_CODE_OPEN_MINING_CHANNEL_MIN_EXTRANONCE_SIZE_TOO_LARGE,
        ERROR_CODE_SET_CUSTOM_MINING_JOB_JD_NOT_SUPPORTED,
        ERROR_CODE_UPDATE_CHANNEL_INVALID_CHANNEL_ID,
        ERROR_CODE_UPDATE_CHANNEL_MAX_TARGET_OUT_OF_RANGE, OpenExtendedMiningChannel,
        OpenStandardMiningChannel, UpdateChannel,
    },
};
use subjects::{
    Exponent,
    blocks::Claimed,
    sessions::{Changed, Event, NetworkClass, Protocol},
    shares::{JobKind, Reason},
};

/// Why a channel is closed that has handed in as many proofs on one tip as are remembered.
const PROOFS_EXHAUSTED: &str = "too-many-shares-on-one-tip";

/// What a connection shares with all others.
pub trait Desk {
    /// A channel number that nobody has; `None` when all are taken.
    fn number(&mut self) -> Option<Number>;

    /// Takes a channel number back.
    fn free(&mut self, number: Number);

    /// Hands a share to the lane.
    ///
    /// # Errors
    ///
    /// When the lane does not take it; the share comes back.
    fn offer(&mut self, taken: Taken) -> Result<(), (NotTaken, Taken)>;
}

/// What a connection wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be sent.
    pub frames: Frames,
    /// Blocks, to be claimed before anything else.
    pub claims: Vec<Claimed>,
    /// To be published.
    pub facts: Vec<Changed>,
    /// Shares that were turned away; without a miner when the channel is unknown.
    pub rejected: Vec<(Option<Arc<Miner>>, Reason)>,
    /// Channels that were refused, by code.
    pub refused: Vec<&'static str>,
    /// Shares that `frames` acknowledges, by when each was read.
    pub acknowledged: Vec<Duration>,
}

/// A connection after its Noise handshake.
#[derive(Debug)]
pub struct Connection {
    rules: Arc<Rules>,
    network_class: NetworkClass,
    work: Arc<Work>,
    client: Option<Client>,
    channels: BTreeMap<u32, Channel>,
    next_channel: u32,
    ledger: Ledger,
    /// A good share that the lane had no room for.
    stalled: Option<(u32, Good, Duration)>,
    /// Since when the client owes its next step: setup, or a channel.
    waiting_since: Duration,
    heard_at: Duration,
    /// When the channels' targets are looked at next without a share.
    check_at: Option<Duration>,
    rtt_ms: Option<u32>,
}

/// What a client asks for with a channel of either kind.
struct Wish<'a> {
    request_id: u32,
    user_identity: &'a [u8],
    hash_rate: f32,
    max_target: Target,
    kind: JobKind,
}

impl Connection {
    /// A connection whose handshake ended at `moment`.
    pub fn new(
        rules: Arc<Rules>,
        network_class: NetworkClass,
        work: Arc<Work>,
        moment: Moment,
    ) -> Self {
        Self {
            rules,
            network_class,
            work,
            client: None,
            channels: BTreeMap::new(),
            next_channel: GROUP_CHANNEL + 1,
            ledger: Ledger::default(),
            stalled: None,
            waiting_since: moment.elapsed,
            heard_at: moment.elapsed,
            check_at: None,
            rtt_ms: None,
        }
    }

    /// Open channels.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Shares that wait for the bus.
    pub fn unacknowledged(&self) -> usize {
        self.ledger.len()
    }

    /// Whether the next frame may be read: no share waits for room, and not too many for the bus.
    pub fn wants_input(&self) -> bool {
        self.stalled.is_none() && self.ledger.len() < self.rules.max_unacknowledged
    }

    /// Whether a share waits for room in the lane.
    pub const fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// From the answer to the handshake to the client's first message, in milliseconds: a round
    /// trip and what the client took.
    pub const fn rtt_ms(&self) -> Option<u32> {
        self.rtt_ms
    }

    /// Handles one message.
    ///
    /// # Errors
    ///
    /// When the connection is to end, once what `out` holds was sent.
    pub fn receive(
        &mut self,
        message: Inbound<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) -> Result<(), Closing> {
        self.heard_at = moment.elapsed;
        let Some(client) = &self.client else { return self.begin(&message, moment, out) };
        let standard_only = client.standard_jobs_only;
        match message {
            Inbound::Setup(_) | Inbound::SetupForeign => return Err(Closing::SetupTwice),
            Inbound::OpenStandard(open) => self.open(&Wish::standard(&open), moment, desk, out),
            Inbound::OpenExtended(open) => match extended_problem(standard_only, &open) {
                Some(code) => refuse(open.request_id, code, out),
                None => self.open(&Wish::extended(&open), moment, desk, out),
            },
            Inbound::Update(update) => self.update(&update, moment, out),
            Inbound::Close(close) => self.close(&close, moment, desk, out),
            Inbound::Share(share) => self.share(&share, moment, desk, out),
            Inbound::CustomJob(job) => out.frames.custom_job_error(
                job.channel_id,
                job.request_id,
                ERROR_CODE_SET_CUSTOM_MINING_JOB_JD_NOT_SUPPORTED,
            ),
            Inbound::Ignored => {}
        }
        Ok(())
    }

    fn begin(
        &mut self,
        message: &Inbound<'_>,
        moment: Moment,
        out: &mut Outbox,
    ) -> Result<(), Closing> {
        let checked = match message {
            Inbound::Setup(setup) => self.checked_setup(setup, moment),
            Inbound::SetupForeign => Err(setup::UNSUPPORTED_PROTOCOL),
            Inbound::OpenStandard(_)
            | Inbound::OpenExtended(_)
            | Inbound::Update(_)
            | Inbound::Close(_)
            | Inbound::Share(_)
            | Inbound::CustomJob(_)
            | Inbound::Ignored => return Err(Closing::SetupExpected),
        };
        match checked {
            Ok(client) => {
                self.client = Some(client);
                self.waiting_since = moment.elapsed;
                out.frames.setup_success();
                Ok(())
            }
            Err(Refusal { flags, code }) => {
                out.frames.setup_error(flags, code);
                Err(Closing::SetupRefused(code))
            }
        }
    }

    fn checked_setup(
        &mut self,
        setup: &SetupConnection<'_>,
        moment: Moment,
    ) -> Result<Client, Refusal> {
        let millis = moment.elapsed.saturating_sub(self.waiting_since).as_millis();
        self.rtt_ms = u32::try_from(millis).ok();
        setup::check(setup)
    }

    fn open(&mut self, wish: &Wish<'_>, moment: Moment, desk: &mut impl Desk, out: &mut Outbox) {
        match self.terms(wish, desk) {
            Ok(terms) => self.open_on(terms, wish.request_id, moment, out),
            Err(code) => refuse(wish.request_id, code, out),
        }
    }

    fn terms(&mut self, wish: &Wish<'_>, desk: &mut impl Desk) -> Result<Terms, &'static str> {
        let rules = &self.rules;
        if self.channels.len() >= rules.max_channels {
            return Err(ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED);
        }
        let miner = Miner::parse(wish.user_identity, rules.network, &rules.policy)
            .map_err(|error| error.code())?;
        let suits = self.suiting(wish.hash_rate).map_err(|_| InvalidHashrate::CODE)?;
        let easiest = self
            .easiest(wish.max_target)
            .ok_or(ERROR_CODE_OPEN_MINING_CHANNEL_MAX_TARGET_OUT_OF_RANGE)?;
        let start = || rules.starting_hashrate.exponent(rules.shares_per_minute);
        let hardest = self.work.tip.hardest_exponent();
        let number =
            desk.number().ok_or(ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED)?;
        Ok(Terms {
            id: self.next_channel,
            number,
            kind: wish.kind,
            miner: Arc::new(miner),
            easiest,
            exponent: suits.unwrap_or_else(start).min(hardest).max(easiest),
        })
    }

    /// The exponent that suits a stated hashrate; `None` for 0, which proxies without miners say.
    fn suiting(&self, hash_rate: f32) -> Result<Option<Exponent>, InvalidHashrate> {
        let rate = Hashrate::from_sv2(hash_rate)?;
        let stated = rate > Hashrate::default();
        Ok(stated.then(|| rate.exponent(self.rules.shares_per_minute)))
    }

    /// The easiest target that both sides accept; `None` when that would be harder than a block.
    fn easiest(&self, max_target: Target) -> Option<Exponent> {
        let asked = easiest_within(max_target)?;
        let hardest = self.work.tip.hardest_exponent();
        (asked <= hardest.max(self.rules.floor)).then(|| asked.max(self.rules.floor))
    }

    fn open_on(&mut self, terms: Terms, request_id: u32, moment: Moment, out: &mut Outbox) {
        let id = terms.id;
        let opened =
            Channel::open(terms, request_id, &self.rules, &self.work, moment, &mut out.frames);
        let Some(channel) = opened else {
            return refuse(
                request_id,
                ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED,
                out,
            );
        };
        self.next_channel = self.next_channel.saturating_add(1);
        let check = channel.next_check(self.rules.shares_per_minute, moment.elapsed);
        self.channels.insert(id, channel);
        self.look_in(check, moment.elapsed);
        self.tell(id, Event::Opened, None, moment, out);
    }

    fn look_in(&mut self, wait: Option<Duration>, now: Duration) {
        if let Some(at) = wait.map(|wait| now.saturating_add(wait)) {
            self.check_at = Some(self.check_at.map_or(at, |check| check.min(at)));
        }
    }

    fn update(&mut self, update: &UpdateChannel<'_>, moment: Moment, out: &mut Outbox) {
        let id = update.channel_id;
        match self.wanted(update) {
            Ok((easiest, suits)) => {
                let Some(channel) = self.channels.get_mut(&id) else { return };
                let stated = suits.is_some();
                let changed = channel.renegotiate(easiest, suits, moment, &mut out.frames);
                let check = channel.next_check(self.rules.shares_per_minute, moment.elapsed);
                self.look_in(check, moment.elapsed);
                if changed || stated {
                    self.tell(id, Event::Renegotiated, None, moment, out);
                }
            }
            Err(code) => out.frames.update_error(id, code),
        }
    }

    fn wanted(
        &self,
        update: &UpdateChannel<'_>,
    ) -> Result<(Exponent, Option<Exponent>), &'static str> {
        if !self.channels.contains_key(&update.channel_id) {
            return Err(ERROR_CODE_UPDATE_CHANNEL_INVALID_CHANNEL_ID);
        }
        let suits = self.suiting(update.nominal_hash_rate).map_err(|_| InvalidHashrate::CODE)?;
        let max_target = Target::from_le_bytes(update.maximum_target.to_array());
        let easiest =
            self.easiest(max_target).ok_or(ERROR_CODE_UPDATE_CHANNEL_MAX_TARGET_OUT_OF_RANGE)?;
        Ok((easiest, suits))
    }

    fn close(
        &mut self,
        close: &CloseChannel<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let ids: Vec<u32> = match close.channel_id {
            GROUP_CHANNEL => self.channels.keys().copied().collect(),
            id => vec![id],
        };
        for id in ids {
            self.end_channel(id, "closed by the miner", moment, desk, out);
        }
    }

    fn end_channel(
        &mut self,
        id: u32,
        reason: &str,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        self.tell(id, Event::Closed, Some(reason), moment, out);
        if let Some(channel) = self.channels.remove(&id) {
            desk.free(channel.number);
            self.waiting_since = moment.elapsed;
        }
    }

    fn share(
        &mut self,
        share: &Submit<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let id = share.channel_id;
        let Some(channel) = self.channels.get_mut(&id) else {
            out.frames.share_error(id, share.sequence_number, Reason::InvalidChannelId.code());
            out.rejected.push((None, Reason::InvalidChannelId));
            return;
        };
        match channel.submit(share, &self.rules, &self.work, moment) {
            Ok(mut good) => {
                out.claims.extend(good.claim.take());
                self.hand_in(id, good, moment.elapsed, desk, out);
                self.after_share(id, moment, desk, out);
            }
            Err(reason) => {
                let miner = Arc::clone(&channel.miner);
                turn_down(id, share.sequence_number, miner, reason, out);
            }
        }
    }

    fn hand_in(
        &mut self,
        id: u32,
        good: Good,
        read_at: Duration,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let Good { taken, work, claim } = good;
        let (sequence, miner) = (taken.sequence, Arc::clone(&taken.miner));
        match desk.offer(taken) {
            Ok(()) => self.ledger.took(id, sequence, work, read_at),
            Err((NotTaken::Full, taken)) => {
                self.stalled = Some((id, Good { taken, work, claim }, read_at));
            }
            Err((NotTaken::TipClosed, _)) => {
                turn_down(id, sequence, miner, Reason::StaleShare, out);
            }
        }
    }

    /// Adjusts the target, and closes a channel whose proofs can no longer be told apart.
    fn after_share(&mut self, id: u32, moment: Moment, desk: &mut impl Desk, out: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.is_exhausted() {
            out.frames.close_channel(id, PROOFS_EXHAUSTED);
            self.end_channel(id, PROOFS_EXHAUSTED, moment, desk, out);
        } else if channel.adjust(&self.rules, moment, &mut out.frames) {
            let check = channel.next_check(self.rules.shares_per_minute, moment.elapsed);
            self.look_in(check, moment.elapsed);
            self.tell(id, Event::Renegotiated, None, moment, out);
        }
    }

    /// The lane has room again: hands in the share that waited for it.
    pub fn resume(&mut self, desk: &mut impl Desk, out: &mut Outbox) {
        if let Some((id, good, read_at)) = self.stalled.take() {
            self.hand_in(id, good, read_at, desk, out);
        }
    }

    /// The bus has stored the `count` oldest shares that the lane took from this connection.
    pub fn stored(&mut self, count: usize, out: &mut Outbox) {
        let channels = &self.channels;
        let is_open = |id| channels.contains_key(&id);
        out.acknowledged.extend(self.ledger.stored(count, is_open, &mut out.frames));
    }

    /// Other work is current.
    pub fn follow(&mut self, work: Arc<Work>, moment: Moment, out: &mut Outbox) {
        self.work = work;
        for channel in self.channels.values_mut() {
            channel.follow(&self.work, moment.at, &mut out.frames);
        }
    }

    /// When [`Connection::tick`] is to be called at the latest, if ever.
    pub fn deadline(&self) -> Option<Duration> {
        let rules = &self.rules;
        let owed = match (&self.client, self.channels.is_empty()) {
            (None, _) => Some(self.waiting_since.saturating_add(rules.setup_deadline)),
            (Some(_), true) => Some(self.waiting_since.saturating_add(rules.channel_deadline)),
            (Some(_), false) => None,
        };
        let idle = self.heard_at.saturating_add(rules.idle_deadline);
        // A connection that we do not read is not to blame for its silence.
        let idle = self.wants_input().then_some(idle);
        [owed, idle, self.check_at].into_iter().flatten().min()
    }

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// When a deadline was missed.
    pub fn tick(&mut self, moment: Moment, out: &mut Outbox) -> Result<(), Closing> {
        let now = moment.elapsed;
        let passed = |since: Duration, deadline| now.saturating_sub(since) >= deadline;
        if self.client.is_none() && passed(self.waiting_since, self.rules.setup_deadline) {
            return Err(Closing::SetupDeadline);
        }
        if self.channels.is_empty() && passed(self.waiting_since, self.rules.channel_deadline) {
            return Err(Closing::ChannelDeadline);
        }
        if self.wants_input() && passed(self.heard_at, self.rules.idle_deadline) {
            return Err(Closing::Idle);
        }
        if self.check_at.is_some_and(|at| at <= now) {
            self.ease(moment, out);
        }
        Ok(())
    }

    /// Looks at every channel's target, as if a share had just not come.
    fn ease(&mut self, moment: Moment, out: &mut Outbox) {
        self.check_at = None;
        let mut eased = Vec::new();
        let rate = self.rules.shares_per_minute;
        for channel in self.channels.values_mut() {
            if channel.adjust(&self.rules, moment, &mut out.frames) {
                eased.push(channel.id);
            }
            let at = channel.next_check(rate, moment.elapsed).map(|wait| moment.elapsed + wait);
            self.check_at = self.check_at.into_iter().chain(at).min();
        }
        for id in eased {
            self.tell(id, Event::Renegotiated, None, moment, out);
        }
    }

    /// The connection is over: its channels' last facts, and their numbers go back.
    pub fn end(
        &mut self,
        closing: Closing,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let reason = closing.to_string();
        while let Some(id) = self.channels.keys().next().copied() {
            self.end_channel(id, &reason, moment, desk, out);
        }
    }

    fn tell(
        &mut self,
        id: u32,
        event: Event,
        reason: Option<&str>,
        moment: Moment,
        out: &mut Outbox,
    ) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let agent = self.client.as_ref().map_or_else(String::new, |client| client.agent.clone());
        out.facts.push(Changed {
            node: self.rules.node.clone(),
            lane: self.rules.lane,
            boot_epoch: self.rules.boot_epoch,
            channel: channel.number.value(),
            sequence: channel.number.next_fact(),
            event,
            at: moment.at,
            identity: channel.miner.identity.clone(),
            worker: channel.miner.worker.clone(),
            agent,
            protocol: match channel.kind {
                JobKind::Extended => Protocol::Sv2Extended,
                JobKind::Standard => Protocol::Sv2Standard,
            },
            network_class: self.network_class,
            exponent: channel.exponent,
            rtt_ms: self.rtt_ms,
            reason: reason.map(str::to_owned),
        });
    }
}

impl<'a> Wish<'a> {
    fn standard(open: &'a OpenStandardMiningChannel<'_>) -> Self {
        Self {
            request_id: open.request_id,
            user_identity: open.user_identity.as_ref(),
            hash_rate: open.nominal_hash_rate,
            max_target: Target::from_le_bytes(open.max_target.to_array()),
            kind: JobKind::Standard,
        }
    }

    fn extended(open: &'a OpenExtendedMiningChannel<'_>) -> Self {
        Self {
            request_id: open.request_id,
            user_identity: open.user_identity.as_ref(),
            hash_rate: open.nominal_hash_rate,
            max_target: Target::from_le_bytes(open.max_target.to_array()),
            kind: JobKind::Extended,
        }
    }
}

/// Why this connection cannot have that extended channel, before its miner is looked at.
fn extended_problem(
    standard_only: bool,
    open: &OpenExtendedMiningChannel<'_>,
) -> Option<&'static str> {
    if standard_only {
        return Some(
            ERROR_CODE_OPEN_MINING_CHANNEL_EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS,
        );
    }
    let too_large = open.min_extranonce_size > u16::from(mining::SV2_ROLLED_LENGTH);
    too_large.then_some(ERROR_CODE_OPEN_MINING_CHANNEL_MIN_EXTRANONCE_SIZE_TOO_LARGE)
}

fn refuse(request_id: u32, code: &'static str, out: &mut Outbox) {
    out.frames.open_error(request_id, code);
    out.refused.push(code);
}

fn turn_down(id: u32, sequence: u32, miner: Arc<Miner>, reason: Reason, out: &mut Outbox) {
    out.frames.share_error(id, sequence, reason.code());
    out.rejected.push((Some(miner), reason));
}
