//! One stream on its way into the book: read, gather, write, again.
//!
//! While one batch is written the next one gathers, and a batch that is full waits: so nothing
//! grows when the book is slow, and batches grow by themselves when the stream is fast.

use crate::{
    Config,
    domain::{Batch, Feed, Heard, NotAdded},
    port::{Book, BookError, Written},
};
use std::{pin::pin, time::Duration};
use subjects::{HexBytes, Timestamp, parked};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Context, Delivery, Publication,
    bus::{Ordered, ReadError},
    metric::{Counter, Gauge, Histogram, Metrics, Name},
    transform::Start,
};

/// First and longest pause after a failure of the book.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Pause after the stream could not be asked.
const STREAM_PAUSE: Duration = Duration::from_secs(1);

/// One feed's recorder.
pub(crate) struct Recorder {
    pub(crate) ctx: Context<Config>,
    /// The account whose stream is read.
    pub(crate) source: Bus,
    /// The account that keeps what cannot be read.
    pub(crate) bus: Bus,
    pub(crate) feed: Feed,
    pub(crate) stop: CancellationToken,
}

/// Why following a stream ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// This recorder is to stop.
    Stopped,
    /// The book's position, or the stream itself, is not what it was: look again.
    Moved,
}

impl Recorder {
    /// Records until stopped.
    pub(crate) async fn run<B: Book>(self, mut book: B) -> anyhow::Result<()> {
        let figures = Figures::new(self.ctx.metrics(), self.feed);
        while let Some((incarnation, after)) = self.position(&mut book).await {
            let reader = self.reader(incarnation, after);
            let open = Batch::new(self.feed, incarnation, after);
            let (batches, to_write) = mpsc::channel(1);
            let mut writing = pin!(self.write_all(&mut book, to_write, &figures));
            let ended = tokio::select! {
                // What was gathered is written before the stream is left.
                gathered = self.gather(reader, open, batches, &figures) => {
                    let gathered = gathered?;
                    if writing.await == Ended::Moved { Ended::Moved } else { gathered }
                }
                written = &mut writing => written,
            };
            if ended == Ended::Stopped {
                break;
            }
        }
        self.ctx.ready(self.feed.check(), true, "standby");
        Ok(())
    }

    fn reader(&self, incarnation: u64, after: u64) -> Ordered {
        let filters = self.feed.filters().iter().map(|filter| (*filter).to_owned()).collect();
        let start = Start::Sequence(after.saturating_add(1));
        let reader = self.source.ordered(self.feed.stream(), filters, start);
        reader.of_incarnation(incarnation).endless()
    }

    /// The stream's incarnation, and how far it is in the book; `None` when stopped.
    async fn position(&self, book: &mut impl Book) -> Option<(u64, u64)> {
        loop {
            let pause = match self.source.stream_info(self.feed.stream()).await {
                Ok(info) => match book.position(self.feed, info.created).await {
                    Ok(after) => {
                        self.ctx.ready(self.feed.check(), true, "recording");
                        return Some((info.created, after));
                    }
                    Err(error) => {
                        self.complain(&error);
                        PAUSES.1
                    }
                },
                Err(error) => {
                    let stream = self.feed.stream();
                    tracing::warn!(stream, %error, "the stream cannot be asked yet");
                    self.ctx.ready(self.feed.check(), false, "the stream cannot be asked");
                    STREAM_PAUSE
                }
            };
            self.pause(pause).await?;
        }
    }

