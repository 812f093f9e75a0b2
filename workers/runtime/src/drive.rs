//! The loop of every transform: decode, decide, publish and wait, settle.

mod park;
mod slot;

pub(crate) use park::parked;

use crate::{
    Context,
    bus::{Bus, Delivery, Heard, PublishError, QueueConfig, ReadError, SettleError},
    context::Shell,
    metric::Name,
    outcome::{Disposition, Expect, Publication},
    trace,
    transform::{MAX_REPLAYS, Position, Replay, Transform},
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use slot::{Ready, Slot};
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Something that a transform hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A part of a stream in order, from where [`Transform::start`] says.
    Ordered {
        /// The stream.
        stream: String,
        /// Subjects wanted; empty means all.
        filters: Vec<String>,
    },
    /// A partition of a work queue; each delivery is settled when its effects are stored.
    Queue(QueueConfig),
}

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// A fact could not be published.
    #[error("handling {stream} sequence {sequence}")]
    Publish {
        /// Stream of the delivery in hand.
        stream: String,
        /// Its sequence.
        sequence: u64,
        /// Why not.
        #[source]
        source: PublishError,
    },
    /// A stream cannot be read.
    #[error("a source cannot be read")]
    Read(#[from] ReadError),
    /// The transform found that something which must hold does not.
    #[error("{reason} (found in {stream} sequence {sequence})")]
    Stopped {
        /// Stream of the delivery in hand.
        stream: String,
        /// Its sequence.
        sequence: u64,
        /// What it found.
        reason: String,
    },
    /// The transform asks for its past without end.
    #[error("{worker} asks for more than {MAX_REPLAYS} replays before one delivery")]
    EndlessReplays {
        /// The worker.
        worker: &'static str,
    },
}

/// Runs a transform until `stop` is cancelled: recalls its history, then hears its sources.
///
/// What is in hand when `stop` comes is finished. A `Retry` holds up its own source only. A
/// contradiction, a fence or a remade stream ends the run with an error that says what to do.
pub async fn drive<T: Transform, C>(
    ctx: &Context<C>,
    bus: &Bus,
    transform: T,
    sources: Vec<Source>,
    stop: &CancellationToken,
) -> Result<(), DriveError> {
    drive_to(ctx, bus, bus, transform, sources, stop).await
}

/// The same for a worker that joins two accounts: it hears `reads` and publishes to `writes`.
///
/// A replay of a stream that `writes` has a route to is read there: it is the worker's own past.
/// What is set aside goes to `reads`.
pub async fn drive_to<T: Transform, C>(
    ctx: &Context<C>,
    reads: &Bus,
    writes: &Bus,
    transform: T,
    sources: Vec<Source>,
    stop: &CancellationToken,
) -> Result<(), DriveError> {
    let mut driver = Driver {
        shell: Arc::clone(ctx.shell()),
        reads: reads.clone(),
        writes: writes.clone(),
        transform,
        stop: stop.clone(),
    };
    let halt = ctx.shell().halt.clone();
    tokio::select! {
        result = driver.run(sources) => match result {
            Err(error) if halt.is_cancelled() => {
                tracing::warn!(%error, "given up at the end of the grace");
                Ok(())
            }
            result => result,
        },
        () = halt.cancelled() => Ok(()),
    }
}

struct Driver<T> {
    shell: Arc<Shell>,
    reads: Bus,
    writes: Bus,
    transform: T,
    stop: CancellationToken,
}

/// Whether the run goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Stop,
}

