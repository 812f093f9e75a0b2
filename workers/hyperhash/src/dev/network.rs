//! Brings a network up, part by part, and down again in the reverse order.

use super::{
    bitcoind::{
        chain,
        wallet::{self, Wallet},
    },
    bus::{self, Bus},
    certificates::{self, Certificates},
    home::Home,
    hub::{HubServers, monitor_port},
    narrator::Narrator,
    observe::{health::Asker, listen::listen, observer::Shared},
    parts::Parts,
    postgresql::database,
    process::managed::{Keeper, Managed, Spec},
    providers::{self, Provider},
    ready::until_ready,
    secrets,
    supervisor::Options,
    workers::{self, metrics_port},
};
use crate::status::{Bitcoind, Endpoints, Miners, Nats};
use anyhow::Context as _;
use bitcoind_rpc::{Rpc, RpcConfig};
use futures_util::future::join_all;
use std::{sync::Arc, time::Duration};
use streams::{Account, keys::Minted};
use subjects::Timestamp;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Longest time that one part may take until it is ready. Half of it is enough on two busy
/// processors; a leaf's mirror may take 45 s to wake.
const PART_LIMIT: Duration = Duration::from_secs(120);

/// Names of the network's own miners.
const MINERS: [&str; 2] = ["a", "b"];

/// A network on its way up, up, or on its way down.
#[derive(Debug)]
pub struct Network<'a> {
    parts: Parts<'a>,
    keeper: Keeper,
    shared: Arc<Shared>,
    running: Vec<Managed>,
    asker: Asker,
    /// Tasks of ours that use the network: payments, and listening to its facts.
    beside: TaskTracker,
    beside_stop: CancellationToken,
}

impl<'a> Network<'a> {
    /// A network of which nothing runs yet.
    ///
    /// # Errors
    ///
    /// When no HTTP client can be made.
    pub fn new(parts: Parts<'a>, keeper: Keeper, shared: Arc<Shared>) -> anyhow::Result<Self> {
        Ok(Self {
            parts,
            keeper,
            shared,
            running: Vec::new(),
            asker: Asker::new()?,
            beside: TaskTracker::new(),
            beside_stop: CancellationToken::new(),
        })
    }

    /// Cancelled by whoever does not want to wait for the end of a drain.
    pub fn haste(&self) -> CancellationToken {
        self.keeper.haste.clone()
    }

    /// Starts everything that is wanted and returns once all of it is ready.
    ///
    /// # Errors
    ///
    /// When a part cannot be started; what was started keeps running until [`Self::drain`].
    pub async fn bring_up(&mut self, keys: &Keys, options: &Options) -> anyhow::Result<()> {
        let parts = self.parts;
        let mut bitcoinds = Vec::new();
        for provider in parts.providers {
            bitcoinds.push((*provider, self.start(parts.bitcoind(*provider)?)));
        }
        let postgresql = self.start(parts.postgresql()?);
        for (provider, place) in bitcoinds {
            self.prepare_chain(provider, place).await?;
        }
        self.keep_paying().await?;
        self.prepare_database(postgresql).await?;
        self.start_bus(keys).await?;
        let wanted = |process: &str| {
            let (part, _) = Provider::of_process(process);
            !workers::is_left_out(part, &options.without)
        };
        for group in [providers::core(parts.providers), vec![workers::INGRESS.into()]] {
            for worker in &group {
                // Its configuration is there too for whoever starts it instead.
                let spec = parts.worker(worker, &keys.certificates)?;
                if wanted(worker) {
                    self.start(spec);
                }
            }
            for worker in group.iter().filter(|worker| wanted(worker)) {
                self.worker_ready(worker).await?;
            }
        }
        if wanted(workers::MINERS) {
            for miner in MINERS {
                self.start(parts.miner(miner, options.hashrate)?);
            }
        }
        self.narrator().say("network", "ready");
        Ok(())
    }

    /// Ends everything, last started first; what was started together ends together.
    ///
    /// # Errors
    ///
    /// When a process cannot be ended.
    pub async fn drain(mut self) -> anyhow::Result<()> {
        let narrator = Arc::clone(self.narrator());
        self.beside_stop.cancel();
        self.beside.close();
        self.beside.wait().await;
        while let Some(last) = self.running.last() {
            let order = last.spec.order;
            let group: Vec<_> =
                self.running.extract_if(.., |part| part.spec.order == order).collect();
            let names: Vec<_> = group.iter().map(|part| part.spec.name.clone()).collect();
            narrator.say("network", &format!("ending {}", names.join(", ")));
            for ended in join_all(group.into_iter().map(Managed::stop)).await {
                ended?;
            }
        }
        Ok(())
    }

    fn narrator(&self) -> &Arc<Narrator> {
        &self.keeper.narrator
    }

    /// Starts a process; returns its place among those that run.
    fn start(&mut self, spec: Spec) -> usize {
        self.narrator().say(&spec.name, "starting");
        let managed = self.keeper.keep(spec);
        self.shared.watch(managed.watched());
        self.running.push(managed);
        self.running.len().saturating_sub(1)
    }

    fn part(&self, place: usize) -> anyhow::Result<&Managed> {
        self.running.get(place).context("a part was started and is not there")
    }

    async fn prepare_chain(&self, provider: Provider, place: usize) -> anyhow::Result<()> {
        let rpc = Rpc::new(self.parts.bitcoind_rpc(provider)?)?;
        let answers = || async { Ok(rpc.state().await.map(drop)?) };
        until_ready(self.part(place)?, PART_LIMIT, answers).await?;
        let state = chain::prepare(&rpc).await?;
        let name = provider.process("bitcoind");
        self.narrator().say(&name, &format!("ready at height {}", state.blocks));
        Ok(())
    }

