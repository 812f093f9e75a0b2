//! One connection: what its miner may ask when, and what it is told.

mod deadline;

mod greeting;

mod share;

mod work;

use crate::domain::closing::Closing;
use ingress::domain::{
    Moment,
    closing::Leaving,
    desk::{Desk, Tidings},
    ledger::Ledger,
    miner::Miner,
    numbers::Number,
    parking::Parked,
    reject_run::RejectRun,
    rules::Rules,
    selection::Work,
    space::{Good, SearchSpace},
};
use mining::{Prefix, prefix};
use std::{sync::Arc, time::Duration};
use stratum_v1::{Call, Firmware, Id, Inbound, Lines, Refusal};
use subjects::{
    Exponent,
    sessions::{Changed, Event, NetworkClass, Protocol},
};

/// What a connection wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be sent.
    pub lines: Lines,
    /// To be told to others.
    pub tidings: Tidings,
}

/// Bytes that miners roll after extranonce1: no firmware takes less than 4, some no more than 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extranonce2(u8);

impl Extranonce2 {
    /// So many bytes; `None` outside of 4 to 8.
    pub const fn new(bytes: u8) -> Option<Self> {
        if matches!(bytes, 4..=8) { Some(Self(bytes)) } else { None }
    }

    /// How many.
    pub const fn bytes(self) -> u8 {
        self.0
    }
}

impl Default for Extranonce2 {
    fn default() -> Self {
        Self(8)
    }
}

/// What miners are told as extranonce1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extranonce1 {
    /// The whole prefix of their headers: 6 bytes.
    #[default]
    Whole,
    /// Its last 4 bytes, which all firmware takes; the first ones, the lane, stand before it in each
    /// job's coinbase.
    Short,
}

impl Extranonce1 {
    /// So many bytes; `None` for other than 4 and 6.
    pub const fn new(bytes: u8) -> Option<Self> {
        match bytes {
            4 => Some(Self::Short),
            6 => Some(Self::Whole),
            _ => None,
        }
    }

    /// What of a prefix stands in the job, and what the miner is told.
    fn split(self, prefix: &[u8]) -> (&[u8], &[u8]) {
        let told = match self {
            Self::Whole => prefix.len(),
            Self::Short => 4,
        };
        prefix.split_at_checked(prefix.len().saturating_sub(told)).unwrap_or((&[], prefix))
    }
}

/// What all connections of a port are offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// What they are told.
    pub extranonce1: Extranonce1,
    /// What they roll.
    pub extranonce2: Extranonce2,
    /// The easiest target, whatever the ingress gives elsewhere.
    pub floor: Exponent,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            extranonce1: Extranonce1::default(),
            extranonce2: Extranonce2::default(),
            floor: Exponent::MIN,
        }
    }
}

/// A worker that was authorized.
#[derive(Debug)]
struct Worker {
    /// The name that its shares come under.
    user: Box<str>,
    miner: Arc<Miner>,
}

/// What the miner asked for of its targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wishes {
    start: Option<Exponent>,
    least: Option<Exponent>,
    fixed: Option<Exponent>,
}

/// Whether a miner takes another extranonce1 later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renumbering {
    /// It never said so.
    Refused,
    /// `mining.extranonce.subscribe`.
    Taken,
}

/// What the connection has of the lane's header space.
#[derive(Debug)]
enum Seat {
    /// Nothing: `mining.subscribe` did not come yet.
    None,
    /// A number, told in extranonce1; nobody is authorized yet.
    Reserved(Number),
    /// What its session left behind; nobody is authorized yet.
    Resumed(Box<SearchSpace>),
    /// Somebody works.
    Working(Box<SearchSpace>),
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    rules: Arc<Rules>,
    offer: Offer,
    network_class: NetworkClass,
    work: Arc<Work>,
    firmware: Firmware,
    agent: Box<str>,
    /// The session's id, once it is subscribed.
    session: u64,
    seat: Seat,
    workers: Vec<Worker>,
    wishes: Wishes,
    renumbering: Renumbering,
    /// The version bits that were agreed on; 0 without `version-rolling`.
    version_mask: u32,
    ledger: Ledger<Id>,
    /// A good share that the lane had no room for.
    stalled: Option<(Id, Good, Duration)>,
    /// Shares that came, good or not.
    sequence: u32,
    bad_shares: RejectRun,
    /// Since when the miner owes its next step: subscribe, or authorize.
    waiting_since: Duration,
    heard_at: Duration,
    /// When a job was sent last.
    told_at: Duration,
    /// When the target is looked at next without a share.
    check_at: Option<Duration>,
    /// When `mining.ping` was sent, while its answer has not come.
    pinged_at: Option<Duration>,
    rtt_ms: Option<u32>,
}

impl Connection {
    /// A connection that opened at `moment`.
    pub fn new(
        rules: Arc<Rules>,
        offer: Offer,
        network_class: NetworkClass,
        work: Arc<Work>,
        moment: Moment,
    ) -> Self {
        Self {
            rules,
            offer,
            network_class,
            work,
            firmware: Firmware::default(),
            agent: Box::default(),
            session: 0,
            seat: Seat::None,
            workers: Vec::new(),
            wishes: Wishes::default(),
            renumbering: Renumbering::Refused,
            version_mask: 0,
            ledger: Ledger::default(),
            stalled: None,
            sequence: 0,
            bad_shares: RejectRun::default(),
            waiting_since: moment.elapsed,
            heard_at: moment.elapsed,
            told_at: moment.elapsed,
            check_at: None,
            pinged_at: None,
            rtt_ms: None,
        }
    }