impl<T: Transform> Driver<T> {
    async fn run(&mut self, sources: Vec<Source>) -> Result<(), DriveError> {
        let stop = self.stop.clone();
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            opened = self.open(sources) => opened?,
        };
        let probes = watch::Sender::new(0_u64);
        let mut slots: FuturesUnordered<_> =
            opened.into_iter().map(|slot| slot.ready(probes.subscribe())).collect();
        loop {
            let (mut slot, ready) = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                Some(ready) = slots.next() => ready,
                else => return Ok(()),
            };
            match ready? {
                Ready::CaughtUp(as_of) => self.transform.caught_up(slot.stream(), as_of),
                Ready::Delivery(delivery) => {
                    let parent = trace::follow(delivery.traceparent.as_deref());
                    let handling = self.take(&mut slot, *delivery);
                    if Box::pin(trace::within(parent, handling)).await? == Flow::Stop {
                        return Ok(());
                    }
                    for as_of in slot.milestones() {
                        self.transform.caught_up(slot.stream(), as_of);
                    }
                }
            }
            if slot.is_waiting() {
                probes.send_modify(|count| *count = count.wrapping_add(1));
            }
            slots.push(slot.ready(probes.subscribe()));
        }
    }

    /// Recalls the history, then opens all sources.
    async fn open(&mut self, sources: Vec<Source>) -> Result<Vec<Box<Slot>>, DriveError> {
        for replay in self.transform.history() {
            self.replay(replay).await?;
        }
        let mut slots = Vec::new();
        for source in sources {
            let start = |stream: &str| self.transform.start(stream);
            slots.push(Slot::open(&self.reads, source, start).await?);
        }
        Ok(slots)
    }

    /// Recalls everything that an input needs; cut off when the run must stop.
    async fn recall_before(&mut self, input: &T::Input) -> Result<Flow, DriveError> {
        let stop = self.stop.clone();
        for _ in 0..MAX_REPLAYS {
            let Some(replay) = self.transform.before(input) else { return Ok(Flow::On) };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Flow::Stop),
                replayed = self.replay(replay) => replayed?,
            }
            self.transform.recalled(input);
        }
        Err(DriveError::EndlessReplays { worker: self.shell.name })
    }

    /// Hears a part of a stream up to its present end.
    async fn replay(&mut self, replay: Replay) -> Result<(), DriveError> {
        let stream = replay.stream.as_str();
        let bus = if self.writes.keeps(stream) { &self.writes } else { &self.reads };
        let mut reader = bus.ordered(stream, replay.filters.clone(), replay.from);
        reader.opened().await?;
        let mut heard = Heard::default();
        while !reader.caught_up() {
            let delivery = reader.next().await?;
            heard.note(&delivery);
            match T::decode(&delivery.subject, &delivery.kind, &delivery.body) {
                Ok(past) => self.transform.recall(past, &delivery.position),
                // It was parked when it was new, so it has no part in the state.
                Err(error) => {
                    let sequence = delivery.position.sequence;
                    tracing::warn!(stream, sequence, %error, "an unreadable message of the past is skipped");
                }
            }
        }
        reader.close().await;
        self.writes.chains().continue_from(&replay, heard).await;
        Ok(())
    }

    /// Takes one delivery in hand, and settles it unless it must wait.
    async fn take(&mut self, slot: &mut Slot, delivery: Delivery) -> Result<Flow, DriveError> {
        if self.held_back().await == Flow::Stop {
            return Ok(Flow::Stop);
        }
        let input = match T::decode(&delivery.subject, &delivery.kind, &delivery.body) {
            Ok(input) => input,
            Err(error) => {
                let reason = format!("unreadable: {error}");
                self.park(&delivery, &reason).await?;
                return self.settle(slot, delivery, "parked").await;
            }
        };
        if self.recall_before(&input).await? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        let now = self.shell.clock.now();
        let outcome = self.transform.handle(now, input, &delivery.position);
        for publication in outcome.publish {
            self.publish(&self.writes, &delivery, publication).await?;
        }
        match outcome.disposition {
            Disposition::Settle => self.settle(slot, delivery, "handled").await,
            Disposition::Retry { after } => {
                self.count(&delivery, "retried");
                slot.wait(delivery, after);
                Ok(Flow::On)
            }
            Disposition::Park { reason } => {
                self.park(&delivery, &reason).await?;
                self.settle(slot, delivery, "parked").await
            }
            Disposition::Stop { reason } => {
                let Position { stream, sequence, .. } = delivery.position;
                Err(DriveError::Stopped { stream, sequence, reason })
            }
        }
    }

    /// Waits while the operator holds all decisions back.
    async fn held_back(&self) -> Flow {
        tokio::select! {
            () = self.shell.writable() => Flow::On,
            () = self.stop.cancelled() => Flow::Stop,
        }
    }

    async fn publish(
        &self,
        bus: &Bus,
        cause: &Delivery,
        fact: Publication,
    ) -> Result<(), DriveError> {
        let stored = bus.publish(fact).await;
        stored.map(drop).map_err(|source| DriveError::Publish {
            stream: cause.position.stream.clone(),
            sequence: cause.position.sequence,
            source,
        })
    }

    async fn park(&self, delivery: &Delivery, reason: &str) -> Result<(), DriveError> {
        let position = &delivery.position;
        tracing::error!(
            stream = position.stream,
            sequence = position.sequence,
            subject = delivery.subject,
            reason,
            "a message is set aside: a person must look at it"
        );
        let Delivery { subject, kind, body, .. } = delivery;
        let now = self.shell.clock.now();
        let message = parked(self.shell.name, position, subject, kind, body, reason, now);
        let fact = Publication { message, expect: Expect::Any };
        self.publish(&self.reads, delivery, fact).await
    }

    async fn settle(
        &self,
        slot: &mut Slot,
        delivery: Delivery,
        result: &'static str,
    ) -> Result<Flow, DriveError> {
        match slot.settle(&delivery).await {
            Ok(()) => {}
            Err(SettleError::TakenOver(error)) => return Err(error.into()),
            Err(error @ SettleError::Unconfirmed) => {
                tracing::warn!(sequence = delivery.position.sequence, %error, "not settled");
                return Ok(Flow::On);
            }
        }
        self.count(&delivery, result);
        let now = self.shell.clock.now();
        slot.handled(&delivery, now.millis_since(delivery.stored_at));
        Ok(Flow::On)
    }

    fn count(&self, delivery: &Delivery, result: &'static str) {
        let labels = [("stream", delivery.position.stream.as_str()), ("result", result)];
        self.shell.metrics.counter_with(Name::StreamHandledTotal, &labels).inc();
    }
}
