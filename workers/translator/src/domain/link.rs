//! One connection to a pool: whose channels are on it, what is asked of the pool, and which answers
//! are for whom. Miners stay with a link while its pool comes and goes.

mod answers;

mod seat;

use super::{MinerId, channel::Violation, job::Job, verdict::Rejection};
use mining::{Hashrate, Target};
use seat::{Key, Owed, Seat, State};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use stratum_core::{
    mining_sv2::{
        CloseChannelOwned, OpenExtendedMiningChannelOwned, SubmitSharesExtendedOwned,
        UpdateChannelOwned,
    },
    parsers_sv2::MiningOwned,
};
use stratum_v2::client::text;

/// Whose channel it is that shares go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every miner has its own: its own identity, its own coinbase.
    PerMiner,
    /// All miners share one, of this identity: a block's fees are its.
    Aggregated(String),
}

/// What a channel is opened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// `<address>[.<worker>]`, as the miner said it.
    pub identity: String,
    /// What the miner says or is taken to do.
    pub hashrate: Hashrate,
    /// The easiest target that the miner works with.
    pub easiest: Target,
}

/// A share on its way.
#[derive(Clone, Debug)]
pub struct Share {
    /// The miner's number of it; ascends, from 1.
    pub number: u64,
    /// The job.
    pub job: Arc<Job>,
    /// All that was rolled of the extranonce.
    pub extranonce: Vec<u8>,
    /// Time in the header.
    pub ntime: u32,
    /// Nonce in the header.
    pub nonce: u32,
    /// Version in the header.
    pub version: u32,
}

/// What a miner asks of its link.
#[derive(Clone, Debug)]
pub enum Request {
    /// A channel, now and whenever the pool comes back.
    Join(Open),
    /// It does so many hashes a second.
    Rate(Hashrate),
    /// A share.
    Share(Share),
    /// It is gone.
    Leave,
}

/// What a miner hears of its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The channel is open; its first job follows.
    Opened,
    /// The pool will never open a channel for this identity, for a reason with this code.
    Refused(String),
    /// A job.
    Job(Arc<Job>),
    /// The pool has stored these shares.
    Stored(Vec<u64>),
    /// A share does not count.
    Rejected(u64, Rejection),
    /// The channel is gone, and what was not answered is not stored. It is opened again.
    Away,
}

/// What a link wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be said to the pool, in this order.
    pub outgoing: VecDeque<MiningOwned>,
    /// To be told to miners, in this order.
    pub events: Vec<(MinerId, Event)>,
    /// How long the pool took for an answer that it gives at once.
    pub round_trips: Vec<Duration>,
    /// How long the pool took to store shares.
    pub stored_after: Vec<Duration>,
    /// What a person may want to know.
    pub remarks: Vec<String>,
    /// New tips.
    pub tips: u64,
}

/// How long a pool may take to answer the opening of a channel.
const OPEN_DEADLINE: Duration = Duration::from_secs(30);
/// Shares of one channel that may wait for the pool's answer.
const MAX_OWED: usize = 4_096;
/// The longest pause before a channel is asked for again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// All targets.
const ANY_TARGET: [u8; 32] = [0xff; 32];

/// A link.
#[derive(Debug)]
pub struct Link {
    mode: Mode,
    /// Bytes of the extranonce that each channel must leave to us.
    need: u16,
    is_up: bool,
    seats: BTreeMap<Key, Seat>,
    /// Openings that were not answered, with when they were asked for.
    requests: BTreeMap<u32, (Key, Duration)>,
    next_request: u32,
    next_opening: u64,
    /// What the shared channel is taken to do.
    hashrate: Hashrate,
}

impl Link {
    /// A link whose pool is away. Channels must leave `need` bytes to roll; a shared one is taken to
    /// do `hashrate`.
    pub fn new(mode: Mode, need: u16, hashrate: Hashrate) -> Self {
        let mut seats = BTreeMap::new();
        if let Mode::Aggregated(identity) = &mode {
            let easiest = Target::from_le_bytes(ANY_TARGET);
            let open = Open { identity: identity.clone(), hashrate, easiest };
            seats.insert(Key::All, Seat::new(open));
        }
        Self {
            mode,
            need,
            is_up: false,
            seats,
            requests: BTreeMap::new(),
            next_request: 1,
            next_opening: 1,
            hashrate,
        }
    }

