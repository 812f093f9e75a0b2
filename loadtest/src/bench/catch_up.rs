//! After an outage: a node's shares that were kept while nobody verified them, and what others'
//! miners notice of it.

use super::{
    Bench, Lab, Part, Setting,
    feed::{self, shares_of},
    figure::{Figure, Goal},
    meter::float,
    pipeline::routed,
    premined::{self, Ground, Miners},
};
use crate::network::Connection;
use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use sqlx::PgPool;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use subjects::{BootEpoch, Lane, Payload as _, shares::Accepted};
use tokio::{sync::Semaphore, time::sleep};
use tokio_util::sync::CancellationToken;
use worker_runtime::{Bus, Publication, bus::Ordered, clock::Clock, transform::Start};

/// How fast a backlog goes, and how long others wait meanwhile.
pub(super) const BENCH: Bench = Bench {
    name: "catch-up",
    what: "How fast buffered shares are recorded after an outage, and how long live ones wait.",
    measure: |setting| measure(setting).boxed(),
};

/// Miners: all shares of a batch have jobs of their own.
const MINERS: u32 = 1_000;
/// Lanes, each in another partition: of those that were cut off, and of those that were not.
const LANES: usize = 8;
/// Pause between two live batches of all lanes together: some 10 000 shares a second.
const PACE: Duration = Duration::from_millis(25);
/// Longest that the backlog may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pause between two looks at the recorder.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let parts =
        ["template-publisher", "ingress-sv2", "block-submitter", "miners", "share-verifier"];
    let lab = Lab::without(setting, &parts).await?;
    let backlog = usize::try_from(setting.times(1_000, 14_063))?;
    let before = usize::try_from(setting.times(200, 1_600))?;
    let (mut rates, mut calm, mut taken_over, mut busy) = (vec![], vec![], vec![], vec![]);
    let runs = setting.times(1, 5);
    for run in 1..=runs {
        let outage = Outage::open(&lab, BootEpoch(run.try_into()?)).await?;
        let figures = outage.measure(backlog, before).await?;
        rates.push(figures.shares_per_second);
        calm.push(figures.calm_p99_ms);
        taken_over.push(figures.taken_over_ms);
        busy.push(figures.busy_p99_ms);
    }
    lab.end().await?;
    let ratios: Vec<f64> = busy.iter().zip(&calm).map(|(busy, calm)| busy / calm).collect();
    let buffered = super::figure::Rounded(shares_of(u64::try_from(backlog)?));
    Ok(vec![
        Figure::median("catch-up: shares", "shares/s", Goal::AtLeast(100_000.0), &rates)
            .with(format!("{buffered} buffered shares, verified to recorded, live ones beside")),
        Figure::median("catch-up: live p99 before", "ms", Goal::None, &calm)
            .with("submitted to accepted, 10 000 shares/s, lanes of other partitions"),
        Figure::median("catch-up: live lanes taken over", "ms", Goal::None, &taken_over)
            .with("start of a verifier before the backlog to a verdict in each live lane"),
        Figure::median("catch-up: live p99 meanwhile", "ms", Goal::None, &busy),
        Figure::median("catch-up: live p99 meanwhile over before", "", Goal::None, &ratios),
    ])
}

/// Batches of a lane that are still to be sent.
type Batches = std::vec::IntoIter<Publication>;

struct Figures {
    shares_per_second: f64,
    calm_p99_ms: f64,
    taken_over_ms: f64,
    busy_p99_ms: f64,
}

/// A network that is about to stop verifying.
struct Outage<'a> {
    lab: &'a Lab,
    ingress: Connection,
    reader: Connection,
    database: PgPool,
    ground: Arc<Ground>,
    miners: Arc<Miners>,
    epoch: BootEpoch,
    cut_off: Vec<Lane>,
    live: Vec<Lane>,
}