    /// Waits; `None` when stopped meanwhile.
    async fn pause(&self, pause: Duration) -> Option<()> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Some(()),
            () = self.stop.cancelled() => None,
        }
    }

    fn complain(&self, error: &BookError) {
        let metrics = self.ctx.metrics();
        metrics.counter_with(Name::DatabaseErrorsTotal, &[("reason", error.reason())]).inc();
        self.ctx.ready(self.feed.check(), false, &error.to_string());
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let feed = self.feed.reader();
        match error {
            BookError::Unavailable(_) | BookError::TimedOut(_) => {
                tracing::warn!(feed, cause, "{error}: recording waits, nothing is lost");
            }
            BookError::NotMigrated(_) | BookError::Refused(_) => {
                tracing::error!(feed, cause, "{error}: recording waits until somebody helps");
            }
        }
    }

    /// Reads the stream into batches.
    async fn gather(
        &self,
        mut reader: Ordered,
        mut open: Batch,
        batches: mpsc::Sender<Batch>,
        figures: &Figures,
    ) -> anyhow::Result<Ended> {
        let mut due = None;
        loop {
            let is_full = open.rows().len() >= self.max_rows();
            let is_due = due.is_some_and(|due| Instant::now() >= due);
            let delivery = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    if !open.is_empty() {
                        // The writer may have ended; then the position says what is missing.
                        drop(batches.send(open).await);
                    }
                    return Ok(Ended::Stopped);
                }
                Ok(permit) = batches.reserve(), if is_full || is_due => {
                    let following = open.following();
                    permit.send(std::mem::replace(&mut open, following));
                    due = None;
                    continue;
                }
                delivery = reader.next(), if !is_full => delivery,
                () = until(due), if !is_due => continue,
            };
            match delivery {
                Ok(delivery) => self.add(&mut open, &delivery).await?,
                Err(ReadError::Stopped) => return Ok(Ended::Stopped),
                Err(error @ ReadError::StreamRemade { .. }) => {
                    tracing::error!(%error, "recording begins anew with the new stream");
                    return Ok(Ended::Moved);
                }
                Err(error) => return Err(error.into()),
            }
            figures.read.inc();
            figures.lag.set(i64::try_from(reader.pending()).unwrap_or(i64::MAX));
            due = due.or_else(|| Some(Instant::now() + self.max_wait()));
        }
    }

    async fn add(&self, open: &mut Batch, delivery: &Delivery) -> anyhow::Result<()> {
        let heard = Heard {
            sequence: delivery.position.sequence,
            stored_at: delivery.position.stored_at,
            kind: &delivery.kind,
            body: &delivery.body,
        };
        match open.add(heard) {
            Ok(()) => Ok(()),
            Err(NotAdded::Unreadable(error)) => self.park(delivery, error.to_string()).await,
            Err(NotAdded::OutOfOrder(error)) => Err(error.into()),
        }
    }

    fn max_rows(&self) -> usize {
        usize::try_from(self.ctx.config.load().max_batch_rows.get()).unwrap_or(usize::MAX)
    }

    fn max_wait(&self) -> Duration {
        Duration::from_millis(self.ctx.config.load().max_wait_ms)
    }

    /// Writes batches until there are no more, or until one does not follow the book's position.
    async fn write_all(
        &self,
        book: &mut impl Book,
        mut batches: mpsc::Receiver<Batch>,
        figures: &Figures,
    ) -> Ended {
        while let Some(batch) = batches.recv().await {
            match self.write(book, &batch, figures).await {
                Some(Written::Whole) => {}
                // An earlier try had succeeded, and its answer was lost.
                Some(Written::Elsewhere { position }) if position == batch.through() => {}
                Some(Written::Elsewhere { position }) => {
                    let (feed, after) = (self.feed.reader(), batch.after());
                    tracing::warn!(feed, after, position, "another recorder has moved on");
                    return Ended::Moved;
                }
                None => return Ended::Stopped,
            }
            figures.written(&batch, self.ctx.now());
        }
        Ended::Stopped
    }

    /// Writes a batch, however long it takes; `None` when stopped before it was.
    async fn write(
        &self,
        book: &mut impl Book,
        batch: &Batch,
        figures: &Figures,
    ) -> Option<Written> {
        let mut pause = PAUSES.0;
        loop {
            tokio::select! {
                biased;
                () = self.ctx.writable() => {}
                () = self.stop.cancelled() => return None,
            }
            let began = self.ctx.clock().monotonic();
            match book.record(batch).await {
                Ok(written) => {
                    let took = self.ctx.clock().monotonic().saturating_sub(began);
                    figures.commit.observe(took.as_secs_f64() * 1_000.0);
                    self.ctx.ready(self.feed.check(), true, "recording");
                    return Some(written);
                }
                Err(error) => self.complain(&error),
            }
            self.pause(pause).await?;
            pause = PAUSES.1.min(pause * 2);
        }
    }

    /// Sets a message aside for a person.
    async fn park(&self, delivery: &Delivery, reason: String) -> anyhow::Result<()> {
        let position = &delivery.position;
        let (stream, sequence) = (&position.stream, position.sequence);
        tracing::error!(stream, sequence, reason, "a message is set aside: a person must look");
        let kept = delivery.body.get(..parked::MAX_KEPT_BODY).unwrap_or(&delivery.body);
        let message = parked::Parked {
            worker: self.ctx.name().to_owned(),
            reason,
            stream: stream.clone(),
            stream_sequence: sequence,
            subject: delivery.subject.clone(),
            kind: delivery.kind.clone(),
            body: HexBytes(kept.to_vec()),
            at: self.ctx.now(),
        };
        self.bus.publish(Publication::any(&message)).await?;
        Ok(())
    }
}

/// Waits until then; for ever, if there is nothing to wait for.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// What a feed counts.
struct Figures {
    read: Counter,
    rows: Counter,
    shares: Counter,
    commit: Histogram,
    lag: Gauge,
    time: Gauge,
    latency: Histogram,
}

impl Figures {
    fn new(metrics: &Metrics, feed: Feed) -> Self {
        let stream = [("stream", feed.stream())];
        let read = [("stream", feed.stream()), ("result", "read")];
        Self {
            read: metrics.counter_with(Name::StreamHandledTotal, &read),
            rows: metrics.counter_with(Name::RowsRecordedTotal, &[("feed", feed.reader())]),
            shares: metrics.counter(Name::SharesRecordedTotal),
            commit: metrics.histogram(Name::RecordCommitMs),
            lag: metrics.gauge_with(Name::StreamLagMessages, &stream),
            time: metrics.gauge_with(Name::StreamHandledTimeMs, &stream),
            latency: metrics.histogram_with(Name::StreamHandleLatencyMs, &stream),
        }
    }

    fn written(&self, batch: &Batch, now: Timestamp) {
        let count = |rows| u64::try_from(rows).unwrap_or(u64::MAX);
        self.rows.inc_by(count(batch.rows().len()));
        self.shares.inc_by(count(batch.rows().shares.len()));
        if let Some(newest) = batch.newest() {
            self.time.set(i64::try_from(newest.0).unwrap_or(i64::MAX));
            let millis = u32::try_from(now.millis_since(newest)).unwrap_or(u32::MAX);
            self.latency.observe(f64::from(millis));
        }
    }
}

#[cfg(test)]
mod tests;
