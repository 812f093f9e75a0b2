//! What the verifier's decision costs, without a bus: reading a batch, judging every share of it,
//! writing what is said of it. Beside it the hashing alone, which nobody can spare.

use super::{
    Bench, Setting,
    feed::shares_of,
    figure::{Figure, Goal},
    meter::processor_time,
    premined::{self, Ground, Miners, NETWORK},
};
use anyhow::{Context as _, bail, ensure};
use futures_util::FutureExt as _;
use mining::{Identity, Job, ShareFields, TipWork, WorkTemplate, judge};
use share_verifier::domain::{Input, OWNERS, Rules, Verifier};
use std::sync::Arc;
use subjects::{
    BootEpoch, Exponent, Payload as _, Timestamp,
    shares::{MAX_SHARES, Submitted},
};
use worker_runtime::{
    Publication,
    clock::{Clock as _, SystemClock},
    outcome::Outcome,
    transform::{Position, Transform as _},
};

/// The decision alone.
pub(super) const BENCH: Bench = Bench {
    name: "verify",
    what: "What the verifier's decision on a share costs, beside the hashing alone. No bus.",
    measure: |setting| measure(setting).boxed(),
};

/// As many as make each share of a batch one of another miner.
const MANY_MINERS: u32 = 1_000;

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (miners, of) in [(MANY_MINERS, "each of another miner"), (1, "all of one miner")] {
        let ground = Arc::new(Ground::new(SystemClock::new().now())?);
        let miners = Arc::new(Miners::new(miners)?);
        let lanes = premined::lanes(4);
        let per_lane = usize::try_from(setting.times(50, 500))?;
        let mut runs = Runs::default();
        for run in 1..=setting.times(1, 5) {
            let epoch = BootEpoch(run.try_into()?);
            let lanes = premined::batches(&ground, &miners, &lanes, epoch, per_lane).await?;
            let batches: Vec<Publication> = lanes.into_iter().flatten().collect();
            runs.add(decide(&ground, &batches)?, hash(&ground, &batches)?);
        }
        figures.extend(runs.figures(of));
    }
    Ok(figures)
}

/// Decides on full batches and hashes them, once.
pub(super) async fn once(batches: u32) -> anyhow::Result<()> {
    let ground = Arc::new(Ground::new(SystemClock::new().now())?);
    let miners = Arc::new(Miners::new(MANY_MINERS)?);
    let count = usize::try_from(batches)?;
    let lanes = premined::lanes(1);
    let made = premined::batches(&ground, &miners, &lanes, BootEpoch(1), count).await?;
    let batches: Vec<Publication> = made.into_iter().flatten().collect();
    decide(&ground, &batches)?;
    hash(&ground, &batches)?;
    Ok(())
}

#[derive(Default)]
struct Runs {
    decided: Vec<f64>,
    hashed: Vec<f64>,
    ratios: Vec<f64>,
}

impl Runs {
    fn add(&mut self, decided: f64, hashed: f64) {
        self.decided.push(decided);
        self.hashed.push(hashed);
        self.ratios.push(decided / hashed);
    }

    fn figures(&self, of: &str) -> [Figure; 4] {
        let figure = |name: &str, unit, runs: &[f64]| {
            Figure::median(format!("verify: {name}, {of}"), unit, Goal::None, runs)
        };
        let per_second: Vec<f64> = self.decided.iter().map(|micros| 1e6 / micros).collect();
        [
            figure("decision", "us/share", &self.decided),
            figure("decisions of one core", "shares/s", &per_second),
            figure("hashing alone", "us/share", &self.hashed),
            figure("decision over hashing", "", &self.ratios),
        ]
    }
}

/// Microseconds of processor time that a verifier spends on each share. A function of its own also
/// in the program, so that its instructions can be counted.
#[inline(never)]
fn decide(ground: &Ground, batches: &[Publication]) -> anyhow::Result<f64> {
    let mut verifier = verifier(ground)?;
    let began = own_time()?;
    for (sequence, batch) in (1..).zip(batches) {
        drop(std::hint::black_box(accepted(&mut verifier, batch, sequence)?));
    }
    let spent = own_time()? - began;
    Ok(spent * 1e6 / shares_of(u64::try_from(batches.len())?))
}

/// What a verifier says of a batch, all of whose shares must count; its lane has no past.
pub(super) fn accepted(
    verifier: &mut Verifier,
    batch: &Publication,
    sequence: u64,
) -> anyhow::Result<Outcome> {
    let message = &batch.message;
    let input = Verifier::decode(message.subject.as_str(), message.kind, &message.body)?;
    let Input::Submitted(submission) = &input else { bail!("not a batch") };
    while verifier.before(&input).is_some() {
        verifier.recalled(&input);
    }
    let at = position(streams::SHARES_SUBMITTED, sequence);
    let (outcome, tally) = verifier.decide(submission, &at);
    ensure!(tally.accepted == u64::try_from(MAX_SHARES)?, "not every share counts: {tally:?}");
    Ok(outcome)
}

/// Microseconds of processor time that rebuilding and hashing takes for each share. A function of
/// its own also in the program.
#[inline(never)]
fn hash(ground: &Ground, batches: &[Publication]) -> anyhow::Result<f64> {
    let work = WorkTemplate::new(ground.template().id(), ground.template())?;
    let tip = TipWork::new(ground.tip())?;
    let mut prepared = Vec::new();
    for batch in batches {
        let batch = Submitted::decode(&batch.message.body)?;
        let payee = |job: &subjects::shares::Job| {
            anyhow::Ok(*Identity::parse(&job.identity, NETWORK)?.payee())
        };
        let payees: Vec<_> = batch.jobs.iter().map(payee).collect::<Result<_, _>>()?;
        prepared.push((batch, payees));
    }
    let began = own_time()?;
    for (batch, payees) in &prepared {
        for share in &batch.shares {
            let place = usize::try_from(share.job)?;
            let job = batch.jobs.get(place).zip(payees.get(place)).context("no job")?;
            let job = Job::of(job.0, job.1);
            let judged = judge(&work, &tip, &job, &ShareFields::from(share));
            ensure!(std::hint::black_box(judged).is_ok(), "a share does not count");
        }
    }
    Ok((own_time()? - began) * 1e6 / shares_of(u64::try_from(batches.len())?))
}

/// A verifier that has heard of the template and the tip.
pub(super) fn verifier(ground: &Ground) -> anyhow::Result<Verifier> {
    let mut verifier = Verifier::new(Rules {
        network: NETWORK,
        late_tips: 6,
        min_exponent: Exponent::MIN,
        max_proofs: usize::MAX,
    });
    let published = [ground.template().to_message(), ground.tip().to_message()];
    for (sequence, message) in (1..).zip(published) {
        let input = Verifier::decode(message.subject.as_str(), message.kind, &message.body)?;
        drop(verifier.handle(Timestamp(0), input, &position(streams::TEMPLATES, sequence)));
    }
    verifier.caught_up(streams::TEMPLATES, Timestamp(0));
    verifier.caught_up(OWNERS, Timestamp(0));
    Ok(verifier)
}

fn position(stream: &str, sequence: u64) -> Position {
    Position { stream: stream.to_owned(), incarnation: 1, sequence, stored_at: Timestamp(0) }
}

/// Seconds of processor time of this process.
pub(super) fn own_time() -> anyhow::Result<f64> {
    Ok(processor_time(std::process::id().into())?.as_secs_f64())
}