impl<'a> Outage<'a> {
    async fn open(lab: &'a Lab, epoch: BootEpoch) -> anyhow::Result<Self> {
        let publisher = routed(lab.network.bus_of("template-publisher").await?);
        let ground = Arc::new(Ground::new(lab.network.clock().now())?);
        ground.publish(&publisher.bus).await?;
        publisher.finish().await?;
        let mut cut_off = premined::lanes(2 * LANES);
        let live = cut_off.split_off(LANES);
        Ok(Self {
            lab,
            ingress: routed(lab.network.bus_of("ingress-sv2").await?),
            reader: lab.network.bus_of("operator").await?,
            database: lab.network.database().await?,
            ground,
            miners: Arc::new(Miners::new(MINERS)?),
            epoch,
            cut_off,
            live,
        })
    }

    async fn measure(self, backlog: usize, before: usize) -> anyhow::Result<Figures> {
        let clock = self.lab.network.clock();
        // Ten times as many live batches as are sent before the outage: the backlog ends them.
        let calm = self.batches(&self.live, before.div_ceil(LANES) * 11).await?;
        let mut live: Vec<_> = calm.into_iter().map(Vec::into_iter).collect();
        let buffered = self.batches(&self.cut_off, backlog.div_ceil(LANES)).await?;

        let (verifier, _) = self.take_over(&mut live).await?;
        let start = feed::recorded(&self.database).await?;
        let waits = Waits::new(clock);
        let stop = CancellationToken::new();
        let sent = waits.send(&self.ingress.bus, &mut live, before, &stop);
        let sent = self.hearing(&waits, sent).await?;
        let calm_p99_ms = waits.p99_ms()?;
        self.until(start + sent).await?;
        verifier.end().await?;

        let room = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        feed::publish(&self.ingress.bus, buffered, &room).await?;
        let waiting = u64::try_from(backlog.div_ceil(LANES) * LANES)?;
        let begin = feed::recorded(&self.database).await?;
        let (verifier, took) = self.take_over(&mut live).await?;
        let taken_over_ms = millis(took)?;
        self.until(begin + waiting / 20).await?;
        let (from, began) = (feed::recorded(&self.database).await?, clock.monotonic());
        let waits = Waits::new(clock);
        let recorded = async {
            self.until(begin + waiting).await?;
            stop.cancel();
            anyhow::Ok((feed::recorded(&self.database).await?, clock.monotonic()))
        };
        let sending = waits.send(&self.ingress.bus, &mut live, usize::MAX, &stop);
        let both = async { tokio::try_join!(recorded, sending) };
        let ((end, ended), _) = self.hearing(&waits, Box::pin(both)).await?;
        let busy_p99_ms = waits.p99_ms()?;
        let shares_per_second = shares_of(end - from) / (ended - began).as_secs_f64();
        self.empty().await?;
        verifier.end().await?;
        self.ingress.finish().await?;
        self.reader.finish().await?;
        Ok(Figures { shares_per_second, calm_p99_ms, taken_over_ms, busy_p99_ms })
    }

    /// Starts a verifier, and says how long it took until each live lane had a verdict: it first
    /// takes the leases that its predecessor let go, and reads again what that one credited.
    async fn take_over(&self, live: &mut [Batches]) -> anyhow::Result<(Part, Duration)> {
        let clock = self.lab.network.clock();
        let (waits, stop) = (Waits::new(clock), CancellationToken::new());
        let started = clock.monotonic();
        let verifier = self.lab.start("share-verifier", &[])?;
        self.hearing(&waits, waits.send(&self.ingress.bus, live, LANES, &stop)).await?;
        Ok((verifier, clock.monotonic() - started))
    }

    /// Does this and hears the verdicts of live lanes meanwhile, until there is one for each batch.
    async fn hearing<T>(
        &self,
        waits: &Waits<'_>,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let filters = self.live.iter().map(|lane| format!("shares.accepted.core.{lane}")).collect();
        let mut verdicts = self.reader.bus.ordered(streams::SHARES, filters, Start::New);
        verdicts.opened().await?;
        let listened = waits.listen(&mut verdicts);
        let done = async {
            let done = work.await?;
            let deadline = self.lab.network.clock().monotonic() + PATIENCE;
            while waits.waiting() > 0 {
                let now = self.lab.network.clock().monotonic();
                ensure!(now < deadline, "{} live batches without a verdict", waits.waiting());
                sleep(BETWEEN_LOOKS).await; // polls
            }
            Ok(done)
        };
        tokio::select! {
            failed = listened => Err(failed),
            done = Box::pin(done) => done,
        }
    }

