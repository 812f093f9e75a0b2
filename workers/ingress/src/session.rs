//! One connection's task: bytes in, bytes out, and everything that can wake it.

use crate::{
    domain::{
        Moment,
        allowance::Allowance,
        closing::{Closing, Fault, Leaving},
        desk::{Desk, Tidings},
        selection::Work,
    },
    doorman::Place,
    publisher::Reply,
    shared::{SessionDesk, Shared, Standing},
    socket::{Lost, Reading, Socket},
};
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};

/// A client's side of a connection, once it stands: what its protocol makes of bytes and of events.
pub trait Client: Send {
    /// What its protocol ends a connection for.
    type Fault: Fault;

    /// Handles the next message at the beginning of `received`, which may be changed: how many
    /// bytes it took, or `None` when not all of it has come.
    ///
    /// # Errors
    ///
    /// When the connection is to end, once what was said was sent.
    fn read(
        &mut self,
        received: &mut [u8],
        moment: Moment,
        desk: &mut impl Desk,
    ) -> Result<Option<usize>, Closing<Self::Fault>>;

    /// Moves what is to be sent behind what waits to be sent.
    ///
    /// # Errors
    ///
    /// When nothing can be sent any more.
    fn write(&mut self, unsent: &mut Vec<u8>) -> Result<(), Closing<Self::Fault>>;

    /// What is to be told to others.
    fn tidings(&mut self) -> &mut Tidings;

    /// Whether the next message may be read.
    fn wants_input(&self) -> bool;

    /// Whether a share waits for room in the lane.
    fn is_stalled(&self) -> bool;

    /// Shares that wait for the bus.
    fn unacknowledged(&self) -> usize;

    /// Open channels.
    fn channels(&self) -> usize;

    /// The round trip, once it is measured, in milliseconds.
    fn rtt_ms(&self) -> Option<u32>;

    /// When [`Client::tick`] is to be called at the latest, if ever.
    fn deadline(&self) -> Option<Duration>;

    /// Time has passed.
    ///
    /// # Errors
    ///
    /// When a deadline was missed.
    fn tick(&mut self, moment: Moment) -> Result<(), Closing<Self::Fault>>;

    /// Other work is current.
    fn follow(&mut self, work: Arc<Work>, moment: Moment);

    /// The bus has stored the `count` oldest shares that the lane took.
    fn stored(&mut self, count: usize);

    /// The lane has room again.
    fn resume(&mut self, desk: &mut impl Desk);

    /// All miners are sent away, and this one was told all that it was owed.
    fn farewell(&mut self, leaving: Leaving);

    /// The connection is over.
    fn end(&mut self, closing: Closing<Self::Fault>, moment: Moment, desk: &mut impl Desk);
}

/// A connection whose handshake is done, to its end. It is a box of its own, because a task has room
/// for all that was ever in it, and most of that is gone by now.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Begins to serve one connection with its handshake, which makes a stream and a client; nothing is
/// left to serve when that fails.
pub async fn begin<S, C, H>(shared: Arc<Shared>, mut place: Place, handshake: H) -> Option<Serving>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    C: Client + 'static,
    H: Future<Output = Result<(S, Box<C>), Closing<C::Fault>>> + Send,
{
    shared.figures.session_began();
    let shaken = tokio::select! {
        shaken = timeout(shared.handshake_deadline, handshake) => shaken,
        () = place.lost() => Ok(Err(Closing::Evicted)),
    };
    let closing = match shaken {
        Ok(Ok((stream, client))) => {
            let session = Session::new(Socket::new(stream), client, place, shared);
            return Some(Box::pin(session.run()));
        }
        Ok(Err(closing)) => closing,
        Err(_) => Closing::HandshakeDeadline,
    };
    account(closing, &shared);
    None
}

/// A connection is over.
fn account<F: Fault>(closing: Closing<F>, shared: &Shared) {
    tracing::debug!(reason = closing.code(), "a miner's connection ended: {closing}");
    shared.figures.session_ended(closing.code());
    if closing.is_bad_input() {
        shared.figures.frame_invalid(closing.code());
    }
}

