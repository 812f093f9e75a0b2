//! What more verifiers bring: a backlog on lanes of all partitions, judged by one, two and four.

use super::{
    Bench, Lab, Part, Scale, Setting,
    figure::{Figure, Goal},
    meter::{Meter, float},
    pipeline::routed,
    premined::{self, Ground, Ingress, Miners},
};
use crate::{
    network::{Connection, PATIENCE},
    partitions::{VERIFIER, holders},
};
use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use subjects::{
    BootEpoch, Lane,
    shares::{MAX_SHARES, Share, Submitted},
};
use tokio::{task::JoinSet, time::sleep};
use worker_runtime::{Publication, clock::Clock as _};

/// Accepted shares per second by the number of verifiers.
pub(super) const BENCH: Bench = Bench {
    name: "scaling",
    what: "Accepted shares per second by 1, 2 and 4 verifiers, from a backlog on all partitions.",
    measure: |setting| measure(setting).boxed(),
};

/// How many verifiers work at once.
const VERIFIERS: [usize; 3] = [1, 2, 4];

/// How often to look.
const EVERY: Duration = Duration::from_millis(10);

/// How shares are packed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Packing {
    /// As on a lane that is busy.
    Full,
    /// As on the lane of a node with few miners.
    Single,
}

impl Packing {
    const fn shares(self) -> usize {
        match self {
            Self::Full => MAX_SHARES,
            Self::Single => 1,
        }
    }

    /// Messages on each lane: work for some seconds.
    const fn messages_per_lane(self, scale: Scale) -> usize {
        match (self, scale) {
            (Self::Full, Scale::Short) => 40,
            (Self::Full, Scale::Full) => 400,
            (Self::Single, Scale::Short) => 200,
            (Self::Single, Scale::Full) => 1_000,
        }
    }
}

/// What one run gave.
struct Run {
    messages_per_second: f64,
    /// Processor time of all verifiers and of the hub for each share, in microseconds.
    verifiers: f64,
    hub: f64,
}

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let mut line = Line::open(setting).await?;
    let mut runs: BTreeMap<(Packing, usize), Vec<Run>> = BTreeMap::new();
    // In turn, so that a busy moment of the machine does not meet one of them alone.
    for _ in 0..setting.times(1, 5) {
        for packing in [Packing::Full, Packing::Single] {
            for verifiers in VERIFIERS {
                let run = line.run(packing, verifiers, setting.scale).await;
                let run = run.with_context(|| format!("with {verifiers} verifiers"))?;
                runs.entry((packing, verifiers)).or_default().push(run);
            }
        }
    }
    line.close().await?;
    let figures =
        |((packing, verifiers), runs): (&_, &Vec<Run>)| figures(*packing, *verifiers, runs);
    Ok(runs.iter().flat_map(figures).collect())
}

fn figures(packing: Packing, verifiers: usize, runs: &[Run]) -> [Figure; 3] {
    let shares = packing.shares();
    let figure = |what: &str, unit, values: Vec<f64>| {
        let name = format!("scaling: {what}, {shares} a message, verifiers: {verifiers}");
        Figure::median(name, unit, Goal::None, &values)
    };
    let per_second = |run: &Run| run.messages_per_second * float(shares as u64);
    [
        figure("accepted shares", "shares/s", runs.iter().map(per_second).collect()),
        figure("verifiers", "us/share", runs.iter().map(|run| run.verifiers).collect()),
        figure("hub", "us/share", runs.iter().map(|run| run.hub).collect()),
    ]
}

/// A network of servers alone, and hands on both ends of the verifiers.
struct Line {
    lab: Lab,
    ingress: Connection,
    publisher: Connection,
    verifier: Connection,
    miners: Arc<Miners>,
    lanes: Vec<Lane>,
    boot_epoch: u16,
}