    /// Channels that are open.
    pub fn channels(&self) -> usize {
        self.seats.values().filter(|seat| seat.channel().is_some()).count()
    }

    /// Shares that wait for the pool.
    pub fn owed(&self) -> usize {
        self.seats.values().map(|seat| seat.owed.len()).sum()
    }

    /// The pool is there: asks for all channels.
    pub fn connected(&mut self, now: Duration, out: &mut Outbox) {
        self.is_up = true;
        let keys: Vec<_> = self.seats.keys().copied().collect();
        keys.into_iter().for_each(|key| self.ask(key, now, out));
    }

    /// The pool is gone, with all that was not answered.
    pub fn lost(&mut self, out: &mut Outbox) {
        self.is_up = false;
        self.requests.clear();
        out.outgoing.clear();
        for seat in self.seats.values_mut() {
            seat.vacate(out);
            seat.refusals = 0;
        }
    }

    /// Takes a miner's request.
    pub fn request(&mut self, miner: MinerId, request: Request, now: Duration, out: &mut Outbox) {
        match request {
            Request::Join(open) => self.join(miner, open, now, out),
            Request::Rate(hashrate) => self.rate(miner, hashrate, out),
            Request::Share(share) => self.share(miner, share, now, out),
            Request::Leave => self.leave(miner, out),
        }
    }

    const fn key(&self, miner: MinerId) -> Key {
        match self.mode {
            Mode::PerMiner => Key::Miner(miner),
            Mode::Aggregated(_) => Key::All,
        }
    }

    fn join(&mut self, miner: MinerId, open: Open, now: Duration, out: &mut Outbox) {
        let key = self.key(miner);
        let seat = self.seats.entry(key).or_insert_with(|| Seat::new(open));
        seat.members.insert(miner);
        if let Some(channel) = seat.channel() {
            out.events.push((miner, Event::Opened));
            let current = channel.current().cloned();
            out.events.extend(current.map(|job| (miner, Event::Job(job))));
        } else if seat.is_free() {
            self.ask(key, now, out);
        }
    }

    fn rate(&mut self, miner: MinerId, hashrate: Hashrate, out: &mut Outbox) {
        // The pool rules what a shared channel does.
        let Some(seat) = self.seats.get_mut(&Key::Miner(miner)) else { return };
        seat.open.hashrate = hashrate;
        if let State::Open { id, .. } = seat.state {
            let update = UpdateChannelOwned {
                channel_id: id,
                nominal_hash_rate: nominal(hashrate),
                maximum_target: seat.open.easiest.to_le_bytes().into(),
            };
            out.outgoing.push_back(MiningOwned::UpdateChannel(update));
        }
    }

    fn share(&mut self, miner: MinerId, share: Share, now: Duration, out: &mut Outbox) {
        let number = share.number;
        if let Err(rejection) = self.submit(miner, share, now, out) {
            out.events.push((miner, Event::Rejected(number, rejection)));
        }
    }

    fn submit(
        &mut self,
        miner: MinerId,
        share: Share,
        now: Duration,
        out: &mut Outbox,
    ) -> Result<(), Rejection> {
        let key = self.key(miner);
        let seat = self.seats.get_mut(&key).ok_or(Rejection::Away)?;
        let State::Open { id, channel, .. } = &seat.state else { return Err(Rejection::Away) };
        if channel.opening() != share.job.opening {
            return Err(Rejection::Away);
        }
        let channel_id = *id;
        if seat.owed.len() >= MAX_OWED {
            return Err(Rejection::Busy);
        }
        let sequence_number = seat.number(key, share.number).ok_or(Rejection::Busy)?;
        let extranonce = share.extranonce.try_into().map_err(|_| Rejection::Other)?;
        seat.owed.insert(sequence_number, Owed { miner, number: share.number, since: now });
        out.outgoing.push_back(MiningOwned::SubmitSharesExtended(SubmitSharesExtendedOwned {
            channel_id,
            sequence_number,
            job_id: share.job.id,
            nonce: share.nonce,
            ntime: share.ntime,
            version: share.version,
            extranonce,
        }));
        Ok(())
    }

