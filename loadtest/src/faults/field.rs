//! What a scenario may do.

use super::Disks;
use crate::network::{self, Network, Status};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::time::Duration;
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As little as shows something: every test run.
    Short,
    /// Until it should have shown.
    Full,
}

/// A network under fire.
#[derive(Debug)]
pub struct Field<'a> {
    /// The network.
    pub network: &'a Network,
    /// The disks of its servers, if they have disks of their own.
    pub disks: &'a Disks,
    /// How much is done to it.
    pub scale: Scale,
    chance: StdRng,
    /// What happened that a reader of the result should know.
    pub notes: Vec<String>,
}

impl<'a> Field<'a> {
    /// A field on which everything follows from the seed.
    pub fn new(network: &'a Network, disks: &'a Disks, scale: Scale, seed: u64) -> Self {
        Self { network, disks, scale, chance: StdRng::seed_from_u64(seed), notes: Vec::new() }
    }

    /// `short` or `full`, by the scale.
    pub const fn times(&self, short: u32, full: u32) -> u32 {
        match self.scale {
            Scale::Short => short,
            Scale::Full => full,
        }
    }

    /// `short` or `full` seconds, by the scale.
    pub fn secs(&self, short: u32, full: u32) -> Duration {
        Duration::from_secs(self.times(short, full).into())
    }

    /// Lets the network work for a random while up to `longest`, so that the next fault meets it
    /// anywhere.
    pub async fn work_for_a_while(&mut self, longest: Duration) {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        let while_it_works = Duration::from_micros(self.chance.gen_range(0..=micros));
        sleep(while_it_works).await; // time itself: a fault at a random moment
    }

    /// These in a random order.
    pub fn shuffled<T>(&mut self, mut all: Vec<T>) -> Vec<T> {
        all.shuffle(&mut self.chance);
        all
    }

    /// A seed for chances that something else draws.
    pub fn seed(&mut self) -> u64 {
        self.chance.r#gen()
    }

    /// Tells the reader of the result.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Kills a process several times, each time while the network works.
    ///
    /// # Errors
    ///
    /// When the network does not start it again, or does not become ready.
    pub async fn kill_again_and_again(&mut self, group: &str, name: &str) -> anyhow::Result<()> {
        for _ in 0..self.times(1, 5) {
            self.kill_while_it_works(group, name).await?;
        }
        Ok(())
    }

    /// The same once.
    ///
    /// # Errors
    ///
    /// When the network does not start it again, or does not become ready.
    pub async fn kill_while_it_works(&mut self, group: &str, name: &str) -> anyhow::Result<()> {
        self.work_for_a_while(Duration::from_secs(2)).await;
        self.network.kill(group, name).await?;
        self.network.ready().await?;
        Ok(())
    }

    /// Waits until the miners have `more` acknowledged shares than now.
    ///
    /// # Errors
    ///
    /// When they do not get them.
    pub async fn until_acknowledged(&self, more: usize) -> anyhow::Result<()> {
        let wanted = self.network.acknowledged_count()?.saturating_add(more);
        let deadline = self.network.clock().monotonic() + network::PATIENCE;
        while self.network.acknowledged_count()? < wanted {
            anyhow::ensure!(
                self.network.clock().monotonic() < deadline,
                "no {more} shares were acknowledged within {:?}",
                network::PATIENCE
            );
            sleep(Duration::from_millis(100)).await; // polls
        }
        Ok(())
    }

    /// Waits until `more` shares are recorded than now: the whole line works.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn until_recorded_more(&self, more: u64) -> anyhow::Result<()> {
        let recorded = |status: &Status| status.number("/shares/recorded").unwrap_or_default();
        let wanted = recorded(&self.network.status().await?).saturating_add(more);
        self.network.until("recording", |status| recorded(status) >= wanted).await?;
        Ok(())
    }

    /// Waits until Core has judged what was stored, at least for a moment, and recorded it.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn until_judged(&self) -> anyhow::Result<Status> {
        let judged = |status: &Status| status.number("/stages/verify/lag").ok() == Some(0);
        self.network.until("judged", judged).await?;
        self.until_recorded().await
    }

    /// Waits until the status says that everything accepted is recorded.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn until_recorded(&self) -> anyhow::Result<Status> {
        let level = |status: &Status| {
            let [accepted, recorded, lag] =
                ["/shares/accepted", "/shares/recorded", "/stages/record/lag"]
                    .map(|path| status.number(path).ok());
            recorded.is_some() && recorded <= accepted && lag == Some(0)
        };
        self.network.until("recorded", level).await
    }
}
