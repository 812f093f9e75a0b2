//! One connection's task: bytes in, bytes out, and everything that can wake it.

mod link;

use crate::{
    domain::{
        closing::Closing,
        connection::{Connection, Outbox},
    },
    noise::Authority,
    wire,
};
use ingress::{
    Protocol, Shared, Standing,
    domain::{Moment, admission::network_class, selection::Work},
    publisher::Reply,
    shared::SessionDesk,
};
use link::{Link, Reading, Ready};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use subjects::sessions::NetworkClass;
use tokio::{net::TcpStream, sync::watch, time::timeout};

/// Stratum V2 over Noise.
#[derive(Clone, Debug)]
pub struct StratumV2 {
    /// The key that miners are met with.
    pub authority: Authority,
}

impl Protocol for StratumV2 {
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: IpAddr, shared: Arc<Shared>) {
        shared.figures.session_began();
        let closing = match accept(stream, &self.authority, &shared).await {
            Ok(link) => Session::new(link, network_class(peer), Arc::clone(&shared)).run().await,
            Err(closing) => closing,
        };
        tracing::debug!(reason = closing.code(), "a miner's connection ended: {closing}");
        shared.figures.session_ended(closing.code());
        if closing.is_bad_input() {
            shared.figures.frame_invalid(closing.code());
        }
    }

    fn url(&self, address: SocketAddr) -> (&'static str, String) {
        ("miners.sv2", format!("stratum2+tcp://{address}/{}", self.authority.public()))
    }
}

async fn accept(
    stream: TcpStream,
    authority: &Authority,
    shared: &Shared,
) -> Result<Link, Closing> {
    stream.set_nodelay(true).map_err(|_| Closing::Socket)?;
    let now = shared.clock.now().0 / 1_000;
    let handshake = Link::accept(stream, authority, now);
    match timeout(shared.handshake_deadline, handshake).await {
        Ok(link) => link,
        Err(_) => Err(Closing::HandshakeDeadline),
    }
}

struct Session {
    shared: Arc<Shared>,
    link: Link,
    connection: Connection,
    reply: Arc<Reply>,
    work: watch::Receiver<Arc<Work>>,
    standing: watch::Receiver<Standing>,
    out: Outbox,
    /// Open channels, as far as the figures know.
    counted: usize,
    told_rtt: bool,
}

/// What woke a session.
enum Wake {
    Standing,
    Stored,
    Work,
    Room,
    Socket(Ready),
    Time,
}

impl Session {
    fn new(link: Link, class: NetworkClass, shared: Arc<Shared>) -> Self {
        let mut work = shared.work.clone();
        let current = Arc::clone(&work.borrow_and_update());
        let rules = shared.rules.load_full();
        Self {
            connection: Connection::new(rules, class, current, shared.moment()),
            standing: shared.standing.clone(),
            reply: Arc::default(),
            out: Outbox::default(),
            counted: 0,
            told_rtt: false,
            shared,
            link,
            work,
        }
    }

    async fn run(mut self) -> Closing {
        let closing = self.until_closing().await;
        // What was answered last, e.g. why a setup was refused, is sent as far as it goes at once.
        let moment = self.shared.moment();
        let mut desk = SessionDesk::new(&self.shared, &self.reply);
        self.connection.end(closing, moment, &mut desk, &mut self.out);
        let flushed = self.flush();
        if flushed.is_ok() && closing.is_orderly() {
            // Boxed: its buffer would otherwise be part of every connection's task.
            Box::pin(self.link.linger()).await;
        }
        closing
    }

