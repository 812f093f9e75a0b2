//! Reading a stream in order, from a position on, whatever happens to servers in between.

mod progress;

use super::{
    Bus, BusError, Delivery, StreamInfo,
    api::CODE_TOO_MANY_CONSUMERS,
    consumer::{Breaks, Broken, ConsumerConfig, Puller},
    time::rfc3339,
};
use crate::{
    metric::Name,
    transform::{Position, Start},
};
use progress::Progress;
use rand::Rng;
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// A stream whose messages go sooner than this may lose its last one before it was read, so that
/// nobody may wait for that.
const LASTING: Duration = Duration::from_secs(60 * 60);

/// Pause before a reader that could not begin tries again.
const PAUSE: Duration = Duration::from_millis(250);

/// Doublings of that pause: two seconds at most.
const MOST_DOUBLINGS: u32 = 3;

/// The same when it lacks a right: a person must give it that first.
const PAUSE_WITHOUT_RIGHT: Duration = Duration::from_secs(5);

/// A reader that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stream was made anew: sequences mean something else now.
    #[error(
        "the stream `{stream}` was made anew ({now} ms, was {was} ms): positions in it mean nothing any more; rebuild what depends on it"
    )]
    StreamRemade {
        /// The stream.
        stream: String,
        /// When the stream that was read was created, in milliseconds since 1970.
        was: u64,
        /// When the present one was.
        now: u64,
    },
    /// The stream ends before the position: it has lost messages that were read before.
    #[error(
        "the stream `{stream}` ends at {last}, before the position {position}: it lost messages that were handled; restore it or rebuild what depends on it"
    )]
    Behind {
        /// The stream.
        stream: String,
        /// Where the reader wants to begin.
        position: u64,
        /// The stream's last sequence.
        last: u64,
    },
    /// Another instance has taken over the consumer.
    #[error(
        "another instance has taken over the consumer `{consumer}` of `{stream}`: this one must stop"
    )]
    TakenOver {
        /// The stream.
        stream: String,
        /// The consumer.
        consumer: String,
    },
    /// The server does not accept the reader.
    #[error("the stream `{stream}` cannot be read")]
    Refused {
        /// The stream.
        stream: String,
        /// Why.
        #[source]
        source: BusError,
    },
    /// The process ended first.
    #[error("the process is ending")]
    Stopped,
}

/// Reads a part of a stream in order: every message of it once, without gaps.
///
/// A reader survives servers: when its consumer or its connection is gone, it begins again after
/// the last message that it has handed out.
pub struct Ordered {
    bus: Bus,
    stream: String,
    filters: Vec<String>,
    incarnation: Option<u64>,
    progress: Progress,
    /// Whether anybody may ask if this reader has caught up.
    endless: bool,
    pending: u64,
    breaks: Breaks,
    /// Refusals in a row to begin.
    refusals: u32,
    /// Until when no other consumer is made.
    pause_until: Option<Instant>,
    consumer: Option<(String, Puller)>,
}

impl fmt::Debug for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, filters, progress, .. } = self;
        f.debug_struct("Ordered")
            .field("stream", stream)
            .field("filters", filters)
            .field("progress", progress)
            .finish_non_exhaustive()
    }
}

impl Ordered {
    pub(super) fn new(bus: Bus, stream: &str, filters: Vec<String>, start: Start) -> Self {
        Self {
            bus,
            stream: stream.to_owned(),
            filters,
            incarnation: None,
            progress: Progress::new(start),
            endless: false,
            pending: 0,
            breaks: Breaks::default(),
            refusals: 0,
            pause_until: None,
            consumer: None,
        }
    }