impl Line {
    async fn open(setting: &Setting) -> anyhow::Result<Self> {
        let lab = Lab::of_servers(setting).await?;
        Ok(Self {
            ingress: routed(lab.network.bus_of("ingress-sv2").await?),
            publisher: routed(lab.network.bus_of("template-publisher").await?),
            verifier: lab.network.bus_of(VERIFIER).await?,
            lab,
            miners: Arc::new(Miners::new(1_000)?),
            lanes: premined::lanes(streams::PARTITIONS.into()),
            boot_epoch: 0,
        })
    }

    async fn close(self) -> anyhow::Result<()> {
        self.verifier.finish().await?;
        self.publisher.finish().await?;
        self.ingress.finish().await?;
        self.lab.end().await
    }

    /// Has a backlog verified. The clock runs once the partitions are spread over all verifiers.
    async fn run(
        &mut self,
        packing: Packing,
        verifiers: usize,
        scale: Scale,
    ) -> anyhow::Result<Run> {
        let begin = self.accepted().await?;
        let messages = self.backlog(packing, scale).await?;
        let end = begin + messages;
        let parts = self.start(verifiers).await?;
        let pids = parts.iter().map(Part::pid).collect::<anyhow::Result<Vec<_>>>()?;
        let hub = self.lab.network.status().await?.pid("servers", "hub")?;
        let (of_verifiers, of_hub) = (Meter::of(&pids)?, Meter::of(&[hub])?);
        let clock = self.lab.network.clock();
        let (first, started) = (self.accepted().await?, clock.monotonic());
        ensure!(first < end, "the backlog was gone before the verifiers had shared it");
        let deadline = started + PATIENCE;
        while self.accepted().await? < end {
            ensure!(clock.monotonic() < deadline, "the backlog is not verified in time");
            sleep(EVERY).await; // polls
        }
        let took = (clock.monotonic() - started).as_secs_f64();
        let done = end - first;
        let shares = done * u64::try_from(packing.shares())?;
        let run = Run {
            messages_per_second: float(done) / took,
            verifiers: of_verifiers.micros_per(shares)?,
            hub: of_hub.micros_per(shares)?,
        };
        for part in parts {
            part.end().await?;
        }
        ensure!(self.accepted().await? == end, "more was accepted than submitted");
        Ok(run)
    }

    /// Sequence of the last accepted message.
    async fn accepted(&self) -> anyhow::Result<u64> {
        Ok(self.verifier.bus.stream_info(streams::SHARES).await?.last_sequence)
    }