impl<F> From<Lost> for Closing<F> {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Left => Self::Left,
            Lost::Failed => Self::Socket,
        }
    }
}

struct Session<S, C> {
    shared: Arc<Shared>,
    socket: Socket<S>,
    client: Box<C>,
    place: Place,
    reply: Arc<Reply>,
    work: watch::Receiver<Arc<Work>>,
    standing: watch::Receiver<Standing>,
    /// Open channels, as far as the figures know.
    counted: usize,
    told_rtt: bool,
    /// Its number, which says when it goes if connections go one after the other.
    number: u32,
    /// What its messages have used of what one connection may cost.
    used: Allowance,
}

/// What woke a session.
enum Wake {
    Standing,
    Stored,
    Work,
    Room,
    Socket(Result<(), Lost>),
    Evicted,
    Time,
}

impl<S: AsyncRead + AsyncWrite + Unpin, C: Client> Session<S, C> {
    fn new(socket: Socket<S>, client: Box<C>, place: Place, shared: Arc<Shared>) -> Self {
        let (work, standing) = (shared.work.clone(), shared.standing.clone());
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            socket,
            client,
            place,
            reply: Arc::default(),
            work,
            standing,
            counted: 0,
            told_rtt: false,
            number,
            used: Allowance::default(),
        }
    }

    async fn run(mut self) {
        let closing = self.until_closing().await;
        // What was answered last, e.g. why a setup was refused, is sent as far as it goes at once.
        let moment = self.shared.moment();
        let mut desk = SessionDesk::new(&self.shared, &self.reply);
        self.client.end(closing, moment, &mut desk);
        let flushed = self.flush();
        if flushed.is_ok() && closing.is_orderly() {
            // Boxed: its buffer would otherwise be part of every connection's task.
            Box::pin(self.socket.linger()).await;
        }
        account(closing, &self.shared);
    }

    async fn until_closing(&mut self) -> Closing<C::Fault> {
        // What became current during the handshake.
        let mut wake = Wake::Work;
        loop {
            if let Err(closing) = self.handle(wake) {
                return closing;
            }
            self.standing.mark_unchanged();
            if let Some(leaving) = self.leaving()
                && self.client.unacknowledged() == 0
                && self.socket.unsent() == 0
            {
                self.client.farewell(leaving);
                return leaving.into();
            }
            wake = self.wait().await;
        }
    }

    async fn wait(&mut self) -> Wake {
        let leaving = self.leaving().is_some();
        let backed_up = self.socket.unsent() > self.shared.max_unsent_bytes;
        let resting = self.rest();
        let reads = self.client.wants_input() && !backed_up && !leaving && resting.is_none();
        let reading = if reads { Reading::Wanted } else { Reading::Held };
        let follows = !backed_up && !leaving;
        let stalled = self.client.is_stalled() && !leaving;
        let pause = self.pause(resting);
        tokio::select! {
            biased;
            _ = self.standing.changed() => Wake::Standing,
            () = self.reply.reported() => Wake::Stored,
            Ok(()) = self.work.changed(), if follows => Wake::Work,
            () = self.shared.queue.room(), if stalled => Wake::Room,
            ready = self.socket.ready(reading) => Wake::Socket(ready),
            () = self.place.lost() => Wake::Evicted,
            () = tokio::time::sleep(pause) => Wake::Time,
        }
    }

    /// Until the next deadline.
    fn pause(&self, resting: Option<Duration>) -> Duration {
        let deadlines = [self.client.deadline(), self.unread_deadline(), self.turn()];
        let next = deadlines.into_iter().flatten().min();
        let now = self.shared.clock.monotonic();
        let pause = next.map_or(LONGEST_PAUSE, |next| next.saturating_sub(now).min(LONGEST_PAUSE));
        resting.map_or(pause, |rest| rest.min(pause))
    }

    /// How long the client is not heard, because it says more than a connection may.
    fn rest(&self) -> Option<Duration> {
        self.used.pause(self.shared.message_rate, self.shared.clock.monotonic())
    }

    /// Why this connection is to end now, if it is.
    fn leaving(&self) -> Option<Leaving> {
        match *self.standing.borrow() {
            Standing::Serving => None,
            Standing::Thinning(thinning) => {
                let now = self.shared.clock.monotonic();
                (thinning.at(self.number) <= now).then_some(Leaving::Draining)
            }
            Standing::Leaving(leaving) => Some(leaving),
        }
    }

    /// When this connection's turn to go comes, if it is to come.
    fn turn(&self) -> Option<Duration> {
        match *self.standing.borrow() {
            Standing::Thinning(thinning) if self.leaving().is_none() => {
                Some(thinning.at(self.number))
            }
            Standing::Serving | Standing::Thinning(_) | Standing::Leaving(_) => None,
        }
    }

    fn unread_deadline(&self) -> Option<Duration> {
        let since = self.socket.unread_since()?;
        Some(since.saturating_add(self.shared.unread_deadline))
    }

    fn handle(&mut self, wake: Wake) -> Result<(), Closing<C::Fault>> {
        let moment = self.shared.moment();
        let mut desk = SessionDesk::new(&self.shared, &self.reply);
        match wake {
            Wake::Standing | Wake::Time => {}
            Wake::Stored => self.client.stored(self.reply.take()),
            Wake::Work => {
                let work = Arc::clone(&self.work.borrow_and_update());
                self.client.follow(work, moment);
            }
            Wake::Room => self.client.resume(&mut desk),
            Wake::Socket(ready) => ready?,
            Wake::Evicted => return Err(Closing::Evicted),
        }
        self.keep_deadlines(moment)?;
        let read = self.read_messages(moment);
        self.flush()?;
        read
    }

    /// Looks at the deadlines after every wake: a peer that keeps us busy does not escape them.
    fn keep_deadlines(&mut self, moment: Moment) -> Result<(), Closing<C::Fault>> {
        let passed = |deadline: Option<Duration>| deadline.is_some_and(|at| at <= moment.elapsed);
        if passed(self.unread_deadline()) {
            return Err(Closing::SlowReader);
        }
        if passed(self.client.deadline()) {
            self.client.tick(moment)?;
        }
        Ok(())
    }

    /// Handles the messages that have come, as long as the client wants them.
    fn read_messages(&mut self, moment: Moment) -> Result<(), Closing<C::Fault>> {
        let mut desk = SessionDesk::new(&self.shared, &self.reply);
        let leaving = self.leaving().is_some();
        let rate = self.shared.message_rate;
        while self.client.wants_input()
            && !leaving
            && self.used.pause(rate, moment.elapsed).is_none()
        {
            let Some(taken) = self.client.read(self.socket.received(), moment, &mut desk)? else {
                self.socket.settle();
                break;
            };
            let tidings = self.client.tidings();
            self.shared.claim(tidings);
            self.used.take(rate, cost(taken, std::mem::take(&mut tidings.asked)), moment.elapsed);
            self.socket.handled(taken);
        }
        Ok(())
    }

    /// Carries out what the client wants done, and sends as much as the socket takes.
    fn flush(&mut self) -> Result<(), Closing<C::Fault>> {
        let now = self.shared.clock.monotonic();
        self.client.write(self.socket.outgoing())?;
        self.socket.send(now)?;
        self.shared.tell(self.client.tidings(), now);
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        let channels = self.client.channels();
        if channels != self.counted {
            self.place.establish();
            self.shared.figures.channels(self.counted, channels);
            self.counted = channels;
        }
        if !self.told_rtt
            && let Some(rtt) = self.client.rtt_ms()
        {
            self.told_rtt = true;
            self.shared.figures.rtt(rtt);
        }
    }
}

/// Bytes of a message that cost as much as a message.
const BYTES_OF_A_MESSAGE: usize = 1_024;

/// What a message costs, in messages.
fn cost(bytes: usize, asked: u32) -> u32 {
    let read = u32::try_from(1 + bytes / BYTES_OF_A_MESSAGE).unwrap_or(u32::MAX);
    read.saturating_add(asked)
}

/// Bound of a pause without any deadline.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
