//! One source of a running transform: its reader, and the delivery that waits for another try.

use super::Source;
use crate::{
    bus::{Bus, Delivery, Ordered, QueueConfig, ReadError, SettleError, Tail, WorkQueue},
    clock::Clock,
    metric::{Gauge, Histogram, Metrics, Name},
    transform::Start,
};
use std::{sync::Arc, time::Duration};
use subjects::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// One source, owned by the future that waits for it, so that waiting is never cut off half way.
pub(super) struct Slot {
    stream: String,
    clock: Arc<dyn Clock>,
    reader: Reader,
    waiting: Option<Waiting>,
    milestones: Milestones,
    figures: Figures,
}

enum Reader {
    Ordered(Box<Ordered>),
    Queue(Box<WorkQueue>),
}

/// A delivery that is handled again later.
struct Waiting {
    delivery: Delivery,
    until: Instant,
}

/// Moments of which it will be said that everything up to them was handled.
struct Milestones {
    /// When the reader began, until the first catch-up is told.
    began: Option<Timestamp>,
    /// The latest probe: a moment, and the stream's end at that moment.
    probe: Option<(Timestamp, Tail)>,
}

/// What a slot waits for.
pub(super) enum Ready {
    Delivery(Box<Delivery>),
    /// Everything that the stream held at this time was handed out.
    CaughtUp(Timestamp),
}

struct Figures {
    lag: Gauge,
    /// This slot's part of the lag, which it shares with others of the same stream.
    my_lag: i64,
    time: Gauge,
    latency: Histogram,
}

impl Slot {
    pub(super) async fn open(
        bus: &Bus,
        source: Source,
        start: impl FnOnce(&str) -> Start,
    ) -> Result<Box<Self>, ReadError> {
        let clock = Arc::clone(&bus.shell().clock);
        let began = Some(clock.now());
        let (stream, reader, began) = match source {
            Source::Ordered { stream, filters } => {
                let reader = bus.ordered(&stream, filters, start(&stream));
                (stream, Reader::Ordered(Box::new(reader)), began)
            }
            Source::Queue(config) => {
                let queue = bus.partition(&config).await?;
                (config.stream, Reader::Queue(Box::new(queue)), None)
            }
        };
        let figures = Figures::new(&bus.shell().metrics, &stream);
        let milestones = Milestones { began, probe: None };
        Ok(Box::new(Self { stream, clock, reader, waiting: None, milestones, figures }))
    }

    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Waits for the next delivery, or for the end of a retry's pause, or for a milestone.
    pub(super) async fn ready(
        mut self: Box<Self>,
        probes: watch::Receiver<u64>,
    ) -> (Box<Self>, Result<Ready, ReadError>) {
        let ready = self.wait_for_next(probes).await;
        (self, ready)
    }

    async fn wait_for_next(
        &mut self,
        mut probes: watch::Receiver<u64>,
    ) -> Result<Ready, ReadError> {
        if let Some(waiting) = self.waiting.take() {
            self.reader.keep_in_hand(&waiting).await;
            return Ok(Ready::Delivery(Box::new(waiting.delivery)));
        }
        let reader = match &mut self.reader {
            Reader::Queue(queue) => return queue.next().await.map(Box::new).map(Ready::Delivery),
            Reader::Ordered(reader) => reader,
        };
        reader.opened().await?;
        self.figures.lag_is(lag(reader.pending()));
        if reader.caught_up()
            && let Some(began) = self.milestones.began.take()
        {
            return Ok(Ready::CaughtUp(began));
        }
        loop {
            reader.opened().await?;
            tokio::select! {
                heard = reader.heard() => match heard? {
                    Some(delivery) => return Ok(Ready::Delivery(Box::new(delivery))),
                    None => continue,
                },
                // The driver outlives its slots, so the sender is there.
                _ = probes.changed() => {}
            }
            let as_of = self.clock.now();
            let Some(tail) = reader.tail().await else { continue };
            if reader.has_reached(&tail) == Some(true) {
                return Ok(Ready::CaughtUp(as_of));
            }
            self.milestones.probe = Some((as_of, tail));
        }
    }

    /// Milestones that the delivery just handled has reached.
    pub(super) fn milestones(&mut self) -> Vec<Timestamp> {
        let Reader::Ordered(reader) = &self.reader else { return Vec::new() };
        let mut reached = Vec::new();
        if self.waiting.is_some() {
            return reached;
        }
        if reader.caught_up() {
            reached.extend(self.milestones.began.take());
        }
        if let Some((as_of, tail)) = self.milestones.probe.take() {
            match reader.has_reached(&tail) {
                Some(true) => reached.push(as_of),
                Some(false) => self.milestones.probe = Some((as_of, tail)),
                None => {}
            }
        }
        reached
    }

    /// Keeps a delivery to be handled again.
    pub(super) fn wait(&mut self, delivery: Delivery, after: Duration) {
        self.figures.lag_is(lag(delivery.pending.saturating_add(1)));
        self.waiting = Some(Waiting { delivery, until: Instant::now() + after });
    }

    pub(super) async fn settle(&mut self, delivery: &Delivery) -> Result<(), SettleError> {
        match &mut self.reader {
            Reader::Ordered(_) => Ok(()),
            Reader::Queue(queue) => queue.settle(delivery).await,
        }
    }

    /// Notes that a delivery's effects are stored.
    pub(super) fn handled(&mut self, delivery: &Delivery, latency_ms: u64) {
        self.figures.lag_is(lag(delivery.pending));
        self.figures.time.set(i64::try_from(delivery.stored_at.0).unwrap_or(i64::MAX));
        // A latency beyond a year is a clock that is wrong.
        let latency_ms = u32::try_from(latency_ms).unwrap_or(u32::MAX);
        self.figures.latency.observe(f64::from(latency_ms));
    }
}

fn lag(messages: u64) -> i64 {
    i64::try_from(messages).unwrap_or(i64::MAX)
}

impl Reader {
    /// Sleeps until a waiting delivery's time has come; a queue is told meanwhile that it is in
    /// hand.
    async fn keep_in_hand(&self, waiting: &Waiting) {
        match self {
            Self::Ordered(_) => sleep_until(waiting.until).await,
            Self::Queue(queue) => {
                let QueueConfig { ack_wait, .. } = queue.config();
                loop {
                    queue.working(&waiting.delivery).await;
                    let pulse = Instant::now() + *ack_wait / 3;
                    sleep_until(waiting.until.min(pulse)).await;
                    if Instant::now() >= waiting.until {
                        return;
                    }
                }
            }
        }
    }
}

impl Figures {
    fn new(metrics: &Metrics, stream: &str) -> Self {
        let labels = [("stream", stream)];
        Self {
            lag: metrics.gauge_with(Name::StreamLagMessages, &labels),
            my_lag: 0,
            time: metrics.gauge_with(Name::StreamHandledTimeMs, &labels),
            latency: metrics.histogram_with(Name::StreamHandleLatencyMs, &labels),
        }
    }

    fn lag_is(&mut self, lag: i64) {
        self.lag.inc_by(lag - self.my_lag);
        self.my_lag = lag;
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        self.lag_is(0);
    }
}