    /// Publishes a backlog on a tip and in a boot epoch that never were before; how many messages.
    async fn backlog(&mut self, packing: Packing, scale: Scale) -> anyhow::Result<u64> {
        let ground = Arc::new(Ground::new(self.lab.network.clock().now())?);
        ground.publish(&self.publisher.bus).await?;
        self.boot_epoch += 1;
        let per_lane = packing.messages_per_lane(scale);
        let mut publishing = JoinSet::new();
        for lane in &self.lanes {
            let (ground, miners) = (Arc::clone(&ground), Arc::clone(&self.miners));
            let ingress = Ingress::new(ground, miners, *lane, BootEpoch(self.boot_epoch));
            let bus = self.ingress.bus.clone();
            publishing.spawn(async move {
                for message in mined(ingress, packing, per_lane).await? {
                    bus.publish(message).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(published) = publishing.join_next().await {
            published??;
        }
        Ok(u64::try_from(per_lane * self.lanes.len())?)
    }

    /// Starts verifiers and waits until each has its share of the partitions.
    async fn start(&self, verifiers: usize) -> anyhow::Result<Vec<Part>> {
        let listen = [("HYPERHASH_HTTP__LISTEN", "127.0.0.1:0")];
        let start = |_| self.lab.start(VERIFIER, &listen);
        let parts = (0..verifiers).map(start).collect::<anyhow::Result<Vec<_>>>()?;
        let deadline = self.lab.network.clock().monotonic() + PATIENCE;
        while !is_spread(&holders(&self.verifier).await?, verifiers) {
            ensure!(self.lab.network.clock().monotonic() < deadline, "partitions are not spread");
            sleep(EVERY).await; // polls
        }
        Ok(parts)
    }
}

/// Messages of one lane, in order.
async fn mined(
    mut ingress: Ingress,
    packing: Packing,
    messages: usize,
) -> anyhow::Result<Vec<Publication>> {
    let mining = move || {
        let mut made = Vec::with_capacity(messages);
        while made.len() < messages {
            let batch = ingress.batch()?;
            match packing {
                Packing::Full => made.push(Publication::any(&batch)),
                Packing::Single => {
                    let number = u64::try_from(made.len())?;
                    let few = singles(&batch, number).take(messages - made.len());
                    made.extend(few.map(|single| Publication::any(&single)));
                }
            }
        }
        Ok(made)
    };
    tokio::task::spawn_blocking(mining).await?
}

/// The shares of a batch, each in a batch of its own; the first has this number.
fn singles(batch: &Submitted, first: u64) -> impl Iterator<Item = Submitted> {
    (first..).zip(&batch.shares).filter_map(|(number, share)| {
        let job = batch.jobs.get(usize::try_from(share.job).ok()?)?;
        let worker = batch.workers.get(usize::try_from(share.worker).ok()?)?;
        Some(Submitted {
            batch: number,
            workers: vec![worker.clone()],
            jobs: vec![job.clone()],
            shares: vec![Share { job: 0, worker: 0, ..*share }],
            ..head(batch)
        })
    })
}

/// A batch without its content.
fn head(batch: &Submitted) -> Submitted {
    Submitted {
        node: batch.node.clone(),
        workers: Vec::new(),
        jobs: Vec::new(),
        shares: Vec::new(),
        ..*batch
    }
}

/// Whether so many verifiers have all partitions, and none two more than another.
fn is_spread(holders: &BTreeMap<u16, String>, verifiers: usize) -> bool {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for holder in holders.values() {
        *counts.entry(holder).or_default() += 1;
    }
    let all = holders.len() == usize::from(streams::PARTITIONS);
    let (least, most) = (counts.values().min(), counts.values().max());
    let even = least.zip(most).is_some_and(|(least, most)| most - least <= 1);
    all && even && counts.len() == verifiers
}

#[cfg(test)]
mod tests {
    use super::*;
    use subjects::{Payload as _, Timestamp};

    #[test]
    fn a_batch_falls_into_batches_of_one_share_that_count() {
        let ground = Arc::new(Ground::new(Timestamp(1_700_000_000_000)).unwrap());
        let miners = Arc::new(Miners::new(300).unwrap());
        let batch = Ingress::new(ground, miners, Lane(1), BootEpoch(1)).batch().unwrap();
        let all: Vec<_> = singles(&batch, 7).collect();
        assert_eq!(all.len(), MAX_SHARES);
        for (place, single) in all.iter().enumerate() {
            assert_eq!(single.batch, 7 + u64::try_from(place).unwrap());
            assert_eq!(single.jobs[0].identity, batch.jobs[place].identity);
            assert_eq!(single.shares[0].nonce, batch.shares[place].nonce);
            assert_eq!(Submitted::decode(&single.encode()).unwrap(), *single);
        }
    }

    #[test]
    fn partitions_are_spread_when_every_verifier_has_its_share() {
        let of = |holder: fn(u16) -> u16| -> BTreeMap<u16, String> {
            (0..streams::PARTITIONS).map(|place| (place, holder(place).to_string())).collect()
        };
        assert!(is_spread(&of(|_| 1), 1) && is_spread(&of(|place| place % 4), 4));
        assert!(!is_spread(&of(|_| 1), 2) && !is_spread(&of(|place| place % 4), 5));
        assert!(!is_spread(&of(|place| u16::from(place > 2)), 2));
        let mut half = of(|place| place % 2);
        half.remove(&3);
        assert!(!is_spread(&half, 2) && !is_spread(&BTreeMap::new(), 0));
    }
}
