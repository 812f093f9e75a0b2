//! One miner's connection: lines in, lines out, and everything that can wake it.

use crate::{
    domain::{
        MinerId,
        closing::{Closing, Fault},
        link::{Event, Request},
        miner::{Miner, Outbox, Rules},
    },
    hub::{Command, Hub, Place},
    shared::{Extranonce1, Shared},
};
use ingress::{Lost, Reading, Socket, domain::closing::Leaving};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

/// Longest line that a miner may send, in bytes.
const MAX_LINE: usize = 4_096;
/// Jobs and the like that may wait for a miner's connection, beside the answers that it is owed.
const EVENTS: usize = 64;
/// Bound of a pause without any deadline.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// Serves one miner to its end. After `drain` it is told what it is still owed, and sent away.
pub(crate) async fn serve(
    stream: TcpStream,
    admitted: ingress::Place,
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    drain: CancellationToken,
) {
    shared.figures.session_began();
    let closing = match Session::new(stream, admitted, &shared, hub, drain) {
        Ok(session) => session.run().await,
        Err(closing) => closing,
    };
    tracing::debug!(reason = closing.code(), "a miner's connection ended: {closing}");
    shared.figures.session_ended(closing.code());
    if closing.is_bad_input() {
        shared.figures.line_invalid(closing.code());
    }
}

struct Session {
    id: MinerId,
    admitted: ingress::Place,
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    socket: Socket<TcpStream>,
    miner: Miner,
    out: Outbox,
    rules: watch::Receiver<Arc<Rules>>,
    drain: CancellationToken,
    /// When patience with what is still owed ends, once all miners are sent away.
    drained_at: Option<Duration>,
    /// The connection to the pool, and what comes of it.
    link: Option<(Place, mpsc::Receiver<Event>)>,
    /// Free again when the connection has ended.
    _extranonce1: Extranonce1,
}

/// What woke a session.
enum Wake {
    Drain,
    Event(Option<Event>),
    Rules,
    Socket(Result<(), Lost>),
    Evicted,
    Time,
}

impl Session {
    fn new(
        stream: TcpStream,
        admitted: ingress::Place,
        shared: &Arc<Shared>,
        hub: Arc<Hub>,
        drain: CancellationToken,
    ) -> Result<Self, Closing> {
        stream.set_nodelay(true).map_err(Lost::from)?;
        let extranonce1 = shared.extranonce1().ok_or(Fault::NoLink)?;
        let rules = shared.rules.subscribe();
        let current = Arc::clone(&rules.borrow());
        Ok(Self {
            id: shared.next_miner(),
            miner: Miner::new(current, extranonce1.value(), shared.now()),
            admitted,
            shared: Arc::clone(shared),
            hub,
            socket: Socket::new(stream),
            out: Outbox::default(),
            rules,
            drain,
            drained_at: None,
            link: None,
            _extranonce1: extranonce1,
        })
    }

    async fn run(mut self) -> Closing {
        let closing = self.until_closing().await;
        self.miner.end(&mut self.out);
        // The pool is told first: it has a place for another miner then.
        if self.ask().await.is_err() {
            tracing::debug!("nobody is left to be told that a miner is gone");
        }
        let flushed = self.flush();
        if flushed.is_ok() && closing.is_orderly() {
            self.socket.linger().await;
        }
        closing
    }

    async fn until_closing(&mut self) -> Closing {
        loop {
            let wake = self.wait().await;
            if let Err(closing) = self.handle(wake).await {
                return closing;
            }
            if self.may_go() {
                self.miner.farewell(&mut self.out);
                return Leaving::Draining.into();
            }
        }
    }

    /// Whether the miner was told all that it is owed, or has waited long enough for it.
    fn may_go(&self) -> bool {
        self.drained_at.is_some_and(|at| {
            let settled = self.miner.unacknowledged() == 0 && self.socket.unsent() == 0;
            settled || at <= self.shared.now()
        })
    }

    fn is_backed_up(&self) -> bool {
        self.socket.unsent() > self.shared.ctx.config.load().limits.max_unsent_bytes
    }

    fn reads(&self) -> bool {
        self.miner.wants_input() && !self.is_backed_up() && self.drained_at.is_none()
    }

