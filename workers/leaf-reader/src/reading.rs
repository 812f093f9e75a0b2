//! Reading one stream of one leaf, for as long as its partition is held.

use crate::{
    domain::{self, Carried, Dropped, Heard, MAX_CHUNK, MAX_CHUNK_BYTES, carry},
    position::{Bookmark, PositionError},
};
use futures_util::FutureExt as _;
use std::time::Duration;
use subjects::NodeId;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Delivery, PublishError, Traced,
    bus::{Ordered, ReadError},
    causes,
    metric::{Gauge, Metrics, Name},
};

/// Pause before a leaf that answers nonsense, or a bucket that does not answer, is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// Why reading ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadingError {
    /// Another reader goes on with this leaf.
    #[error("another reader has taken over the leaf of `{0}`")]
    TakenOver(NodeId),
    /// The process ended.
    #[error("the process is ending")]
    Stopped,
    /// A set-up that no waiting mends.
    #[error("CORE cannot be written")]
    Publish(#[from] PublishError),
}

/// One stream of one leaf, and where it goes.
pub(crate) struct Reading {
    pub(crate) core: Bus,
    /// The leaf's own JetStream.
    pub(crate) leaf: Bus,
    pub(crate) node: NodeId,
    pub(crate) stream: &'static str,
    pub(crate) figures: Figures,
}

/// How following a reader ended.
enum Ended {
    /// As it was told to.
    Told,
    /// The stream is another than the position's.
    Remade,
    /// The leaf's answers cannot be used.
    Unusable(ReadError),
}

