//! Honest miners of both protocols beside whom something happens, and how long they wait.

use super::{
    Field,
    outpost::{IDENTITY, Outpost},
};
use crate::fleet::{Fleet, Pace, Plan, Tally};
use anyhow::ensure;
use std::{fmt, net::Ipv4Addr, time::Duration};
use tokio::time::sleep;

/// Miners of each protocol, and how often each sends a share.
const MINERS: usize = 20;
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the answers to their last shares may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the attack comes from too: a farm behind one address has a bad machine.
pub(super) const NAT: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// An address from which nobody attacks.
const OWN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

/// How long miners wait for the answer to a share, those of Stratum V1 and V2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub(super) p50: [Duration; 2],
    pub(super) p99: [Duration; 2],
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |wait: Duration| wait.as_secs_f64() * 1e3;
        let ([a, b], [x, y]) = (self.p50.map(millis), self.p99.map(millis));
        write!(f, "V1 p50 {a:.1} ms p99 {x:.1} ms, V2 p50 {b:.1} ms p99 {y:.1} ms")
    }
}

impl Waits {
    /// Of each the median: what one part of a run waits for, nobody else may have caused.
    pub(super) fn median(all: &[Self]) -> Self {
        let of = |wait: fn(&Self) -> [Duration; 2]| {
            let mut both = [vec![], vec![]];
            for [v1, v2] in all.iter().map(wait) {
                let [first, second] = &mut both;
                first.push(v1);
                second.push(v2);
            }
            both.map(|mut waits| {
                waits.sort_unstable();
                waits.get(waits.len() / 2).copied().unwrap_or_default()
            })
        };
        Self { p50: of(|waits| waits.p50), p99: of(|waits| waits.p99) }
    }
}

/// The miners. They leave with the value.
pub(super) struct Honest {
    fleets: [Fleet; 2],
}

impl Honest {
    /// Half of them come from [`NAT`]. What is acknowledged goes into files of this name.
    pub(super) async fn begin(
        field: &Field<'_>,
        outpost: &Outpost,
        name: &str,
    ) -> anyhow::Result<Self> {
        let [v1, v2] = outpost.pools();
        let plan = |pool, protocol: &str| Plan {
            sources: vec![NAT, OWN],
            acknowledged: Some(field.network.acknowledged_of(&format!("{name}-{protocol}"))),
            ..Plan::new(pool, MINERS, IDENTITY)
        };
        let fleets = [Fleet::open(&plan(v1, "v1")).await?, Fleet::open(&plan(v2, "v2")).await?];
        fleets.iter().for_each(|fleet| fleet.pace(Pace::Every(INTERVAL)));
        Ok(Self { fleets })
    }

    /// How long they wait in each of so many parts that last this long.
    pub(super) async fn waits(&mut self, parts: u32, part: Duration) -> anyhow::Result<Vec<Waits>> {
        let mut waits = Vec::new();
        for _ in 0..parts {
            waits.push(self.wait(part).await?);
        }
        Ok(waits)
    }

    async fn wait(&mut self, time: Duration) -> anyhow::Result<Waits> {
        self.fleets.iter().for_each(|fleet| fleet.tally().latencies.clear());
        sleep(time).await; // time itself: miners work
        for fleet in &mut self.fleets {
            fleet.check()?;
        }
        let [v1, v2] = &self.fleets;
        let of = |part| [v1, v2].map(|fleet| fleet.tally().latencies.quantile(part));
        for fleet in [v1, v2] {
            let tally = fleet.tally();
            ensure!(tally.latencies.count() > 0, "nothing is acknowledged: {tally:?}");
        }
        Ok(Waits { p50: of(0.5), p99: of(0.99) })
    }

    /// Shares that were acknowledged and refused.
    pub(super) fn shares(&self) -> [u64; 2] {
        let sum = |of: fn(&Tally) -> u64| self.fleets.iter().map(|fleet| of(fleet.tally())).sum();
        [sum(Tally::acknowledged), sum(Tally::refused)]
    }

    /// Waits for the answers to all shares, and leaves.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        for mut fleet in self.fleets {
            fleet.work(Pace::Idle, Duration::ZERO, PATIENCE).await?;
            fleet.check()?;
            fleet.close().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_part_of_five_is_chance_and_three_are_not() {
        let part = |millis| {
            let wait = Duration::from_millis(millis);
            Waits { p50: [wait / 2, wait], p99: [wait, 2 * wait] }
        };
        assert_eq!(Waits::median(&[5, 90, 6, 4, 5].map(part)), part(5));
        assert_eq!(Waits::median(&[5, 90, 80, 4, 85].map(part)), part(80));
        assert_eq!(Waits::median(&[]), Waits::default());
    }
}
