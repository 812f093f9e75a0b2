//! An ingress of Core for both protocols at one port, with bounds that a scenario can reach.

use super::{Field, instance::Instance, post::free_address};
use crate::{
    bench::meter,
    fleet::{Fleet, LineAddress, Plan, Pool},
    network::PATIENCE,
};
use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use stratum_v2::Endpoint;
use tokio::{net::TcpStream, time::sleep};
use toml::{Table, Value};
use worker_runtime::clock::Clock as _;

/// Its workers, which share a process and a port.
const WORKERS: [&str; 2] = ["ingress-sv2", "ingress-sv1"];

/// Who mines: the example of BIP 173.
pub(super) const IDENTITY: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

/// Shares of a steady miner: what the fleets of a scenario send at most.
const SHARES_PER_MINUTE: i64 = 120;

/// The easiest target of all: what is tested is not how fast this machine hashes.
const FLOOR: i64 = -32;

/// How far a successor's lane is from the first.
const SPARE: i64 = 20;

/// How long a successor may take to be there and to have all miners.
const HANDOVER: Duration = Duration::from_secs(120);

/// How often to look.
const EVERY: Duration = Duration::from_millis(100);

/// Keys of a worker's table.
pub(super) type Keys = &'static [(&'static str, i64)];

/// What an outpost is given besides what every one has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Core's lanes that it leases, that of Stratum V2 first.
    pub(super) lanes: [i64; 2],
    /// Under `limits`.
    pub(super) limits: Keys,
    /// Under `deadlines`.
    pub(super) deadlines: Keys,
    /// Under `deadlines`, if this version of the ingress has them.
    pub(super) newer_deadlines: Keys,
}

/// An ingress beside the network's own.
#[derive(Debug)]
pub(super) struct Outpost {
    pub(super) address: SocketAddr,
    pub(super) endpoint: Endpoint,
    /// Whether the ingress knows [`Terms::newer_deadlines`].
    pub(super) knows_newer: bool,
    configs: [PathBuf; 2],
    /// Where a successor finds it.
    handover: PathBuf,
    instance: Instance,
}

impl Outpost {
    /// Opens one and waits until it serves both protocols.
    pub(super) async fn open(field: &Field<'_>, terms: Terms) -> anyhow::Result<Self> {
        let address = free_address()?;
        let own = field.network.status().await?.text("/endpoints/miners/sv2")?;
        let authority = own.parse::<Endpoint>()?.authority;
        let endpoint = Endpoint { host: address.ip().to_string(), port: address.port(), authority };
        let [v2, v1] = configure(field.network.data(), terms, address, &[])?;
        let knows_newer = knows(field, &v1, terms.newer_deadlines).await?;
        if knows_newer {
            configure(field.network.data(), terms, address, terms.newer_deadlines)?;
        }
        let configs = [v2, v1];
        let [lane, _] = terms.lanes;
        let handover = field.network.data().join(format!("outpost-{lane}.sock"));
        let instance = start(field, &configs, &handover)?;
        let outpost = Self { address, endpoint, knows_newer, configs, handover, instance };
        outpost.until_open(field).await?;
        Ok(outpost)
    }

    /// Where its miners connect, that of Stratum V1 first.
    pub(super) fn pools(&self) -> [Pool; 2] {
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        [Pool::V1(LineAddress { host, port }), Pool::V2(self.endpoint.clone())]
    }

    /// Its memory.
    pub(super) fn memory(&self) -> anyhow::Result<meter::Memory> {
        meter::memory(self.instance.pid()?)
    }

    /// What it has used of the processors until now.
    pub(super) fn processor_time(&self) -> anyhow::Result<Duration> {
        meter::processor_time(self.instance.pid()?)
    }

    /// Puts another process in its place, which takes over its port and its miners, and waits until
    /// the first has ended by itself. Whoever connects meanwhile must be let in; says how many were.
    pub(super) async fn hand_over(&mut self, field: &Field<'_>) -> anyhow::Result<u32> {
        let successor = start(field, &self.configs, &self.handover)?;
        let mut before = std::mem::replace(&mut self.instance, successor);
        let mut visits = 0;
        let visit = async {
            loop {
                TcpStream::connect(self.address).await.context("a visitor is refused")?;
                visits += 1;
                sleep(EVERY / 5).await; // time itself: visitors come now and then
            }
        };
        tokio::select! {
            ended = before.ended() => ended?,
            refused = visit => return refused,
            () = sleep(HANDOVER) => bail!("the ingress does not end within {HANDOVER:?}"), // time itself
        }
        Ok(visits)
    }