    fn leave(&mut self, miner: MinerId, out: &mut Outbox) {
        if let Some(seat) = self.seats.get_mut(&Key::All) {
            seat.members.remove(&miner);
        }
        if let Some(seat) = self.seats.remove(&Key::Miner(miner))
            && let State::Open { id, .. } = seat.state
        {
            close(id, "miner-left", out);
        }
    }

    /// When [`Link::tick`] is to be called at the latest, if ever.
    pub fn deadline(&self) -> Option<Duration> {
        let asked = self.requests.values().map(|(_, since)| since.saturating_add(OPEN_DEADLINE));
        let waiting = self.seats.values().filter(|_| self.is_up).filter_map(Seat::again_at);
        asked.chain(waiting).min()
    }

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// When the pool does not answer.
    pub fn tick(&mut self, now: Duration, out: &mut Outbox) -> Result<(), Violation> {
        let late = |since: &Duration| now.saturating_sub(*since) >= OPEN_DEADLINE;
        if self.requests.values().any(|(_, since)| late(since)) {
            return Err(Violation::Silent);
        }
        let due = |seat: &Seat| seat.again_at().is_some_and(|at| at <= now);
        let keys: Vec<_> =
            self.seats.iter().filter(|(_, seat)| due(seat)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.ask(key, now, out));
        Ok(())
    }

    /// Asks for a channel.
    fn ask(&mut self, key: Key, now: Duration, out: &mut Outbox) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        if !self.is_up {
            return;
        }
        let Ok(user_identity) = text(&seat.open.identity) else {
            return self.refuse(key, "invalid-user-identity", now, out);
        };
        let request_id = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        self.requests.insert(request_id, (key, now));
        seat.state = State::Asked;
        let open = OpenExtendedMiningChannelOwned {
            request_id,
            user_identity,
            nominal_hash_rate: nominal(match key {
                Key::Miner(_) => seat.open.hashrate,
                Key::All => self.hashrate,
            }),
            max_target: seat.open.easiest.to_le_bytes().into(),
            min_extranonce_size: self.need,
        };
        out.outgoing.push_back(MiningOwned::OpenExtendedMiningChannel(open));
    }

    /// The pool opens no channel, for a reason with this code.
    fn refuse(&mut self, key: Key, code: &str, now: Duration, out: &mut Outbox) {
        let Some(seat) = self.seats.get_mut(&key) else { return };
        match key {
            Key::Miner(miner) if is_final(code) => {
                self.seats.remove(&key);
                out.events.push((miner, Event::Refused(code.to_owned())));
            }
            Key::Miner(_) | Key::All => {
                out.remarks.push(format!("the pool opens no channel: {code}"));
                seat.wait(now);
            }
        }
    }
}

/// Whether asking again for the same channel is of no use.
fn is_final(code: &str) -> bool {
    matches!(
        code,
        "unknown-user"
            | "invalid-user-identity"
            | TOO_SHORT
            | "min-extranonce-size-too-large"
            | "unsupported-min-extranonce-size"
    )
}

/// Our code for an extranonce with less room than we asked for.
const TOO_SHORT: &str = "extranonce-too-short";

fn close(channel_id: u32, reason: &str, out: &mut Outbox) {
    if let Ok(reason_code) = text(reason) {
        let close = CloseChannelOwned { channel_id, reason_code };
        out.outgoing.push_back(MiningOwned::CloseChannel(close));
    }
}

/// SV2 says hashrates as floats.
#[expect(clippy::cast_precision_loss, reason = "a hint, rounded at the edge of the wire")]
fn nominal(hashrate: Hashrate) -> f32 {
    hashrate.to_u128() as f32
}
