//! One connection: what its client may say when, and what it is told.

mod terms;

mod work;

mod share;

mod deadline;

use crate::{
    domain::{
        channel::{Channel, JobIds},
        closing::{Closing, Fault},
        extensions::{self, Agreed},
        groups::{Groups, Ids},
        ledger::Answer,
        setup::{self, Client, Refusal},
    },
    wire::{Frames, Inbound},
};
use ingress::domain::{
    Moment,
    closing::Leaving,
    desk::{Desk, Tidings},
    ledger::Ledger,
    rules::Rules,
    selection::Work,
    space::Good,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use stratum_core::{
    common_messages_sv2::SetupConnection,
    extensions_sv2::RequestExtensions,
    mining_sv2::{CloseChannel, ERROR_CODE_SET_CUSTOM_MINING_JOB_JD_NOT_SUPPORTED},
};
use subjects::{
    sessions::{Changed, Event, NetworkClass, Protocol},
    shares::JobKind,
};
use terms::{Wish, extended_problem, refuse};

/// What a connection wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be sent.
    pub frames: Frames,
    /// To be told to others.
    pub tidings: Tidings,
}

/// A connection after its Noise handshake.
#[derive(Debug)]
pub struct Connection {
    rules: Arc<Rules>,
    network_class: NetworkClass,
    work: Arc<Work>,
    client: Option<Client>,
    /// Whether shares name their workers, on channels that open.
    names_workers: bool,
    channels: BTreeMap<u32, Channel>,
    groups: Groups,
    /// Of channels and groups.
    ids: Ids,
    jobs: JobIds,
    ledger: Ledger<Answer>,
    /// A good share that the lane had no room for.
    stalled: Option<(u32, Good, Duration)>,
    /// Since when the client owes its next step: setup, or a channel.
    waiting_since: Duration,
    heard_at: Duration,
    /// When the channels' targets are looked at next without a share.
    check_at: Option<Duration>,
    rtt_ms: Option<u32>,
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
            names_workers: false,
            channels: BTreeMap::new(),
            groups: Groups::default(),
            ids: Ids::default(),
            jobs: JobIds::default(),
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
            Inbound::Setup(_) | Inbound::SetupForeign => return Err(Fault::SetupTwice.into()),
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
            Inbound::Extensions(request) => self.agree(&request, out),
            Inbound::EndpointChanged(id) => {
                // It is another client's channel now, which has agreed on nothing yet.
                if let Some(channel) = self.channels.get_mut(&id) {
                    channel.workers_mut().switch_off();
                }
            }
            Inbound::Ignored => {}
        }
        Ok(())
    }

    fn agree(&mut self, request: &RequestExtensions<'_>, out: &mut Outbox) {
        let agreed = extensions::agree(request.requested_extensions.as_slice());
        self.names_workers = extensions::names_workers(&agreed);
        for channel in self.channels.values_mut() {
            if self.names_workers {
                channel.workers_mut().switch_on();
            } else {
                channel.workers_mut().switch_off();
            }
        }
        match agreed {
            Agreed::On(spoken) => out.frames.extensions_success(request.request_id, &spoken),
            Agreed::Nothing(asked) => out.frames.extensions_error(request.request_id, &asked),
        }
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
            | Inbound::Extensions(_)
            | Inbound::EndpointChanged(_)
            | Inbound::Ignored => return Err(Fault::SetupExpected.into()),
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
                Err(Fault::SetupRefused(code).into())
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

    /// Sets when the channel's target is looked at without a share.
    fn look_in_on(&mut self, id: u32, now: Duration) {
        let rate = self.rules.shares_per_minute;
        let wait = self.channels.get(&id).and_then(|channel| channel.next_check(rate, now));
        if let Some(at) = wait.map(|wait| now.saturating_add(wait)) {
            self.check_at = Some(self.check_at.map_or(at, |check| check.min(at)));
        }
    }

    fn close(
        &mut self,
        close: &CloseChannel<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let named = |channel: &&Channel| [channel.id, channel.group].contains(&close.channel_id);
        let ids: Vec<u32> =
            self.channels.values().filter(named).map(|channel| channel.id).collect();
        for id in ids {
            out.tidings.asked();
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
            self.groups.leave(channel.group);
            desk.free(channel.into_number());
            self.waiting_since = moment.elapsed;
        }
    }

    /// All miners are sent away: says so, once all that is owed was answered, to those who can
    /// bear it. To others the connection's end says all.
    pub fn farewell(&self, leaving: Leaving, out: &mut Outbox) {
        let takes_it = self.client.as_ref().is_some_and(|client| client.maker.takes_reconnect());
        match leaving {
            // A miner that comes back finds the next process, or another pool of its list.
            Leaving::Draining if takes_it => out.frames.reconnect(),
            // Without a tip the same host has no work: the miner's own list serves it better.
            Leaving::Draining | Leaving::NoTip => {}
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
        let (number, sequence) = channel.next_fact();
        let space = channel.space();
        out.tidings.facts.push(Changed {
            node: self.rules.node.clone(),
            lane: self.rules.lane,
            boot_epoch: self.rules.boot_epoch,
            channel: number,
            sequence,
            event,
            at: moment.at,
            identity: space.miner().identity.clone(),
            worker: space.miner().worker.clone(),
            agent,
            protocol: match space.kind() {
                JobKind::Extended => Protocol::Sv2Extended,
                JobKind::Standard => Protocol::Sv2Standard,
            },
            network_class: self.network_class,
            exponent: space.exponent(),
            rtt_ms: self.rtt_ms,
            reason: reason.map(str::to_owned),
        });
    }
}
