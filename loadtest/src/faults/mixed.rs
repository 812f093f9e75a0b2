//! Thousands of miners of both protocols for minutes, on two ingresses of which one dies and the
//! other hands over to a successor.

use super::{
    Field,
    outpost::{IDENTITY, Keys, Outpost, Terms},
};
use crate::fleet::{Fleet, Pace, Plan, Pool, WhenLost, raise_file_limit};
use anyhow::{Context as _, ensure};
use std::{net::Ipv4Addr, time::Duration};
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// Bounds that all miners of both ingresses fit into.
const LIMITS: Keys = &[("max_connections", 12_000), ("max_connections_per_address", 12_000)];
/// Both ingresses, on lanes of their own.
const POSTS: [Terms; 2] = [
    Terms { lanes: [23, 24], limits: LIMITS, deadlines: &[], newer_deadlines: &[] },
    Terms { lanes: [25, 26], limits: LIMITS, deadlines: &[], newer_deadlines: &[] },
];
/// Addresses that miners come from, 127.0.0.1 and on: each has so many ports.
const ADDRESSES: u8 = 16;
/// Files that are no miners.
const OTHER_FILES: u32 = 512;
/// How long the answers to the last shares may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Miners of both protocols.
struct Crew {
    fleets: [Fleet; 2],
    /// Longest time from the loss of a connection to work on the next: its own pause, and the
    /// handshakes of all that come back with it.
    way_back: Duration,
}

/// They stay up while shares flow; each share that is acknowledged is recorded, which the audit
/// proves.
pub(super) async fn endurance(field: &mut Field<'_>) -> anyhow::Result<()> {
    let miners = field.times(200, 10_000);
    raise_file_limit(u64::from(miners + OTHER_FILES))?;
    let mut posts = Vec::new();
    for terms in POSTS {
        posts.push(Outpost::open(field, terms).await?);
    }
    let begun = field.network.clock().monotonic();
    let mut crew = Crew::open(field, &posts, usize::try_from(miners)?).await?;
    let opened = field.network.clock().monotonic().saturating_sub(begun);
    field.note(format!("{miners} miners were let in within {opened:?}"));
    let part = field.secs(10, 200);
    crew.work(part).await?;
    let [first, second] = posts.as_mut_slice() else { anyhow::bail!("there are two ingresses") };
    first.kill_and_start(field).await?;
    crew.work(part).await?;
    first.until_open(field).await.context("the killed ingress does not come back")?;
    field.note(crew.said("one ingress was killed"));
    let visits = second.hand_over(field).await?;
    field
        .note(format!("the other handed over; {visits} visitors came meanwhile, none was refused"));
    crew.work(part).await?;
    second.until_open(field).await.context("the successor does not serve")?;
    field.note(crew.said("the other was handed over"));
    crew.end().await?;
    for post in posts {
        post.end().await?;
    }
    Ok(())
}

impl Crew {
    /// Half of the miners speak Stratum V2; of each half, each second one has either ingress first.
    async fn open(field: &Field<'_>, posts: &[Outpost], miners: usize) -> anyhow::Result<Self> {
        let interval = field.secs(4, 40);
        let mut fleets = Vec::new();
        for (place, protocol) in ["v1", "v2"].into_iter().enumerate() {
            let of = |post: &Outpost| {
                let [v1, v2] = post.pools();
                if place == 0 { v1 } else { v2 }
            };
            let pools: Vec<Pool> = posts.iter().map(of).collect();
            let first = pools.first().context("there is no pool")?.clone();
            let plan = Plan {
                pools,
                sources: (1..=ADDRESSES).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect(),
                acknowledged: Some(field.network.acknowledged_of(&format!("mixed-{protocol}"))),
                when_lost: WhenLost::ComeBack,
                ..Plan::new(first, miners / 2, IDENTITY)
            };
            let fleet = Fleet::open(&plan).await?;
            fleet.pace(Pace::Every(interval));
            fleets.push(fleet);
        }
        let fleets = fleets.try_into().map_err(|_| anyhow::anyhow!("two protocols"))?;
        Ok(Self { fleets, way_back: field.secs(5, 60) })
    }

    /// Lets them work. Who loses its pool must have work again in time.
    async fn work(&mut self, time: Duration) -> anyhow::Result<()> {
        let before = self.acknowledged();
        sleep(time).await; // time itself: miners work
        let way_back = self.way_back;
        for fleet in &mut self.fleets {
            let back = |tally: &crate::fleet::Tally| tally.breaks.count() >= tally.lost();
            fleet.until("back", way_back, back).await?;
            let longest = fleet.tally().breaks.quantile(1.0);
            ensure!(
                longest <= way_back,
                "a miner waited {longest:?} for work: {:?}",
                fleet.tally()
            );
        }
        ensure!(self.acknowledged() > before, "nothing was acknowledged for {time:?}");
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        self.fleets.iter().map(|fleet| fleet.tally().acknowledged()).sum()
    }

    fn said(&self, when: &str) -> String {
        let [v1, v2] = self.fleets.each_ref().map(|fleet| {
            let tally = fleet.tally();
            format!(
                "{} shares acknowledged, {} refused, {:?}; {} connections lost, back within {:?}",
                tally.acknowledged(),
                tally.refused(),
                tally.latencies,
                tally.lost(),
                tally.breaks.quantile(1.0),
            )
        });
        format!("{when}: V1 {v1}; V2 {v2}")
    }

    async fn end(self) -> anyhow::Result<()> {
        for mut fleet in self.fleets {
            fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
            fleet.check()?;
            fleet.close().await?;
        }
        Ok(())
    }
}
