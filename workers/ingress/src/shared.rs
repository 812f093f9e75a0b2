//! What all connections of an ingress share.

use crate::{
    domain::{
        Moment,
        allowance::Rate,
        closing::Leaving,
        desk::{Desk, Tidings},
        lane::{NotTaken, Taken},
        numbers::{Number, Numbers},
        parking::{Parked, Parking},
        rejections::Rejections,
        rules::Rules,
        selection::Work,
    },
    figures::Figures,
    publisher::{Queue, Reply},
};
use arc_swap::ArcSwap;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU32},
    time::Duration,
};
use subjects::{blocks::Claimed, sessions::Changed};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use worker_runtime::clock::Clock;

/// Whether miners are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are.
    Serving,
    /// Those who are there are, until each has gone in its turn to the process that has the ports.
    Thinning(Thinning),
    /// They are sent away, for this reason, once their shares are stored and acknowledged.
    Leaving(Leaving),
}

/// How connections end that another process is to have: not all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thinning {
    /// When it began.
    pub since: Duration,
    /// How long it takes.
    pub over: Duration,
}

impl Thinning {
    /// When the connection goes that has this number. Whichever connections there are, those that
    /// came one after the other go far from each other (the van der Corput sequence).
    pub fn at(&self, number: u32) -> Duration {
        let share = (self.over.as_nanos() * u128::from(number.reverse_bits())) >> u32::BITS;
        self.since.saturating_add(Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX)))
    }
}

/// What all connections share.
pub struct Shared {
    /// What a connection goes by that opens now.
    pub rules: ArcSwap<Rules>,
    /// What miners work on.
    pub work: watch::Receiver<Arc<Work>>,
    /// Whether they are served.
    pub standing: watch::Receiver<Standing>,
    /// The lane.
    pub queue: Arc<Queue>,
    /// Channel numbers.
    pub numbers: Mutex<Numbers>,
    /// What miners left behind whose connections were lost.
    pub parking: Mutex<Parking>,
    /// What was turned away in this minute.
    pub rejections: Arc<Mutex<Rejections>>,
    /// Blocks to be claimed.
    pub claims: mpsc::Sender<Claimed>,
    /// Sessions' facts to be published.
    pub facts: mpsc::Sender<Changed>,
    /// The figures.
    pub figures: Figures,
    /// Handshakes that may be computed at once.
    pub handshakes: Semaphore,
    /// Connections so far, as far as it matters who goes when.
    pub connections: AtomicU32,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// From the connection to the end of its handshake, if its protocol has one.
    pub handshake_deadline: Duration,
    /// Without the miner reading a byte of what waits for it.
    pub unread_deadline: Duration,
    /// How much one connection may ask for.
    pub message_rate: Rate,
    /// Bytes that wait for a miner, above which it is neither read nor given new jobs.
    pub max_unsent_bytes: usize,
}

/// How many handshakes may be computed at once on this machine: half of its processors.
pub fn handshakes_at_once() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (processors / 2).max(1)
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Shared {
    /// This moment.
    pub fn moment(&self) -> Moment {
        Moment { elapsed: self.clock.monotonic(), at: self.clock.now() }
    }

    /// Waits until a handshake may be computed, for as long as the turn is held. Each takes some
    /// hundred times what a share takes: many at once would keep every share waiting behind them.
    pub async fn handshake_turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nobody closes it.
        let turn = self.handshakes.acquire().await.ok();
        // Whoever else can go on does so first.
        tokio::task::yield_now().await;
        turn
    }

    /// Hands blocks on, before anything else is done.
    pub fn claim(&self, tidings: &mut Tidings) {
        for claim in tidings.claims.drain(..) {
            self.figures.block_claimed();
            if self.claims.try_send(claim).is_err() {
                // The share itself is on its way, and Core finds the block in it.
                self.figures.dropped("claim");
            }
        }
    }

    /// Tells what happened. Nothing here may hold a connection up: what does not fit is dropped
    /// and counted.
    pub fn tell(&self, tidings: &mut Tidings, now: Duration) {
        self.claim(tidings);
        for fact in tidings.facts.drain(..) {
            if self.facts.try_send(fact).is_err() {
                self.figures.dropped("session");
            }
        }
        for code in tidings.refused.drain(..) {
            self.figures.refused(code);
        }
        for read_at in tidings.acknowledged.drain(..) {
            self.figures.acknowledged(now.saturating_sub(read_at));
        }
        self.tell_rejected(tidings);
    }

    fn tell_rejected(&self, tidings: &mut Tidings) {
        if tidings.rejected.is_empty() {
            return;
        }
        let mut rejections = self.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        for (miner, reason) in tidings.rejected.drain(..) {
            self.figures.rejected(reason);
            if let Some(miner) = miner {
                rejections.count(&miner, reason);
            }
        }
    }

    /// Gives up what miners left behind and did not come back for.
    pub fn sweep_parking(&self) {
        let gone = self.parking().expired(self.clock.monotonic());
        self.give_up(gone);
    }

    fn parking(&self) -> MutexGuard<'_, Parking> {
        self.parking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_up(&self, gone: Vec<Parked>) {
        for parked in gone {
            self.with_numbers(|numbers, tips| numbers.free(parked.space.into_number(), tips));
        }
    }

    fn with_numbers<T>(&self, with: impl FnOnce(&mut Numbers, u64) -> T) -> T {
        let tips = self.work.borrow().tips;
        with(&mut self.numbers.lock().unwrap_or_else(PoisonError::into_inner), tips)
    }
}

/// One connection's hold on what all share.
#[derive(Debug)]
pub struct SessionDesk<'a> {
    shared: &'a Shared,
    reply: &'a Arc<Reply>,
}

impl<'a> SessionDesk<'a> {
    /// Shares are reported stored by `reply`.
    pub const fn new(shared: &'a Shared, reply: &'a Arc<Reply>) -> Self {
        Self { shared, reply }
    }
}

impl Desk for SessionDesk<'_> {
    fn number(&mut self) -> Option<Number> {
        self.shared.with_numbers(Numbers::take)
    }

    fn free(&mut self, number: Number) {
        self.shared.with_numbers(|numbers, tips| numbers.free(number, tips));
    }

    fn session(&mut self) -> u64 {
        rand::random()
    }

    fn park(&mut self, session: u64, parked: Parked, now: Duration) {
        let gone = self.shared.parking().park(session, parked, now);
        self.shared.give_up(gone);
    }

    fn resume(&mut self, session: u64, now: Duration) -> Option<Parked> {
        self.shared.parking().resume(session, now)
    }

    fn offer(&mut self, taken: Taken) -> Result<(), (NotTaken, Taken)> {
        self.shared.queue.offer(self.reply, taken)
    }
}