    async fn keep_paying(&self) -> anyhow::Result<()> {
        let wallet = Wallet::at(&self.parts.bitcoind_rpc(Provider::Dev)?)?;
        wallet.open().await?;
        let stop = self.beside_stop.clone();
        let paying = wallet::keep_paying(wallet, Arc::clone(self.narrator()), stop);
        drop(self.beside.spawn(paying));
        Ok(())
    }

    async fn prepare_database(&self, place: usize) -> anyhow::Result<()> {
        let database = self.parts.database()?;
        until_ready(self.part(place)?, PART_LIMIT, || database.answers()).await?;
        database.prepare().await?;
        self.narrator().say("postgresql", "ready, its schema is up to date");
        Ok(())
    }

    async fn start_bus(&mut self, keys: &Keys) -> anyhow::Result<()> {
        let parts = self.parts;
        let bus = Bus::of(parts.home, parts.ports, parts.hub)?;
        self.start_hub(&bus, keys).await?;
        let node = workers::node()?;
        let leaf = self.start(self.parts.leaf(&node, &keys.minted, &keys.certificates)?);
        let answers = || async { bus.leaf_operator(&node).await.map(drop) };
        until_ready(self.part(leaf)?, PART_LIMIT, answers).await?;
        bus.apply_leaf().await?;
        let monitor = self.parts.ports.address("leaf-monitor")?;
        until_ready(self.part(leaf)?, PART_LIMIT, || self.asker.link(monitor)).await?;
        self.narrator().say("leaf", "ready, linked to the hub");
        let listen = listen(
            bus.data_reader(),
            Arc::clone(&self.shared.tally),
            Arc::clone(self.narrator()),
            self.beside_stop.clone(),
        );
        drop(self.beside.spawn(listen));
        Ok(())
    }

    /// All servers first: of three, one alone is nobody.
    async fn start_hub(&mut self, bus: &Bus, keys: &Keys) -> anyhow::Result<()> {
        let parts = self.parts;
        let reserved = streams::reserved_bytes(&bus::network(parts.hub)?);
        let mut started = Vec::new();
        for name in parts.hub.names() {
            let spec = parts.hub(name, &keys.minted, &keys.certificates, reserved)?;
            started.push((parts.ports.address(&monitor_port(name))?, self.start(spec)));
        }
        for (monitor, place) in started {
            until_ready(self.part(place)?, PART_LIMIT, || self.asker.nats(monitor)).await?;
            let answers = || async { bus.operator(Account::Core).await.map(drop) };
            until_ready(self.part(place)?, PART_LIMIT, answers).await?;
        }
        bus.apply_hub(parts.hub).await?;
        self.narrator().say("hub", "ready, its streams are as declared");
        Ok(())
    }

    async fn worker_ready(&self, name: &str) -> anyhow::Result<()> {
        let started = self.running.iter().find(|part| part.spec.name == name);
        let part = started.with_context(|| format!("{name} was not started"))?;
        for worker in workers::of_process(name) {
            let at = self.parts.ports.address(&metrics_port(worker))?;
            until_ready(part, PART_LIMIT, || self.asker.worker(at)).await?;
        }
        self.narrator().say(name, "ready");
        Ok(())
    }
}

/// Where everything listens.
///
/// # Errors
///
/// When a port or key is not known.
pub fn endpoints(parts: &Parts<'_>) -> anyhow::Result<Endpoints> {
    let bus = Bus::of(parts.home, parts.ports, parts.hub)?;
    let metrics = |worker: String| {
        let address = parts.ports.address(&metrics_port(&worker))?;
        anyhow::Ok((worker, format!("http://{address}/metrics")))
    };
    let bitcoind = |provider: Provider| {
        let RpcConfig { url, cookie_file, .. } = parts.bitcoind_rpc(provider)?;
        anyhow::Ok(Bitcoind { url, cookie: cookie_file })
    };
    let of = |provider: &Provider| Ok((provider.id().to_owned(), bitcoind(*provider)?));
    let node = workers::of_process(workers::INGRESS).into_iter().map(String::from);
    let all = providers::core(parts.providers).into_iter().chain(node);
    let miners = parts.ports.address("miners")?;
    Ok(Endpoints {
        miners: Miners {
            sv2: parts.sv2()?,
            sv1: format!("stratum+tcp://{miners}"),
            sv1_tls: format!("stratum+ssl://{miners}"),
        },
        nats: Nats { hub: bus.hub, leaf: bus.leaf, ca_file: parts.home.tls("ca.pem") },
        postgresql: parts.database()?.reader_url()?,
        bitcoind: bitcoind(Provider::Dev)?,
        bitcoinds: parts.providers.iter().map(of).collect::<anyhow::Result<_>>()?,
        metrics: all.map(metrics).collect::<anyhow::Result<_>>()?,
    })
}

/// Keys and certificates of a network.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Those of the bus.
    pub minted: Minted,
    /// Those of its servers.
    pub certificates: Certificates,
}

impl Keys {
    /// Makes what is missing.
    ///
    /// # Errors
    ///
    /// When a file is damaged or cannot be written.
    pub fn mint(home: &Home, hub: HubServers, now: Timestamp) -> anyhow::Result<Self> {
        secrets::mint(home)?;
        database::mint_passwords(home)?;
        let certificates = certificates::issue(home, hub, now)?;
        Ok(Self { minted: bus::mint(home, now)?, certificates })
    }
}