    /// Also refuses a stream whose incarnation is another than this one, e.g. of a stored
    /// position.
    #[must_use]
    pub const fn of_incarnation(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// For a reader whom nobody asks whether it has caught up: then it need not know where the
    /// stream ends, which takes the right to ask for single messages.
    #[must_use]
    pub const fn endless(mut self) -> Self {
        self.endless = true;
        self
    }

    /// Begins reading without waiting for a message: afterwards [`Self::caught_up`] means
    /// something also for an empty stream.
    pub async fn opened(&mut self) -> Result<(), ReadError> {
        while self.consumer.is_none() {
            if let Some(until) = self.pause_until {
                self.pause_for(until.saturating_duration_since(Instant::now())).await?;
                self.pause_until = None;
            }
            match self.open().await {
                Ok(()) => {
                    if std::mem::take(&mut self.refusals) > 0 {
                        tracing::info!(stream = self.stream, "the stream can be read");
                    }
                }
                Err(Opening::Never(error)) => return Err(error),
                Err(Opening::Later(error)) => {
                    // Once, however long it lasts: a node may be cut off for days.
                    if self.refusals == 0 {
                        tracing::warn!(stream = self.stream, %error, "cannot read the stream yet");
                    }
                    let pause = pause_after(&error, self.refusals);
                    self.refusals = self.refusals.saturating_add(1);
                    self.pause(pause).await?;
                }
            }
        }
        Ok(())
    }

    /// The next message. May be cancelled; then nothing is skipped.
    pub async fn next(&mut self) -> Result<Delivery, ReadError> {
        loop {
            self.opened().await?;
            if let Some(delivery) = self.heard().await? {
                return Ok(delivery);
            }
        }
    }

    /// The next message of the present consumer; `None` when that broke, so that [`Self::opened`]
    /// must make another.
    ///
    /// May be cancelled often, other than [`Self::next`]: that loses the consumer which it is just
    /// making, and makes none at all where it is cut off again and again.
    pub(crate) async fn heard(&mut self) -> Result<Option<Delivery>, ReadError> {
        loop {
            let Some((_, puller)) = &mut self.consumer else { return Ok(None) };
            let halt = self.bus.inner.shell.halt.clone();
            let delivered = tokio::select! {
                delivered = puller.next() => delivered,
                () = halt.cancelled() => return Err(ReadError::Stopped),
            };
            match delivered {
                Ok(delivery) => {
                    self.pending = delivery.pending;
                    // One that only repeats what was handed out is of no use.
                    if self.progress.note(&delivery.position, delivery.pending) {
                        self.breaks.was_of_use();
                        return Ok(Some(delivery));
                    }
                }
                Err(broken) => {
                    self.restart(broken).await;
                    return Ok(None);
                }
            }
        }
    }

    /// Whether everything that the stream held when this reader began was handed out.
    pub const fn caught_up(&self) -> bool {
        self.progress.caught_up()
    }

    /// Messages that wait behind the last one handed out, as of that moment.
    pub const fn pending(&self) -> u64 {
        self.pending
    }

    /// How many messages this reader's consumer will have handed out once everything that the
    /// stream holds now was read; `None` if it could not be asked.
    pub(crate) async fn tail(&self) -> Option<Tail> {
        let (name, _) = self.consumer.as_ref()?;
        let stream = self.bus.stream_info(&self.stream).await.ok()?;
        let end = self.end(&stream).await.ok()?;
        let info = self.bus.consumer_info(&self.stream, name).await.ok().flatten()?;
        let deliveries = info.delivered.consumer_seq.saturating_add(info.num_pending);
        Some(Tail { consumer: name.clone(), deliveries, end })
    }

    /// Whether everything up to a tail was handed out. `None` when the reader has begun again
    /// since, so that the tail means nothing any more.
    pub(crate) fn has_reached(&self, tail: &Tail) -> Option<bool> {
        let (name, puller) = self.consumer.as_ref()?;
        (*name == tail.consumer)
            .then(|| puller.received() >= tail.deliveries && self.progress.has_reached(tail.end))
    }

    /// Where the last message that was handed out stands.
    pub fn position(&self) -> Option<Position> {
        self.progress.seen().cloned()
    }

    /// The stream's incarnation, once the reader has begun.
    pub const fn incarnation(&self) -> Option<u64> {
        self.incarnation
    }

    /// Ends the reader and its consumer at once, where otherwise the server would keep the
    /// consumer for half a minute.
    pub async fn close(mut self) {
        self.discard().await;
    }

    async fn open(&mut self) -> Result<(), Opening> {
        let info = self.bus.stream_info(&self.stream).await.map_err(Opening::of(&self.stream))?;
        self.check(&info)?;
        self.progress.resolve(info.last_sequence);
        let end = self.end(&info).await.map_err(Opening::of(&self.stream))?;
        let mut config = ConsumerConfig::ordered(self.consumer_name(), &self.filters);
        self.begin(&mut config);
        let made = self.bus.create_consumer(&self.stream, &config).await;
        let made = made.map_err(Opening::of(&self.stream))?;
        self.pending = made.num_pending;
        self.progress.begin(made.num_pending, end);
        let puller = Puller::open(&self.bus, &self.stream, info.created, &config.name).await;
        let puller = puller.map_err(Opening::of(&self.stream))?;
        self.breaks.opened();
        self.consumer = Some((config.name, puller));
        Ok(())
    }

    /// Where the messages that this reader is to see end now, where only the stream's leader knows
    /// for certain: of several servers any may hold the reader's consumer, and one that has just
    /// come back lacks what the others have. `None` where the consumer's own word is enough, or
    /// nothing is there.
    async fn end(&self, info: &StreamInfo) -> Result<Option<u64>, BusError> {
        let lasting = info.max_age.is_zero() || info.max_age >= LASTING;
        if self.endless || info.leader.is_none() || !lasting || info.messages == 0 {
            return Ok(None);
        }
        if self.filters.is_empty() {
            return Ok(Some(info.last_sequence));
        }
        let mut end = None;
        for filter in &self.filters {
            let last = self.bus.last(&self.stream, filter).await?;
            end = end.max(last.and_then(|last| self.progress.concerns(&last)));
        }
        Ok(end)
    }

    /// Refuses a stream that is not the one that the position belongs to.
    fn check(&mut self, info: &StreamInfo) -> Result<(), Opening> {
        let was = *self.incarnation.get_or_insert(info.created);
        if was != info.created {
            return Err(Opening::Never(ReadError::StreamRemade {
                stream: self.stream.clone(),
                was,
                now: info.created,
            }));
        }
        let Some(next) = self.progress.next() else { return Ok(()) };
        if next > info.last_sequence.saturating_add(1) {
            return Err(Opening::Never(ReadError::Behind {
                stream: self.stream.clone(),
                position: next,
                last: info.last_sequence,
            }));
        }
        self.count_missing(next, info);
        Ok(())
    }

    /// Retention has let messages go that this reader never saw. It says so and goes on: for one
    /// that must have them all, the position's owner compares.
    fn count_missing(&self, next: u64, info: &StreamInfo) {
        let missing = info.first_sequence.saturating_sub(next);
        let wanted = next > 1 || self.progress.seen().is_some();
        if missing > 0 && wanted && info.last_sequence > 0 {
            tracing::error!(
                stream = self.stream,
                from = next,
                first = info.first_sequence,
                "messages left the stream before they were read"
            );
            let counter = self
                .bus
                .inner
                .shell
                .metrics
                .counter_with(Name::StreamMissingMessagesTotal, &[("stream", &self.stream)]);
            counter.inc_by(missing);
        }
    }

    fn begin(&self, config: &mut ConsumerConfig) {
        if let Some(sequence) = self.progress.next() {
            config.deliver_policy = "by_start_sequence";
            config.opt_start_seq = Some(sequence);
            return;
        }
        match self.progress.start() {
            Start::First | Start::Sequence(_) => {}
            Start::New => config.deliver_policy = "new",
            Start::LastPerSubject => {
                config.deliver_policy = "last_per_subject";
                if self.filters.is_empty() {
                    config.filter_subject = Some(">".to_owned());
                }
            }
            Start::Time(time) => {
                config.deliver_policy = "by_start_time";
                config.opt_start_time = Some(rfc3339(time));
            }
        }
    }

    fn consumer_name(&self) -> String {
        format!("{}-{:08x}", self.bus.inner.shell.name, rand::random::<u32>())
    }

    async fn restart(&mut self, broken: Broken) {
        tracing::debug!(
            stream = self.stream,
            reason = broken,
            seen = self.progress.seen().map(|seen| seen.sequence),
            "reading again"
        );
        let labels = [("stream", self.stream.as_str()), ("reason", broken)];
        let metrics = &self.bus.inner.shell.metrics;
        metrics.counter_with(Name::StreamReaderRestartsTotal, &labels).inc();
        self.pause_until = Some(Instant::now() + self.breaks.broken());
        // Also one that seems to be gone: its server may only be on its way down or up.
        self.discard().await;
    }

    /// Tells the server that the consumer is no longer needed. Nobody waits for the answer: a
    /// reader that may not delete it leaves it to the server, which forgets it by itself.
    async fn discard(&mut self) {
        if let Some((name, puller)) = self.consumer.take() {
            drop(puller);
            self.bus.forget_consumer(&self.stream, &name).await;
        }
    }

    async fn pause(&self, longest: Duration) -> Result<(), ReadError> {
        let pause = rand::thread_rng().gen_range(longest / 2..=longest);
        self.pause_for(pause).await
    }

    async fn pause_for(&self, pause: Duration) -> Result<(), ReadError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.bus.inner.shell.halt.cancelled() => Err(ReadError::Stopped),
        }
    }
}

