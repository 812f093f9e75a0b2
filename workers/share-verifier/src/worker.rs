//! Binds the decision to the bus: one reader for each partition that this instance holds.

use crate::{
    Config,
    domain::{Input, OWNERS, Rules, Submission, Tally, Verifier, Wait},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use subjects::{DecodeError, Lane, Payload as _, Timestamp, templates};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Context, DriveError, PublishError, Source, Worker,
    bus::{QueueConfig, ReadError},
    drive,
    lease::{HeldPartition, PartitionsConfig, partitions},
    metric::{Counter, Metrics, Name},
    outcome::Outcome,
    transform::{Position, Replay, Start, Transform},
};

/// Verifies the lanes of its partitions.
#[derive(Clone, Copy, Debug)]
pub struct ShareVerifier;

impl Worker for ShareVerifier {
    const NAME: &'static str = "share-verifier";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let rules = config.rules().map_err(anyhow::Error::msg)?;
        let bus = ctx.connect(&config.bus).await?.routes(streams::routes());
        let spread = PartitionsConfig {
            bucket: streams::LEASES.to_owned(),
            prefix: Self::NAME.to_owned(),
            count: streams::PARTITIONS,
            holder: ctx.instance().to_owned(),
            ttl: streams::LEASE,
        };
        let ack_wait = Duration::from_millis(config.ack_wait_ms);
        partitions(&ctx, &bus, &spread, |held| {
            let partition = Partition { ctx: ctx.clone(), bus: bus.clone(), rules, ack_wait };
            partition.verify(held)
        })
        .await
    }
}

/// The work on one partition.
struct Partition {
    ctx: Context<Config>,
    bus: Bus,
    rules: Rules,
    ack_wait: Duration,
}

/// Lanes whose queue was read once more, because batches of theirs were missing.
type ReadAgain = Arc<Mutex<BTreeSet<Lane>>>;

