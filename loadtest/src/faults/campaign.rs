//! Running scenarios, each network for as many of them as it survives.

use super::{Disks, Finding, Needs, Scale, Scenario, run};
use crate::network::Network;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Scenarios under one seed.
#[derive(Debug)]
pub struct Campaign {
    /// The program under test.
    pub program: PathBuf,
    /// Hashes per second of each of the two miners.
    pub hashrate: u64,
    /// How much of each.
    pub scale: Scale,
    /// Where all chances come from.
    pub seed: u64,
    /// Where the networks are.
    pub folder: PathBuf,
}

/// How a scenario ended.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Ended {
    /// Nothing was lost, doubled or stated otherwise.
    Clean(Finding),
    /// Something was, or the network did not recover.
    Failed {
        /// The scenario.
        scenario: &'static str,
        /// From which it can be run again.
        seed: u64,
        /// What went wrong.
        failed: String,
        /// Data and logs of its network.
        network: PathBuf,
    },
}

impl Campaign {
    /// Runs scenarios and tells how each ended. What failed may have left a network that fails
    /// others too, so that the next one begins on another.
    ///
    /// # Errors
    ///
    /// When a network does not come up, or what is told is not taken.
    pub async fn run(
        &self,
        chosen: &[&Scenario],
        mut tell: impl FnMut(&Ended) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut networks = 0_u32;
        for needs in Needs::ALL {
            let mut rest = chosen.iter().filter(|scenario| scenario.needs == needs).peekable();
            while rest.peek().is_some() {
                networks += 1;
                let folder = self.folder.join(networks.to_string());
                std::fs::create_dir_all(&folder)?;
                let (network, disks) = self.network(needs, &folder).await?;
                for scenario in rest.by_ref() {
                    let ended = self.one(scenario, &network, &disks).await;
                    tell(&ended)?;
                    if matches!(ended, Ended::Failed { .. }) {
                        break;
                    }
                }
                network.down().await?;
            }
        }
        Ok(())
    }

    async fn one(&self, scenario: &Scenario, network: &Network, disks: &Disks) -> Ended {
        match run(scenario, network, disks, self.scale, self.seed).await {
            Ok(finding) => Ended::Clean(finding),
            Err(error) => Ended::Failed {
                scenario: scenario.name,
                seed: self.seed,
                failed: format!("{error:#}"),
                network: network.data().to_owned(),
            },
        }
    }

    /// Starts a network in `folder` that has what scenarios need.
    async fn network(&self, needs: Needs, folder: &Path) -> anyhow::Result<(Network, Disks)> {
        let data = folder.join(needs.name());
        let hashrate = self.hashrate.to_string();
        let options = [&["--hashrate", &hashrate], needs.options()].concat();
        let disks = match needs {
            Needs::Nothing | Needs::TwoProviders | Needs::ThreeHubServers => Disks::default(),
            Needs::Disks => {
                // Only a network that ran once has stores that can be moved.
                Network::up(&self.program, &data, &options).await?.down().await?;
                Disks::under(&data, folder).await?
            }
        };
        Ok((Network::up(&self.program, &data, &options).await?, disks))
    }
}