/// What to wait after so many refusals in a row: what is away for a moment is read at once when it
/// is back, and what is away for long is not asked all the time.
fn pause_after(error: &BusError, refusals: u32) -> Duration {
    if matches!(error, BusError::Denied(_)) {
        return PAUSE_WITHOUT_RIGHT;
    }
    PAUSE * (1 << (refusals / 4).min(MOST_DOUBLINGS))
}

/// The end of what a stream holds at some moment, as deliveries of one consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    consumer: String,
    deliveries: u64,
    end: Option<u64>,
}

/// Why reading could not begin.
pub(super) enum Opening {
    /// It may, later.
    Later(BusError),
    /// It will not.
    Never(ReadError),
}

impl Opening {
    /// A stream that does not exist yet is waited for: workers may start before it is applied. So
    /// is a server that has too many consumers: those that nobody reads go by themselves.
    pub(super) fn of(stream: &str) -> impl Fn(BusError) -> Self + '_ {
        |source| {
            let waits = matches!(
                source,
                BusError::NoSuchStream(_) | BusError::Refused { code: CODE_TOO_MANY_CONSUMERS, .. }
            );
            if waits || source.is_transient() {
                Self::Later(source)
            } else {
                Self::Never(ReadError::Refused { stream: stream.to_owned(), source })
            }
        }
    }
}