    async fn batches(&self, lanes: &[Lane], count: usize) -> anyhow::Result<Vec<Vec<Publication>>> {
        premined::batches(&self.ground, &self.miners, lanes, self.epoch, count).await
    }

    /// Waits until this message is recorded.
    async fn until(&self, message: u64) -> anyhow::Result<()> {
        let deadline = self.lab.network.clock().monotonic() + PATIENCE;
        while feed::recorded(&self.database).await? < message {
            let now = self.lab.network.clock().monotonic();
            ensure!(now < deadline, "message {message} is not recorded in time");
            sleep(BETWEEN_LOOKS).await; // polls
        }
        Ok(())
    }

    /// Waits until nothing waits for the verifier.
    async fn empty(&self) -> anyhow::Result<()> {
        let deadline = self.lab.network.clock().monotonic() + PATIENCE;
        while self.reader.bus.stream_info(streams::SHARES_SUBMITTED).await?.messages > 0 {
            let now = self.lab.network.clock().monotonic();
            ensure!(now < deadline, "the queue does not become empty");
            sleep(BETWEEN_LOOKS).await; // polls
        }
        Ok(())
    }
}

/// How long live batches wait for their verdict.
struct Waits<'a> {
    clock: &'a dyn Clock,
    sent: Mutex<BTreeMap<(Lane, u64), Duration>>,
    took: Mutex<Vec<Duration>>,
}

impl<'a> Waits<'a> {
    fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, sent: Mutex::default(), took: Mutex::default() }
    }

    /// Sends live batches at their pace, lane after lane; returns how many.
    async fn send(
        &self,
        bus: &Bus,
        lanes: &mut [Batches],
        most: usize,
        stop: &CancellationToken,
    ) -> anyhow::Result<u64> {
        let mut sent = 0;
        let mut ticks = tokio::time::interval(PACE);
        while usize::try_from(sent)? < most && !stop.is_cancelled() {
            let lane = usize::try_from(sent)? % LANES;
            let Some(batch) = lanes.get_mut(lane).and_then(Iterator::next) else { break };
            ticks.tick().await;
            self.note(&batch)?;
            bus.publish(batch).await?;
            sent += 1;
        }
        Ok(sent)
    }

    fn note(&self, batch: &Publication) -> anyhow::Result<()> {
        let batch = subjects::shares::Submitted::decode(&batch.message.body)?;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.insert((batch.lane, batch.batch), self.clock.monotonic());
        Ok(())
    }

    /// Hears verdicts until it fails.
    async fn listen(&self, verdicts: &mut Ordered) -> anyhow::Error {
        loop {
            let heard = match verdicts.next().await {
                Ok(delivery) => self.hear(&delivery.body),
                Err(error) => return error.into(),
            };
            if let Err(error) = heard {
                return error;
            }
        }
    }

    fn hear(&self, body: &[u8]) -> anyhow::Result<()> {
        let now = self.clock.monotonic();
        let message = Accepted::decode(body)?;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = sent.remove(&(message.lane, message.batch)) {
            let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner);
            took.push(now.saturating_sub(at));
        }
        Ok(())
    }

    /// Live batches without a verdict.
    fn waiting(&self) -> usize {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn p99_ms(&self) -> anyhow::Result<f64> {
        let mut took = self.took.lock().unwrap_or_else(PoisonError::into_inner).clone();
        took.sort_unstable();
        let place = took.len() * 99 / 100;
        millis(*took.get(place).context("no live batch was accepted")?)
    }
}

fn millis(time: Duration) -> anyhow::Result<f64> {
    Ok(float(u64::try_from(time.as_micros())?) / 1e3)
}
