//! Binds the decision to the bus.

use crate::{
    Config,
    domain::{Place, Tracker},
    entry::Entry,
};
use anyhow::Context as _;
use std::time::Duration;
use subjects::{
    DecodeError, Payload, Timestamp,
    rounds::{Closed, Progress, SliceClosed},
    shares::Accepted,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Context, Source, Worker,
    bus::ConnectError,
    drive,
    lease::{Held, LeaseConfig, active_standby},
    metric::{Counter, Metrics, Name},
    outcome::Outcome,
    transform::{Position, Replay, Start, Transform},
};

/// The decision, as the bus drives it.
#[derive(Debug)]
pub struct Rounds {
    tracker: Tracker,
    /// Where in `ROUNDS` to recall the past from.
    recall_from: Start,
    /// How the open round stands, for whoever wants to tell.
    progress: watch::Sender<Progress>,
    slices_closed: Counter,
    rounds_closed: Counter,
}

/// A message, as this worker hears it.
#[derive(Clone, Debug)]
pub enum Heard {
    /// From `SHARES`.
    Entry(Box<Entry>),
    /// From its own past in `ROUNDS`.
    Slice(Box<SliceClosed>),
}

impl Rounds {
    /// Recalls the past from `recall_from` in `ROUNDS`: the first message, or a slice that ended a
    /// round.
    pub fn new(recall_from: Start, metrics: &Metrics) -> Self {
        let tracker = Tracker::new();
        Self {
            progress: watch::Sender::new(tracker.progress(Timestamp::default())),
            tracker,
            recall_from,
            slices_closed: metrics.counter(Name::SlicesClosedTotal),
            rounds_closed: metrics.counter(Name::RoundsClosedTotal),
        }
    }

    /// How the open round stands, from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn count(&mut self, now: Timestamp, entry: &Entry, at: Place) -> Outcome {
        let slices = self.closed_slices();
        let facts = match self.tracker.count(entry, at) {
            Ok(facts) => facts,
            Err(fault) => return Outcome::stop(fault.to_string()),
        };
        if self.closed_slices() > slices {
            self.slices_closed.inc();
            let ends_round = self.tracker.last_slice().is_some_and(|slice| slice.block.is_some());
            self.rounds_closed.inc_by(ends_round.into());
        }
        self.progress.send_replace(self.tracker.progress(now));
        let outcome = Outcome::facts(facts);
        match &entry.content {
            Ok(_) => outcome,
            Err(reason) => Outcome { disposition: Outcome::park(reason).disposition, ..outcome },
        }
    }

    fn closed_slices(&self) -> u64 {
        self.tracker.last_slice().map_or(0, |slice| slice.slice)
    }
}

impl Transform for Rounds {
    type Input = Heard;

    fn decode(subject: &str, _kind: &str, body: &[u8]) -> Result<Heard, DecodeError> {
        if SliceClosed::parse_subject(subject).is_ok() {
            return Ok(Heard::Slice(Box::new(SliceClosed::decode(body)?)));
        }
        // Whatever is in SHARES is a link of the chain, readable or not.
        Ok(Heard::Entry(Box::new(Entry::read(body))))
    }

    fn history(&self) -> Vec<Replay> {
        vec![
            Replay {
                stream: streams::ROUNDS.to_owned(),
                filters: vec![SliceClosed::FILTER.to_owned()],
                from: self.recall_from,
            },
            // Only to learn which incarnation of SHARES there is now.
            Replay {
                stream: streams::SHARES.to_owned(),
                filters: vec![Accepted::FILTER.to_owned()],
                from: Start::LastPerSubject,
            },
        ]
    }

    fn start(&self, _stream: &str) -> Start {
        self.tracker.resume_at().map_or(Start::First, Start::Sequence)
    }

    fn recall(&mut self, past: Heard, at: &Position) {
        match past {
            Heard::Slice(slice) => self.tracker.recall(*slice),
            Heard::Entry(_) => self.tracker.meet_record(at.incarnation),
        }
    }

    fn handle(&mut self, now: Timestamp, input: Heard, at: &Position) -> Outcome {
        let place = Place { incarnation: at.incarnation, sequence: at.sequence };
        match input {
            Heard::Entry(entry) => self.count(now, &entry, place),
            Heard::Slice(_) => Outcome::settle(),
        }
    }
}

/// The worker.
#[derive(Debug)]
pub struct RoundTracker;

impl Worker for RoundTracker {
    const NAME: &'static str = "round-tracker";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let bus = match ctx.connect(&ctx.config.load().bus).await {
            Err(ConnectError::Stopped) => return Ok(()),
            bus => bus?.routes(streams::routes()),
        };
        let lease = LeaseConfig {
            bucket: streams::LEASES.to_owned(),
            key: format!("{}.active", Self::NAME),
            holder: ctx.instance().to_owned(),
            ttl: streams::LEASE,
        };
        active_standby(&ctx, &bus, &lease, |held| track(&ctx, &bus, held)).await
    }
}

/// Tracks while the lease is held.
async fn track(ctx: &Context<Config>, bus: &Bus, held: Held) -> anyhow::Result<()> {
    let rounds = Rounds::new(recall_from(bus).await?, ctx.metrics());
    let progress = rounds.progress();
    let filters = vec![Accepted::FILTER.to_owned()];
    let shares = Source::Ordered { stream: streams::SHARES.to_owned(), filters };
    let telling = tell(ctx, bus, progress, &held.lost);
    tokio::select! {
        result = drive(ctx, bus, rounds, vec![shares], &held.lost) => Ok(result?),
        result = telling => result,
    }
}

/// The slice with which the last round ended: all that the open round needs comes after it, and
/// its own fact repeats a round's end that may never have been said.
async fn recall_from(bus: &Bus) -> anyhow::Result<Start> {
    let Some(last) = bus.last(streams::ROUNDS, Closed::FILTER).await? else {
        return Ok(Start::First);
    };
    let number = Closed::decode(&last.body)?.last_slice;
    let subject = SliceClosed::FORM.replace("{slice}", &number.to_string());
    let slice = bus.last(streams::ROUNDS, &subject).await?.with_context(|| {
        format!("ROUNDS holds `{}` but not `{subject}`: restore the stream", last.subject)
    })?;
    Ok(Start::Sequence(slice.position.sequence))
}

/// Says how the round stands, at most once an interval, until `stop`.
async fn tell(
    ctx: &Context<Config>,
    bus: &Bus,
    mut progress: watch::Receiver<Progress>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    while stop.run_until_cancelled(progress.changed()).await.is_some_and(|changed| changed.is_ok())
    {
        let message = progress.borrow_and_update().to_message();
        if let Err(error) = bus.emit(message.subject.as_str(), message.body.into()).await {
            tracing::debug!(%error, "the round's progress is not heard");
        }
        let interval = Duration::from_millis(ctx.config.load().progress_interval_ms);
        if stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_none() {
            break;
        }
    }
    // What is in hand is finished by the loop beside this one.
    std::future::pending().await
}