    async fn until_closing(&mut self) -> Closing {
        loop {
            if let Standing::Leaving(reason) = *self.standing.borrow_and_update()
                && self.connection.unacknowledged() == 0
                && self.link.unsent() == 0
            {
                return reason.into();
            }
            let wake = self.wait().await;
            if let Err(closing) = self.handle(wake) {
                return closing;
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let leaving = matches!(*self.standing.borrow(), Standing::Leaving(_));
        let backed_up = self.link.unsent() > self.shared.max_unsent_bytes;
        let reads = self.connection.wants_input() && !backed_up && !leaving;
        let reading = if reads { Reading::Wanted } else { Reading::Held };
        let follows = !backed_up && !leaving;
        let stalled = self.connection.is_stalled() && !leaving;
        let pause = self.pause();
        tokio::select! {
            biased;
            _ = self.standing.changed() => Wake::Standing,
            () = self.reply.reported() => Wake::Stored,
            Ok(()) = self.work.changed(), if follows => Wake::Work,
            () = self.shared.queue.room(), if stalled => Wake::Room,
            ready = self.link.ready(reading) => Wake::Socket(ready),
            () = tokio::time::sleep(pause) => Wake::Time,
        }
    }

    /// Until the next deadline.
    fn pause(&self) -> Duration {
        let deadlines = [self.connection.deadline(), self.unread_deadline()];
        let next = deadlines.into_iter().flatten().min();
        let now = self.shared.clock.monotonic();
        next.map_or(LONGEST_PAUSE, |next| next.saturating_sub(now).min(LONGEST_PAUSE))
    }

    fn unread_deadline(&self) -> Option<Duration> {
        let since = self.link.unread_since()?;
        Some(since.saturating_add(self.shared.unread_deadline))
    }

    fn handle(&mut self, wake: Wake) -> Result<(), Closing> {
        let moment = self.shared.moment();
        let mut desk = SessionDesk::new(&self.shared, &self.reply);
        match wake {
            Wake::Standing | Wake::Socket(Ready::Writable) | Wake::Time => {}
            Wake::Stored => self.connection.stored(self.reply.take(), &mut self.out),
            Wake::Work => {
                let work = Arc::clone(&self.work.borrow_and_update());
                self.connection.follow(work, moment, &mut self.out);
            }
            Wake::Room => self.connection.resume(&mut desk, &mut self.out),
            Wake::Socket(Ready::Received(received)) => received?,
        }
        self.keep_deadlines(moment)?;
        let read = self.read_frames(moment);
        self.flush()?;
        read
    }

    /// Looks at the deadlines after every wake: a peer that keeps us busy does not escape them.
    fn keep_deadlines(&mut self, moment: Moment) -> Result<(), Closing> {
        let passed = |deadline: Option<Duration>| deadline.is_some_and(|at| at <= moment.elapsed);
        if passed(self.unread_deadline()) {
            return Err(Closing::SlowReader);
        }
        if passed(self.connection.deadline()) {
            self.connection.tick(moment, &mut self.out)?;
        }
        Ok(())
    }

    /// Handles the frames that have come, as long as the connection wants them.
    fn read_frames(&mut self, moment: Moment) -> Result<(), Closing> {
        let mut desk = SessionDesk::new(&self.shared, &self.reply);
        let leaving = matches!(*self.standing.borrow(), Standing::Leaving(_));
        while self.connection.wants_input() && !leaving {
            let (connection, out) = (&mut self.connection, &mut self.out);
            let handled = self.link.next_frame(|header, payload| {
                let message = wire::read(header, payload)?;
                connection.receive(message, moment, &mut desk, out)?;
                self.shared.claim(&mut out.tidings);
                Ok(())
            })?;
            if !handled {
                break;
            }
        }
        Ok(())
    }

    /// Carries out what the connection wants done, and sends as much as the socket takes.
    fn flush(&mut self) -> Result<(), Closing> {
        let now = self.shared.clock.monotonic();
        for frame in self.out.frames.iter() {
            self.link.seal(frame)?;
        }
        self.out.frames.clear();
        self.link.send(now)?;
        self.shared.tell(&mut self.out.tidings, now);
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        let channels = self.connection.channels();
        if channels != self.counted {
            self.shared.figures.channels(self.counted, channels);
            self.counted = channels;
        }
        if !self.told_rtt
            && let Some(rtt) = self.connection.rtt_ms()
        {
            self.told_rtt = true;
            self.shared.figures.rtt(rtt);
        }
    }
}

/// Bound of a pause without any deadline.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
