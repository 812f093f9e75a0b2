//! One miner's connection: what it may ask when, and what it is told.
//!
//! The subscription is answered before anybody is named, as all firmware wants it: extranonce1 is a
//! number of ours, and what the pool gives stands before it, in the first part of each job's
//! coinbase. So extranonce1 stays what it is when the pool changes.

mod deadline;

mod greeting;

mod share;

mod work;

use super::{
    closing::{Closing, Fault},
    job::Job,
    link::{Event, Request},
    verdict::Rejection,
};
use ingress::domain::vardiff::Vardiff;
use mining::{Hashrate, Network};
use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};
use stratum_v1::{Call, Firmware, Id, Inbound, Lines, Refusal};
use work::{Told, Tuning};

/// Bytes of extranonce1.
pub const EXTRANONCE1_BYTES: usize = 4;

/// Shares a minute that a miner should find, wherever we have a say in it.
pub const SHARES_PER_MINUTE: NonZeroU32 = match NonZeroU32::new(12) {
    Some(rate) => rate,
    None => NonZeroU32::MIN,
};

/// What all connections go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The chain: addresses of another one are no user names.
    pub network: Network,
    /// Bytes that miners roll after extranonce1.
    pub extranonce2_bytes: u8,
    /// What a miner that says nothing is taken to do.
    pub hashrate: Hashrate,
    /// Whether all miners share a channel.
    pub aggregated: bool,
    /// Whether miners' difficulties are ours to adjust.
    pub vardiff: bool,
    /// Most workers of a connection.
    pub max_workers: usize,
    /// Most shares of a connection that wait for the pool; above, it is not read.
    pub max_unacknowledged: usize,
    /// From the connection to `mining.subscribe`.
    pub greeting_deadline: Duration,
    /// From there to a worker.
    pub authorize_deadline: Duration,
    /// Without any line, while there is work.
    pub idle_deadline: Duration,
    /// Without any line, while the pool is away.
    pub away_deadline: Duration,
}

impl Rules {
    /// Bytes of the extranonce that the pool must leave to us.
    pub fn needed_bytes(&self) -> u16 {
        let own = u16::try_from(EXTRANONCE1_BYTES).unwrap_or(u16::MAX);
        own.saturating_add(self.extranonce2_bytes.into())
    }
}

/// What a connection wants done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// To be sent to the miner.
    pub lines: Lines,
    /// To be asked of the link, in this order.
    pub requests: VecDeque<Request>,
    /// Shares that the pool has stored.
    pub stored: usize,
    /// Shares that were good enough for the miner, and not for the pool.
    pub local: usize,
    /// Shares that do not count.
    pub rejected: Vec<Rejection>,
    /// Miners that were refused, by code.
    pub refused: Vec<&'static str>,
}

/// How far the miner has come with the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seat {
    /// It has not said enough to be given a channel.
    None,
    /// The pool was asked, or will be once it is there.
    Asked,
    /// The channel is open.
    Open,
    /// The channel was open, and will be again.
    Away,
}

/// A connection.
#[derive(Debug)]
pub struct Miner {
    rules: Arc<Rules>,
    /// Extranonce1.
    number: [u8; EXTRANONCE1_BYTES],
    firmware: Firmware,
    subscribed: bool,
    /// Names that shares may come under.
    workers: Vec<Box<str>>,
    /// Names that wait for the channel, with the requests to be answered.
    pending: Vec<(Id, Box<str>)>,
    seat: Seat,
    tuning: Tuning,
    /// Version bits that the miner asked for; 0 without `version-rolling`.
    asked_mask: u32,
    told_mask: u32,
    jobs: VecDeque<Told>,
    next_job: u32,
    /// The newest job, while the miner was not told of it.
    due: Option<Arc<Job>>,
    /// Shares that wait for the pool, by our number of them.
    owed: BTreeMap<u64, Id>,
    /// Shares that came, good or not.
    shares: u64,
    vardiff: Vardiff,
    /// Since when the miner owes its next step: subscribe, or authorize.
    waiting_since: Duration,
    heard_at: Duration,
    told_at: Duration,
    /// When the difficulty is looked at next without a share.
    check_at: Option<Duration>,
}