    /// Kills it, and puts another process in its place.
    pub(super) async fn kill_and_start(&mut self, field: &Field<'_>) -> anyhow::Result<()> {
        let Self { instance, configs, handover, .. } = self;
        instance.ended_by(Signal::KILL).await?;
        *instance = start(field, configs, handover)?;
        Ok(())
    }

    /// Waits until it serves both protocols.
    pub(super) async fn until_open(&self, field: &Field<'_>) -> anyhow::Result<()> {
        let clock = field.network.clock();
        let deadline = clock.monotonic() + PATIENCE;
        for pool in self.pools() {
            loop {
                match Fleet::open(&Plan::new(pool.clone(), 1, IDENTITY)).await {
                    Ok(fleet) => break fleet.close().await?,
                    Err(error) => ensure!(clock.monotonic() < deadline, "{pool}: {error:#}"),
                }
                sleep(EVERY).await; // polls
            }
        }
        Ok(())
    }

    /// Ends it as an operator does.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.instance.end().await
    }
}

fn start(field: &Field<'_>, [v2, v1]: &[PathBuf; 2], handover: &Path) -> anyhow::Result<Instance> {
    let [sv2, sv1] = WORKERS;
    let handover = handover.to_str().context("a folder whose name is no text")?;
    let workers = [(sv2, v2.as_path()), (sv1, v1.as_path())];
    Instance::start_together(field, &workers, &["--handover", handover])
}

/// Whether the ingress has these keys under `deadlines`: what it prints has all that it knows.
async fn knows(field: &Field<'_>, config: &Path, keys: Keys) -> anyhow::Result<bool> {
    let [_, sv1] = WORKERS;
    let config = config.to_str().context("a folder whose name is no text")?;
    let printed = field.network.run(&["run", sv1, "--config", config, "--print-config"]).await?;
    ensure!(printed.status.success(), "{}", crate::network::said(&printed));
    let printed = String::from_utf8_lossy(&printed.stdout);
    Ok(!keys.is_empty() && keys.iter().all(|(key, _)| printed.contains(key)))
}

/// Writes the configurations: those of the node's ingresses, on Core's bus.
fn configure(
    data: &Path,
    terms: Terms,
    listen: SocketAddr,
    newer: Keys,
) -> anyhow::Result<[PathBuf; 2]> {
    let folder = data.join("config");
    let read =
        |file: &str| anyhow::Ok(std::fs::read_to_string(folder.join(file))?.parse::<Table>()?);
    let of_core = read("share-verifier.toml")?;
    let [sv2, sv1] = WORKERS;
    let [lane2, lane1] = terms.lanes;
    let mut paths = Vec::new();
    for (worker, lane) in [(sv2, lane2), (sv1, lane1)] {
        let mut config = read(&format!("{worker}.toml"))?;
        let mut bus = of_core.get("bus").context("the verifier has no bus")?.clone();
        let creds = data.join(format!("keys/creds/{worker}.creds")).display().to_string();
        bus.as_table_mut()
            .context("the bus is no table")?
            .insert("creds_file".into(), creds.into());
        let vardiff = [
            ("shares_per_minute", SHARES_PER_MINUTE),
            ("floor_exponent", FLOOR),
            ("starting_hashrate_hs", 1),
        ];
        let deadlines = [terms.deadlines, newer].concat();
        config.insert("node".into(), "core".into());
        // The other one is for a successor.
        let lanes = [lane, lane + SPARE].map(Value::from);
        config.insert("lanes".into(), lanes.to_vec().into());
        config.insert("listen".into(), listen.to_string().into());
        config.insert("bus".into(), bus);
        config.insert("vardiff".into(), table(&vardiff));
        config.insert("limits".into(), table(terms.limits));
        config.insert("deadlines".into(), table(&deadlines));
        let path = folder.join(format!("outpost-{lane}.toml"));
        std::fs::write(&path, config.to_string())?;
        paths.push(path);
    }
    paths.try_into().map_err(|_| anyhow::anyhow!("two workers have two configurations"))
}

fn table(keys: &[(&str, i64)]) -> Value {
    keys.iter()
        .map(|(key, number)| ((*key).to_owned(), Value::from(*number)))
        .collect::<Table>()
        .into()
}