    /// Search spaces in use: one at most.
    pub const fn channels(&self) -> usize {
        match self.seat {
            Seat::Working(_) => 1,
            Seat::None | Seat::Reserved(_) | Seat::Resumed(_) => 0,
        }
    }

    /// Shares that wait for the bus.
    pub fn unacknowledged(&self) -> usize {
        self.ledger.len()
    }

    /// Whether the next line may be read: no share waits for room, and not too many for the bus.
    pub fn wants_input(&self) -> bool {
        self.stalled.is_none() && self.ledger.len() < self.rules.max_unacknowledged
    }

    /// Whether a share waits for room in the lane.
    pub const fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// From `mining.ping` to its answer, in milliseconds: a round trip and what the miner took.
    pub const fn rtt_ms(&self) -> Option<u32> {
        self.rtt_ms
    }

    /// Handles one line.
    ///
    /// # Errors
    ///
    /// When the connection is to end, once what `out` holds was sent.
    pub fn receive(
        &mut self,
        inbound: Inbound<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) -> Result<(), Closing> {
        self.heard_at = moment.elapsed;
        let Inbound { id, call } = inbound;
        match call {
            Call::Submit(submit) => return self.share(id, &submit, moment, desk, out),
            Call::Configure(configure) => self.configure(&id, &configure, moment, out),
            Call::Subscribe(subscribe) => self.subscribe(&id, &subscribe, moment, desk, out),
            Call::Authorize(authorize) => self.authorize(&id, &authorize, moment, out),
            Call::SuggestDifficulty(difficulty) => {
                self.suggest(&id, difficulty.nearest(), moment, out);
            }
            Call::SuggestTarget(target) => match mining::target::easiest_within(target) {
                Some(exponent) => self.suggest(&id, exponent, moment, out),
                None => out.lines.refuse(&id, Refusal::MALFORMED),
            },
            Call::SubscribeExtranonce => {
                self.renumbering = Renumbering::Taken;
                out.lines.done(&id);
            }
            Call::Ping => out.lines.say(&id, "pong"),
            Call::Answer => self.answered(moment),
            Call::Malformed(_) => out.lines.refuse(&id, Refusal::MALFORMED),
            Call::Unknown => out.lines.refuse(&id, Refusal::NOT_SUPPORTED),
        }
        Ok(())
    }

    fn answered(&mut self, moment: Moment) {
        if let Some(at) = self.pinged_at.take() {
            self.rtt_ms = u32::try_from(moment.elapsed.saturating_sub(at).as_millis()).ok();
        }
    }

    /// All miners are sent away: says so, once all that is owed was answered.
    pub fn farewell(&self, leaving: Leaving, out: &mut Outbox) {
        match leaving {
            // A miner that comes back finds the next process, or another pool of its list.
            Leaving::Draining => out.lines.reconnect(),
            Leaving::NoTip => out.lines.message("No new block was heard of: use another pool."),
        }
    }

    /// The connection is over: its last fact, and its number goes back.
    pub fn end(
        &mut self,
        closing: Closing,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        self.tell(Event::Closed, Some(&closing.to_string()), moment, out);
        match std::mem::replace(&mut self.seat, Seat::None) {
            Seat::None => {}
            Seat::Reserved(number) => desk.free(number),
            Seat::Resumed(space) | Seat::Working(space) if closing.is_lost() => {
                let parked = Parked { space, sequence: self.sequence };
                desk.park(self.session, parked, moment.elapsed);
            }
            Seat::Resumed(space) | Seat::Working(space) => desk.free(space.into_number()),
        }
    }

    /// Extranonce1 of a number; `None` when it has more than three bytes, which it never has.
    fn prefix(&self, number: &Number) -> Option<[u8; prefix::SV1_LENGTH as usize]> {
        let Rules { lane, boot_epoch, .. } = *self.rules;
        Some(Prefix::new(lane, boot_epoch, number.value())?.to_sv1())
    }

    fn tell(&mut self, event: Event, reason: Option<&str>, moment: Moment, out: &mut Outbox) {
        let Seat::Working(space) = &mut self.seat else { return };
        let number = space.number();
        let (channel, sequence) = (number.value(), number.next_fact());
        out.tidings.facts.push(Changed {
            node: self.rules.node.clone(),
            lane: self.rules.lane,
            boot_epoch: self.rules.boot_epoch,
            channel,
            sequence,
            event,
            at: moment.at,
            identity: space.miner().identity.clone(),
            worker: space.miner().worker.clone(),
            agent: self.agent.to_string(),
            protocol: Protocol::Sv1,
            network_class: self.network_class,
            exponent: space.exponent(),
            rtt_ms: self.rtt_ms,
            reason: reason.map(str::to_owned),
        });
    }
}