impl Partition {
    /// Verifies until the partition has to be handed over.
    ///
    /// When batches of a lane are missing, the queue is read once more from its oldest message.
    /// What is missing then will not come, and a lane that goes on so is only counted: it must not
    /// hold up the others.
    async fn verify(self, held: HeldPartition) -> anyhow::Result<()> {
        let read_again = ReadAgain::default();
        while !held.stop.is_cancelled() {
            let reading = held.stop.child_token();
            let metered = Metered {
                verifier: Verifier::new(self.rules),
                figures: Figures::new(self.ctx.metrics()),
                read_again: Arc::clone(&read_again),
                reading: reading.clone(),
                waits: 0,
            };
            let sources = self.sources(held.partition);
            match drive(&self.ctx, &self.bus, metered, sources, &reading).await {
                Ok(()) => {}
                Err(error) if is_taken_over(&error) => {
                    let partition = held.partition;
                    tracing::warn!(partition, %error, "another verifier works on this partition");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sources(&self, partition: u16) -> Vec<Source> {
        let templates = [templates::New::FILTER, templates::Tip::FILTER].map(str::to_owned);
        let owners = Source::Ordered { stream: OWNERS.to_owned(), filters: Vec::new() };
        let queue = QueueConfig {
            stream: streams::SHARES_SUBMITTED.to_owned(),
            consumer: streams::consumer_name(partition),
            filter: streams::partition_filter(partition),
            ack_wait: self.ack_wait,
        };
        let stream = streams::TEMPLATES.to_owned();
        let templates = Source::Ordered { stream, filters: templates.to_vec() };
        vec![templates, owners, Source::Queue(queue)]
    }
}

/// Whether the run ended because this instance is not the partition's verifier any more.
fn is_taken_over(error: &DriveError) -> bool {
    match error {
        DriveError::Publish { source: PublishError::Fenced { .. }, .. }
        | DriveError::Read(ReadError::TakenOver { .. }) => true,
        DriveError::Publish { .. }
        | DriveError::Read(_)
        | DriveError::EndlessReplays { .. }
        | DriveError::Stopped { .. } => false,
    }
}

/// The decision, and figures of what it decides.
struct Metered {
    verifier: Verifier,
    figures: Figures,
    read_again: ReadAgain,
    /// Ends this reading of the queue.
    reading: CancellationToken,
    /// How often in a row the batch in hand had to wait.
    waits: u32,
}

/// Waits of one batch after which somebody should know: some seconds.
const LONG_WAIT: u32 = 1_000;

impl Metered {
    fn decide(&mut self, batch: &Submission, at: &Position) -> Outcome {
        if self.is_to_be_read_again(batch) {
            self.reading.cancel();
            return Outcome::retry(Duration::ZERO);
        }
        let (outcome, tally) = self.verifier.decide(batch, at);
        self.figures.count(&tally);
        self.watch(batch, tally.waits_for);
        outcome
    }

    /// Whether batches are missing before this one, for the first time on its lane.
    fn is_to_be_read_again(&self, batch: &Submission) -> bool {
        let missing = self.verifier.missing_before(batch);
        let mut read_again = self.read_again.lock().unwrap_or_else(PoisonError::into_inner);
        if missing == 0 || !read_again.insert(batch.lane) {
            return false;
        }
        let (lane, boot_epoch) = (batch.lane.0, batch.batch.boot_epoch.0);
        let number = batch.batch.batch;
        tracing::warn!(
            lane,
            boot_epoch,
            batch = number,
            missing,
            "batches are missing: the queue is read again"
        );
        true
    }

    /// Complains once about a batch that holds up its partition for long.
    fn watch(&mut self, batch: &Submission, waits_for: Option<Wait>) {
        let Some(wait) = waits_for else {
            self.waits = 0;
            return;
        };
        self.waits = self.waits.saturating_add(1);
        if self.waits == LONG_WAIT {
            let (lane, number, awaited) = (batch.lane.0, batch.batch.batch, awaited(wait));
            tracing::error!(
                lane,
                batch = number,
                awaited,
                "a batch waits, and its partition with it"
            );
        }
    }
}

impl Transform for Metered {
    type Input = Input;

    fn decode(subject: &str, kind: &str, body: &[u8]) -> Result<Input, DecodeError> {
        Verifier::decode(subject, kind, body)
    }

    fn history(&self) -> Vec<Replay> {
        self.verifier.history()
    }

    fn start(&self, stream: &str) -> Start {
        self.verifier.start(stream)
    }

    fn before(&self, input: &Input) -> Option<Replay> {
        self.verifier.before(input)
    }

    fn recall(&mut self, past: Input, at: &Position) {
        self.verifier.recall(past, at);
    }

    fn recalled(&mut self, input: &Input) {
        self.verifier.recalled(input);
    }

    fn caught_up(&mut self, stream: &str, as_of: Timestamp) {
        self.verifier.caught_up(stream, as_of);
    }

    fn handle(&mut self, now: Timestamp, input: Input, at: &Position) -> Outcome {
        match &input {
            Input::Submitted(batch) => self.decide(batch, at),
            Input::Template(_)
            | Input::Tip(_)
            | Input::Owner { .. }
            | Input::Accepted(_)
            | Input::Refused(_) => self.verifier.handle(now, input, at),
        }
    }
}

/// What the verifier counts.
struct Figures {
    metrics: Metrics,
    accepted: Counter,
    solved: Counter,
    repeated: Counter,
    missing: Counter,
}

impl Figures {
    fn new(metrics: &Metrics) -> Self {
        Self {
            accepted: metrics.counter(Name::SharesVerifiedTotal),
            solved: metrics.counter(Name::BlocksSolvedTotal),
            repeated: metrics.counter(Name::ShareBatchesRepeatedTotal),
            missing: metrics.counter(Name::ShareBatchesMissingTotal),
            metrics: metrics.clone(),
        }
    }

    fn count(&self, tally: &Tally) {
        self.accepted.inc_by(tally.accepted);
        self.solved.inc_by(tally.solved);
        self.repeated.inc_by(tally.repeated);
        self.missing.inc_by(tally.missing_before);
        for (reason, shares) in &tally.refused {
            let labels = [("reason", reason.code())];
            self.metrics.counter_with(Name::SharesRefusedTotal, &labels).inc_by(*shares);
        }
        if let Some(wait) = tally.waits_for {
            let labels = [("for", awaited(wait))];
            self.metrics.counter_with(Name::ShareBatchesWaitingTotal, &labels).inc();
        }
    }
}

const fn awaited(wait: Wait) -> &'static str {
    match wait {
        Wait::Templates => "templates",
        Wait::Owner => "owner",
        Wait::Past => "past",
    }
}