    async fn wait(&mut self) -> Wake {
        let reading = if self.reads() { Reading::Wanted } else { Reading::Held };
        let pause = self.pause();
        let draining = self.drained_at.is_some();
        let events = async {
            match &mut self.link {
                Some((_, events)) => events.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.drain.cancelled(), if !draining => Wake::Drain,
            event = events => Wake::Event(event),
            Ok(()) = self.rules.changed() => Wake::Rules,
            ready = self.socket.ready(reading) => Wake::Socket(ready),
            () = self.admitted.lost() => Wake::Evicted,
            () = tokio::time::sleep(pause) => Wake::Time,
        }
    }

    /// Until the next deadline.
    fn pause(&self) -> Duration {
        let deadlines = [self.miner.deadline(), self.unread_deadline(), self.drained_at];
        let next = deadlines.into_iter().flatten().min();
        let now = self.shared.now();
        next.map_or(LONGEST_PAUSE, |next| next.saturating_sub(now).min(LONGEST_PAUSE))
    }

    fn unread_deadline(&self) -> Option<Duration> {
        let unread = self.shared.ctx.config.load().deadlines.unread_secs;
        Some(self.socket.unread_since()?.saturating_add(Duration::from_secs(unread)))
    }

    async fn handle(&mut self, wake: Wake) -> Result<(), Closing> {
        let now = self.shared.now();
        let mut heard = Ok(());
        match wake {
            Wake::Drain => {
                let patience = self.shared.ctx.config.load().deadlines.drain_secs;
                self.drained_at = Some(now.saturating_add(Duration::from_secs(patience)));
            }
            Wake::Event(None) => return Err(self.lost_link()),
            Wake::Event(Some(event)) => heard = self.hear(event, now),
            Wake::Rules => {
                let rules = Arc::clone(&self.rules.borrow_and_update());
                self.miner.follow_rules(rules);
            }
            Wake::Socket(ready) => ready?,
            Wake::Evicted => return Err(Closing::Evicted),
            Wake::Time => {}
        }
        let kept = heard.and_then(|()| self.keep_deadlines(now));
        let read = match kept {
            Ok(()) => self.read_lines(now),
            Err(closing) => Err(closing),
        };
        self.ask().await?;
        if !self.is_backed_up() {
            self.miner.tell(now, &mut self.out);
        }
        self.flush()?;
        read
    }

    /// Hears an event and those that came with it.
    fn hear(&mut self, event: Event, now: Duration) -> Result<(), Closing> {
        self.miner.hear(event, now, &mut self.out)?;
        let Some((_, events)) = &mut self.link else { return Ok(()) };
        // No more than there is room for, so that this ends.
        for _ in 0..EVENTS {
            let Ok(event) = events.try_recv() else { break };
            self.miner.hear(event, now, &mut self.out)?;
        }
        Ok(())
    }

    fn lost_link(&self) -> Closing {
        if self.shared.ctx.stop.is_cancelled() { Fault::NoLink } else { Fault::Behind }.into()
    }

    /// Looks at the deadlines after every wake: a peer that keeps us busy does not escape them.
    fn keep_deadlines(&mut self, now: Duration) -> Result<(), Closing> {
        let passed = |deadline: Option<Duration>| deadline.is_some_and(|at| at <= now);
        if passed(self.unread_deadline()) {
            return Err(Closing::SlowReader);
        }
        if passed(self.miner.deadline()) && !self.is_backed_up() {
            self.miner.tick(now, &mut self.out)?;
        }
        Ok(())
    }

    /// Handles the lines that have come, as long as the miner's may be read.
    fn read_lines(&mut self, now: Duration) -> Result<(), Closing> {
        while self.miner.wants_input() && self.drained_at.is_none() {
            let received = self.socket.received();
            let end = received.iter().take(MAX_LINE).position(|byte| *byte == b'\n');
            let Some((line, _)) = end.and_then(|end| received.split_at_checked(end)) else {
                let whole = received.len() < MAX_LINE;
                self.socket.settle();
                return if whole { Ok(()) } else { Err(Fault::LineTooLong.into()) };
            };
            let taken = line.len() + 1;
            let line = line.trim_ascii();
            if !line.is_empty() {
                let inbound = stratum_v1::read(line).map_err(Fault::from)?;
                self.miner.receive(inbound, now, &mut self.out);
            }
            self.socket.handled(taken);
        }
        Ok(())
    }

    /// Says to the link what is to be said.
    async fn ask(&mut self) -> Result<(), Closing> {
        while let Some(request) = self.out.requests.pop_front() {
            if self.link.is_none() && matches!(request, Request::Join(_)) {
                let place = self.hub.place().ok_or(Fault::NoLink)?;
                let limits = &self.shared.ctx.config.load().limits;
                let answers = limits.max_unacknowledged_per_connection;
                let (sender, events) = mpsc::channel(answers.saturating_add(EVENTS));
                let said = place.say(Command::Listen(self.id, sender)).await;
                self.link = Some((place, events));
                self.admitted.establish();
                if !said {
                    return Err(Fault::NoLink.into());
                }
            }
            if let Some((place, _)) = &self.link
                && !place.say(Command::Ask(self.id, request)).await
            {
                return Err(Fault::NoLink.into());
            }
        }
        Ok(())
    }

    /// Sends as much as the socket takes, and tells the figures.
    fn flush(&mut self) -> Result<(), Closing> {
        let Outbox { lines, stored, local, rejected, refused, .. } = &mut self.out;
        if !lines.is_empty() {
            self.socket.outgoing().extend_from_slice(lines.as_bytes());
            lines.clear();
        }
        let figures = &self.shared.figures;
        figures.stored(std::mem::take(stored));
        figures.local(std::mem::take(local));
        rejected.drain(..).for_each(|rejection| figures.rejected(rejection));
        refused.drain(..).for_each(|code| figures.refused(code));
        Ok(self.socket.send(self.shared.now())?)
    }
}
