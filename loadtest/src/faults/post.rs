//! Ingresses of Core, each on a lane of its own with a miner of its own.

use super::{Field, instance::Instance};
use crate::{
    miner::{self, MinerConfig},
    network::PATIENCE,
};
use anyhow::Context as _;
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};
use stratum_v2::{Endpoint, client::Device};
use subjects::{Lane, shares::JobKind};
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use toml::{Table, Value};
use worker_runtime::clock::Clock as _;

/// The worker.
const INGRESS: &str = "ingress-sv2";

/// Who mines: the example of BIP 173.
const IDENTITY: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

/// Hashes per second of a post's miner.
const HASHRATE: u64 = 200_000;

/// Difficulty 2^-18: one hash in 16 384, a dozen shares a second.
const EXPONENT: i64 = -18;

/// More than a miner of [`HASHRATE`] finds at the easiest target, so that it is given that.
const SHARES_PER_MINUTE: i64 = 1_000;

/// How often to look.
const EVERY: Duration = Duration::from_millis(10);

/// Events of a miner that may wait. Nobody hears them.
const EVENTS: usize = 1;

/// An ingress of Core, and a miner who connects to it again whenever it is gone.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) lane: Lane,
    address: SocketAddr,
    config: PathBuf,
    ingress: Instance,
    stop: CancellationToken,
    miner: JoinSet<anyhow::Result<()>>,
}

impl Post {
    /// Opens a post on `lane`.
    pub(super) async fn open(field: &Field<'_>, lane: Lane) -> anyhow::Result<Self> {
        let address = free_address()?;
        let config = configure(field.network.data(), lane, address)?;
        let ingress = Instance::start_with(field, INGRESS, &config)?;
        let (stop, miner) = (CancellationToken::new(), JoinSet::new());
        let mut post = Self { lane, address, config, ingress, stop, miner };
        post.until_open(field).await?;
        let own = field.network.status().await?.text("/endpoints/miners/sv2")?;
        let authority = own.parse::<Endpoint>()?.authority;
        let endpoint = Endpoint { host: address.ip().to_string(), port: address.port(), authority };
        let mining = MinerConfig {
            endpoint,
            user_identity: format!("{IDENTITY}.lane-{lane}"),
            kind: JobKind::Extended,
            hashes_per_second: HASHRATE,
            threads: NonZeroU32::MIN,
            acknowledged: Some(field.network.data().join(format!("acknowledged/lane-{lane}"))),
            device: Device::default(),
        };
        // Its other end is gone: the miner is heard by what it notes.
        let (events, _) = mpsc::channel(EVENTS);
        post.miner.spawn(miner::run(mining, post.stop.clone(), events));
        Ok(post)
    }

    /// The lane's accepted shares.
    pub(super) fn subject(&self) -> String {
        format!("shares.accepted.core.{}", self.lane)
    }

    /// Starts another ingress for the same lane and address: it waits for the lane.
    pub(super) fn successor(&self, field: &Field<'_>) -> anyhow::Result<Instance> {
        Instance::start_with(field, INGRESS, &self.config)
    }

    /// Puts another ingress in the place of the present one, which is handed back.
    pub(super) fn relieve(&mut self, successor: Instance) -> Instance {
        std::mem::replace(&mut self.ingress, successor)
    }

    /// Waits until miners can connect.
    pub(super) async fn until_open(&self, field: &Field<'_>) -> anyhow::Result<()> {
        let clock = field.network.clock();
        let deadline = clock.monotonic() + PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            anyhow::ensure!(clock.monotonic() < deadline, "lane {} stays closed", self.lane);
            sleep(EVERY).await; // polls
        }
        Ok(())
    }

    /// Ends the miner first, who waits for what is still due, then the ingress.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.miner.join_next().await {
            ended.context("a miner died")??;
        }
        self.ingress.end().await
    }
}

/// An address of this machine where nobody listens.
pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Writes the configuration of Core's ingress on `lane`: that of the node's, on Core's bus.
fn configure(data: &Path, lane: Lane, listen: SocketAddr) -> anyhow::Result<PathBuf> {
    let folder = data.join("config");
    let read =
        |file: &str| anyhow::Ok(std::fs::read_to_string(folder.join(file))?.parse::<Table>()?);
    let mut config = read("ingress-sv2.toml")?;
    let mut of_core = read("share-verifier.toml")?;
    let mut bus = of_core.remove("bus").context("the verifier has no bus")?;
    let creds = data.join("keys/creds/ingress-sv2.creds").display().to_string();
    bus.as_table_mut().context("the bus is no table")?.insert("creds_file".into(), creds.into());
    let mut vardiff = Table::new();
    vardiff.insert("shares_per_minute".into(), SHARES_PER_MINUTE.into());
    vardiff.insert("floor_exponent".into(), EXPONENT.into());
    vardiff.insert("starting_hashrate_hs".into(), i64::try_from(HASHRATE)?.into());
    config.insert("node".into(), "core".into());
    config.insert("lanes".into(), vec![Value::from(i64::from(lane.0))].into());
    config.insert("listen".into(), listen.to_string().into());
    config.insert("bus".into(), bus);
    config.insert("vardiff".into(), vardiff.into());
    let path = folder.join(format!("ingress-lane-{lane}.toml"));
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}