impl Reading {
    /// Reads until `stop`, whatever the leaf, its link or the hub do meanwhile.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<(), ReadingError> {
        let Some(mut bookmark) = self.bookmark(stop).await else { return Ok(()) };
        while !stop.is_cancelled() {
            let mut reader = self.reader(&bookmark);
            let followed = self.follow(&mut reader, &mut bookmark, stop).await;
            reader.close().await;
            let node = self.node.as_str();
            match followed? {
                Ended::Told => break,
                Ended::Remade => {
                    let stream = self.stream;
                    tracing::warn!(node, stream, "the leaf's stream is new: read from its start");
                    bookmark.forget();
                }
                Ended::Unusable(error) => {
                    let (stream, cause) = (self.stream, causes(&error));
                    tracing::error!(node, stream, cause, "the leaf cannot be read: tried again");
                    pause(stop).await;
                }
            }
        }
        self.figures.waits(0);
        self.keep(&mut bookmark).await
    }

    /// The position, as soon as it can be read; `None` when told to stop first.
    async fn bookmark(&self, stop: &CancellationToken) -> Option<Bookmark> {
        while !stop.is_cancelled() {
            match Bookmark::open(&self.core, &self.node, self.stream).await {
                Ok(bookmark) => return Some(bookmark),
                Err(error) => {
                    let (node, cause) = (self.node.as_str(), causes(&error));
                    tracing::error!(node, cause, "the leaf is not read: its position is unknown");
                    pause(stop).await;
                }
            }
        }
        None
    }

    fn reader(&self, bookmark: &Bookmark) -> Ordered {
        let reader = self.leaf.ordered(self.stream, Vec::new(), bookmark.start()).endless();
        match bookmark.read() {
            Some(read) => reader.of_incarnation(read.created),
            None => reader,
        }
    }

    async fn follow(
        &mut self,
        reader: &mut Ordered,
        bookmark: &mut Bookmark,
        stop: &CancellationToken,
    ) -> Result<Ended, ReadingError> {
        loop {
            let due = bookmark.due();
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Ended::Told),
                () = until(due) => {
                    self.keep(bookmark).await?;
                    continue;
                }
                next = reader.next() => match next {
                    Ok(first) => first,
                    Err(error) => return ended(error),
                },
            };
            let (chunk, broken) = gather(first, reader);
            self.store(&chunk).await?;
            if let Some(last) = chunk.last() {
                let messages = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
                bookmark.note(&last.position, messages);
                self.figures.handled(messages);
                self.figures.waits(last.pending);
            }
            if let Some(error) = broken {
                return ended(error);
            }
        }
    }

    /// Writes the position down. One that cannot be written now is written later: it only stays
    /// behind.
    async fn keep(&self, bookmark: &mut Bookmark) -> Result<(), ReadingError> {
        match bookmark.write().await {
            Ok(()) => Ok(()),
            Err(PositionError::TakenOver) => Err(ReadingError::TakenOver(self.node.clone())),
            Err(error @ (PositionError::Bucket(_) | PositionError::Unreadable { .. })) => {
                let (node, cause) = (self.node.as_str(), causes(&error));
                tracing::warn!(node, cause, "the position is written later");
                bookmark.postpone(PAUSE);
                Ok(())
            }
        }
    }

    /// Has CORE store the messages.
    async fn store(&self, chunk: &[Delivery]) -> Result<(), ReadingError> {
        let mut carried: Vec<Carried> = Vec::with_capacity(chunk.len());
        for delivery in chunk {
            let heard = Heard {
                subject: &delivery.subject,
                body: &delivery.body,
                traceparent: delivery.traceparent.as_deref(),
                at: &delivery.position,
            };
            match carry(&self.node, heard) {
                Ok(one) => carried.push(one),
                Err(why) => self.drop_it(&delivery.subject, why),
            }
        }
        for facts in domain::by_stream(carried) {
            match self.core.publish_in_order(&facts).await {
                Ok(()) => {}
                Err(PublishError::Refused { .. }) => self.store_each(&facts).await?,
                Err(PublishError::Stopped { .. }) => return Err(ReadingError::Stopped),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Stores messages of which CORE refuses at least one.
    async fn store_each(&self, facts: &[Traced]) -> Result<(), ReadingError> {
        for fact in facts {
            match self.core.publish_in_order(std::slice::from_ref(fact)).await {
                Ok(()) => {}
                Err(PublishError::Refused { subject, .. }) => {
                    self.drop_it(&subject, Dropped::Refused);
                }
                Err(PublishError::Stopped { .. }) => return Err(ReadingError::Stopped),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn drop_it(&self, subject: &str, why: Dropped) {
        let subject: String = subject.chars().take(200).collect();
        let (node, reason) = (self.node.as_str(), why.code());
        tracing::debug!(node, subject, reason, "a message of a leaf goes no further");
        self.figures.dropped(why);
    }
}

/// Takes what has come already, up to the bounds of a chunk.
fn gather(first: Delivery, reader: &mut Ordered) -> (Vec<Delivery>, Option<ReadError>) {
    let mut bytes = first.body.len();
    let mut chunk = vec![first];
    while chunk.len() < MAX_CHUNK && bytes < MAX_CHUNK_BYTES {
        match reader.next().now_or_never() {
            Some(Ok(delivery)) => {
                bytes = bytes.saturating_add(delivery.body.len());
                chunk.push(delivery);
            }
            Some(Err(error)) => return (chunk, Some(error)),
            None => break,
        }
    }
    (chunk, None)
}

/// What the end of a reader means. A leaf can be installed anew, restored from an older copy or be
/// hostile; none of these may end the reading of others.
fn ended(error: ReadError) -> Result<Ended, ReadingError> {
    match error {
        ReadError::Stopped => Err(ReadingError::Stopped),
        ReadError::StreamRemade { .. } | ReadError::Behind { .. } => Ok(Ended::Remade),
        ReadError::TakenOver { .. } | ReadError::Refused { .. } => Ok(Ended::Unusable(error)),
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn pause(stop: &CancellationToken) {
    tokio::select! {
        () = sleep(PAUSE) => {}
        () = stop.cancelled() => {}
    }
}

/// What is counted of one reading.
pub(crate) struct Figures {
    metrics: Metrics,
    stream: &'static str,
    lag: Gauge,
    /// This reading's part of the lag.
    waiting: i64,
}

impl Figures {
    pub(crate) fn new(metrics: &Metrics, stream: &'static str) -> Self {
        let lag = metrics.gauge_with(Name::StreamLagMessages, &[("stream", stream)]);
        Self { metrics: metrics.clone(), stream, lag, waiting: 0 }
    }

    fn handled(&self, messages: u64) {
        let labels = [("stream", self.stream), ("result", "settled")];
        self.metrics.counter_with(Name::StreamHandledTotal, &labels).inc_by(messages);
    }

    fn dropped(&self, why: Dropped) {
        let labels = [("reason", why.code())];
        self.metrics.counter_with(Name::LeafMessagesDroppedTotal, &labels).inc();
    }

    /// Messages that wait behind this reading; a leaf can say any number.
    fn waits(&mut self, messages: u64) {
        const MOST: i64 = 1 << 40;
        let waiting = i64::try_from(messages).unwrap_or(MOST).min(MOST);
        self.lag.inc_by(waiting - self.waiting);
        self.waiting = waiting;
    }
}