impl Miner {
    /// A connection that opened at `now`; `number` is its extranonce1, which no other has.
    pub fn new(rules: Arc<Rules>, number: u32, now: Duration) -> Self {
        let tuning = Tuning::new(rules.hashrate);
        Self {
            rules,
            number: number.to_be_bytes(),
            firmware: Firmware::default(),
            subscribed: false,
            workers: Vec::new(),
            pending: Vec::new(),
            seat: Seat::None,
            tuning,
            asked_mask: 0,
            told_mask: 0,
            jobs: VecDeque::new(),
            next_job: 0,
            due: None,
            owed: BTreeMap::new(),
            shares: 0,
            vardiff: Vardiff::new(now),
            waiting_since: now,
            heard_at: now,
            told_at: now,
            check_at: None,
        }
    }

    /// Shares that wait for the pool.
    pub fn unacknowledged(&self) -> usize {
        self.owed.len()
    }

    /// Whether the next line may be read.
    pub fn wants_input(&self) -> bool {
        self.owed.len() < self.rules.max_unacknowledged
    }

    /// Goes by other rules from now on.
    pub fn follow_rules(&mut self, rules: Arc<Rules>) {
        self.rules = rules;
    }

    /// Handles one line.
    pub fn receive(&mut self, inbound: Inbound<'_>, now: Duration, out: &mut Outbox) {
        self.heard_at = now;
        let Inbound { id, call } = inbound;
        match call {
            Call::Submit(submit) => self.share(id, &submit, now, out),
            Call::Configure(configure) => self.configure(&id, &configure, out),
            Call::Subscribe(subscribe) => self.subscribe(&id, &subscribe, now, out),
            Call::Authorize(authorize) => self.authorize(id, &authorize, out),
            Call::SuggestDifficulty(difficulty) => self.suggest(&id, difficulty.nearest(), out),
            Call::SuggestTarget(target) => match mining::target::easiest_within(target) {
                Some(exponent) => self.suggest(&id, exponent, out),
                None => out.lines.refuse(&id, Refusal::MALFORMED),
            },
            // Nothing of it will ever change, so there is nothing to be told.
            Call::SubscribeExtranonce => out.lines.done(&id),
            Call::Ping => out.lines.say(&id, "pong"),
            Call::Answer => {}
            Call::Malformed(_) => out.lines.refuse(&id, Refusal::MALFORMED),
            Call::Unknown => out.lines.refuse(&id, Refusal::NOT_SUPPORTED),
        }
    }

    /// Hears from the link.
    ///
    /// # Errors
    ///
    /// When the connection is to end, once what `out` holds was sent.
    pub fn hear(&mut self, event: Event, now: Duration, out: &mut Outbox) -> Result<(), Closing> {
        match event {
            Event::Opened => self.opened(now, out),
            Event::Refused(code) => return self.refused(&code, now, out),
            Event::Job(job) => self.due = Some(self.behind(job)),
            Event::Stored(numbers) => {
                for number in numbers {
                    if let Some(id) = self.owed.remove(&number) {
                        out.lines.done(&id);
                        out.stored += 1;
                    }
                }
            }
            Event::Rejected(number, rejection) => {
                if let Some(id) = self.owed.remove(&number) {
                    turn_down(&id, rejection, out);
                }
            }
            Event::Away => {
                self.seat = Seat::Away;
                self.due = None;
                self.jobs.clear();
            }
        }
        Ok(())
    }

    /// A job that replaces one of which the miner was not told is as final as that one.
    fn behind(&self, job: Arc<Job>) -> Arc<Job> {
        match &self.due {
            Some(due) if due.clean == super::job::Clean::Drop && job.clean != due.clean => {
                Arc::new(Job { clean: due.clean, ..(*job).clone() })
            }
            Some(_) | None => job,
        }
    }

    /// All miners are sent away, and this one was told all that it was owed.
    pub fn farewell(&self, out: &mut Outbox) {
        out.lines.reconnect();
    }

    /// The connection is over: nobody hears of what is still owed.
    pub fn end(&mut self, out: &mut Outbox) {
        if self.seat != Seat::None {
            self.seat = Seat::None;
            out.requests.push_back(Request::Leave);
        }
    }

    fn refused(&mut self, code: &str, now: Duration, out: &mut Outbox) -> Result<(), Closing> {
        self.seat = Seat::None;
        self.waiting_since = now;
        for (id, _) in self.pending.drain(..) {
            out.lines.refuse_saying(&id, 24, &greeting::words_of(code));
        }
        out.refused.push("refused-by-the-pool");
        if self.workers.is_empty() {
            return Ok(());
        }
        out.lines.message(&greeting::words_of(code));
        Err(Fault::Unknown.into())
    }
}

fn turn_down(id: &Id, rejection: Rejection, out: &mut Outbox) {
    out.lines.refuse(id, rejection.refusal());
    out.rejected.push(rejection);
}
