//! What a network consists of: each process, its configuration, and the order of starting.

use super::{
    bitcoind::{self, config::Peers},
    certificates::{Certificate, Certificates},
    files,
    home::Home,
    hub::{self, HubServers},
    postgresql::{cluster::Cluster, database::Database},
    process::{
        managed::{Launch, Role, Spec},
        record::Stop,
    },
    providers::{self, Provider},
    secrets,
    servers::{INSIDE, Servers, User},
    settings::Ports,
    workers,
};
use bitcoind_rpc::RpcConfig;
use std::{ffi::OsString, net::SocketAddr, path::Path, time::Duration};
use streams::{config, keys::Minted};
use subjects::NodeId;

/// Names of the ports that the servers need; those of the hub's are in [`hub::ports`].
pub const SERVER_PORTS: [&str; 5] =
    ["bitcoind-rpc", "bitcoind-zmq", "postgresql", "leaf", "leaf-monitor"];

/// Where the first bitcoind waits for the second.
const PEERS_PORT: &str = "bitcoind-p2p";

/// Bytes that the leaf server may keep: what its streams reserve, and room for buckets.
const LEAF_STORE_BYTES: u64 = 24 << 30;

/// Bytes beyond what the hub's bounded streams reserve, for those that keep all.
const HUB_UNBOUNDED_BYTES: u64 = 64 << 30;

/// All that the processes are made from.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The data folder.
    pub home: &'a Home,
    /// The servers' programs.
    pub servers: &'a Servers,
    /// The ports.
    pub ports: &'a Ports,
    /// How many servers the hub has.
    pub hub: HubServers,
    /// The sources of templates, by preference.
    pub providers: &'a [Provider],
}

impl Parts<'_> {
    /// A provider's bitcoind.
    ///
    /// # Errors
    ///
    /// When its configuration cannot be written, or it may not be started.
    pub fn bitcoind(&self, provider: Provider) -> anyhow::Result<Spec> {
        let folder = self.home.bitcoind(provider);
        files::private_folder(&folder)?;
        let name = provider.process("bitcoind");
        let rpc = self.ports.address(&format!("{name}-rpc"))?;
        let config = bitcoind::config::render(rpc, self.zmq(provider)?, self.peers(provider)?);
        files::write_private(&folder.join("bitcoin.conf"), config.as_bytes())?;
        let server = &self.servers.bitcoind;
        let command = if server.is_hosts() {
            let mut data = OsString::from("-datadir=");
            data.push(&folder);
            server.launch_directly(&folder, vec![data])
        } else {
            let data = format!("-datadir={INSIDE}");
            server.launch(&folder, User::Same, &server.path, &[&data])?
        };
        // It flushes its chain state when it ends.
        Ok(self.server(&name, order::DATA, command, Stop::Term, Duration::from_secs(60)))
    }

    fn peers(&self, provider: Provider) -> anyhow::Result<Peers> {
        let alone = self.providers.len() < 2;
        Ok(match provider {
            Provider::Dev if alone => Peers::Alone,
            Provider::Dev => Peers::Listen(self.ports.address(PEERS_PORT)?),
            Provider::Second => Peers::Connect(self.ports.address(PEERS_PORT)?),
        })
    }

    /// How to call a provider's bitcoind.
    ///
    /// # Errors
    ///
    /// When its port is not known.
    pub fn bitcoind_rpc(&self, provider: Provider) -> anyhow::Result<RpcConfig> {
        let address = self.ports.address(&format!("{}-rpc", provider.process("bitcoind")))?;
        let cookie = self.home.bitcoind(provider).join(bitcoind::COOKIE);
        Ok(RpcConfig::new(format!("http://{address}"), cookie))
    }

    /// Where a provider's bitcoind speaks unasked.
    ///
    /// # Errors
    ///
    /// When its port is not known.
    pub fn zmq(&self, provider: Provider) -> anyhow::Result<SocketAddr> {
        self.ports.address(&format!("{}-zmq", provider.process("bitcoind")))
    }

    /// PostgreSQL; its cluster is made if it is not there.
    ///
    /// # Errors
    ///
    /// When the cluster cannot be made or the server may not be started.
    pub fn postgresql(&self) -> anyhow::Result<Spec> {
        let cluster = Cluster::new(self.servers.postgresql.clone(), self.home.postgresql());
        super::postgresql::database::mint_passwords(self.home)?;
        let database = self.database()?;
        let superuser = super::postgresql::database::Role::Superuser;
        cluster.prepare(&database.password(superuser)?)?;
        let command = cluster.launch(self.ports.port("postgresql")?)?;
        Ok(self.server("postgresql", order::DATA, command, Stop::Int, Duration::from_secs(60)))
    }

    /// The database.
    ///
    /// # Errors
    ///
    /// When its port is not known.
    pub fn database(&self) -> anyhow::Result<Database> {
        Ok(Database::new(self.home.clone(), self.ports.address("postgresql")?))
    }

    /// A nats-server of the hub: `name` is one of [`HubServers::names`].
    ///
    /// # Errors
    ///
    /// When its configuration cannot be written.
    pub fn hub(
        &self,
        name: &str,
        minted: &Minted,
        tls: &Certificates,
        reserved: u64,
    ) -> anyhow::Result<Spec> {
        let folder = self.home.nats(name);
        let hub = config::Hub {
            server_name: name.into(),
            clients: self.ports.address(name)?,
            leaves: self.ports.address(&hub::leaves_port(name))?,
            monitor: self.ports.address(&hub::monitor_port(name))?,
            store: folder.join("store"),
            store_bytes: reserved.saturating_add(HUB_UNBOUNDED_BYTES),
            resolver: folder.join("accounts"),
            tls: tls_of(&tls.authority, tls.hub(name)?),
            cluster: self.cluster(name, tls)?,
        };
        self.nats_server(name, order::HUB, &folder, &config::hub(&hub, minted)?)
    }

    fn cluster(&self, name: &str, tls: &Certificates) -> anyhow::Result<Option<config::Cluster>> {
        match self.hub {
            HubServers::One => Ok(None),
            HubServers::Three => Ok(Some(config::Cluster {
                listen: self.ports.address(&hub::routes_port(name))?,
                routes: self.of_hub(hub::routes_port)?,
                tls: tls_of(&tls.routes_authority, tls.route(name)?),
            })),
        }
    }

    /// The addresses of all servers of the hub at the ports that `port` names.
    fn of_hub(&self, port: impl Fn(&str) -> String) -> anyhow::Result<Vec<String>> {
        let address = |name: &&str| Ok(format!("tls://{}", self.ports.address(&port(name))?));
        self.hub.names().iter().map(address).collect()
    }

    /// The nats-server of a node, in a working directory of its own.
    ///
    /// # Errors
    ///
    /// When its configuration cannot be written.
    pub fn leaf(&self, node: &NodeId, minted: &Minted, tls: &Certificates) -> anyhow::Result<Spec> {
        let folder = self.home.nats(node.as_str());
        let leaf = config::Leaf {
            node: node.clone(),
            clients: self.ports.address("leaf")?,
            monitor: self.ports.address("leaf-monitor")?,
            store: folder.join("store"),
            store_bytes: LEAF_STORE_BYTES,
            hub: self.of_hub(hub::leaves_port)?,
            tls: tls_of(&tls.authority, &tls.node),
        };
        self.nats_server("leaf", order::LEAF, &folder, &config::leaf(&leaf, minted)?)
    }

    fn nats_server(
        &self,
        name: &str,
        order: u32,
        folder: &Path,
        config: &str,
    ) -> anyhow::Result<Spec> {
        files::private_folder(folder)?;
        let file = self.home.config(&format!("{name}.conf"));
        files::write_private(&file, config.as_bytes())?;
        let arguments = vec!["--config".into(), file.into()];
        let command = self.servers.nats_server.launch_directly(folder, arguments);
        Ok(self.server(name, order, command, Stop::Term, Duration::from_secs(20)))
    }

    /// One of our processes of workers, by its name.
    ///
    /// # Errors
    ///
    /// When its configuration cannot be written.
    pub fn worker(&self, name: &str, tls: &Certificates) -> anyhow::Result<Spec> {
        let (mut arguments, mut files) = (vec!["run".into()], Vec::<OsString>::new());
        for process in workers::of_process(name) {
            let file = self.home.config(&format!("{process}.toml"));
            files::write_private(&file, workers::config(self, tls, process)?.as_bytes())?;
            let (worker, _) = Provider::of_process(process);
            arguments.push(worker.into());
            files.extend(["--config".into(), file.into()]);
        }
        arguments.extend(files);
        let order = if name == workers::INGRESS { order::INGRESS } else { order::CORE };
        Ok(self.ours(name, Role::Worker, order, arguments))
    }

    /// One of the network's own miners.
    ///
    /// # Errors
    ///
    /// When the ingress's key cannot be read.
    pub fn miner(&self, name: &str, hashrate: u64) -> anyhow::Result<Spec> {
        let user = format!("{}.{name}", secrets::miner(name)?);
        let acknowledged = self.home.acknowledged(name);
        let mut arguments: Vec<OsString> =
            ["dev", "miner", "--pool", &self.sv2()?, "--user", &user].map(Into::into).into();
        arguments.extend(["--hashrate".into(), hashrate.to_string().into()]);
        arguments.extend(["--acknowledged".into(), acknowledged.into()]);
        Ok(self.ours(&format!("miner-{name}"), Role::Miner, order::MINERS, arguments))
    }

    /// Where miners connect with Stratum V2.
    ///
    /// # Errors
    ///
    /// When the ingress's key cannot be read.
    pub fn sv2(&self) -> anyhow::Result<String> {
        let address = self.ports.address("miners")?;
        Ok(format!("stratum2+tcp://{address}/{}", secrets::authority_key(self.home)?))
    }

    fn ours(&self, name: &str, role: Role, order: u32, arguments: Vec<OsString>) -> Spec {
        let folder = self.home.folder().to_owned();
        // This very program, also when its file was replaced by a newer one meanwhile.
        let command = Launch { program: "/proc/self/exe".into(), arguments, folder };
        let spec = self.server(name, order, command, Stop::Term, WORKER_GRACE);
        Spec { role, ..spec }
    }

    fn server(&self, name: &str, order: u32, command: Launch, stop: Stop, grace: Duration) -> Spec {
        let (name, log) = (name.to_owned(), self.home.log(name));
        Spec { name, role: Role::Server, order, command, stop, grace, log }
    }
}

/// The place of each group in the order of starting; they end in the reverse order.
pub mod order {
    /// bitcoind and the database.
    pub const DATA: u32 = 1;
    /// The servers of the hub.
    pub const HUB: u32 = 2;
    /// The node's server.
    pub const LEAF: u32 = 3;
    /// Core's workers.
    pub const CORE: u32 = 4;
    /// The node's ingress.
    pub const INGRESS: u32 = 5;
    /// The miners.
    pub const MINERS: u32 = 6;
}

/// Longer than a worker's own grace, so that it can end by itself.
const WORKER_GRACE: Duration = Duration::from_secs(15);

/// Names of all ports of a network with such a hub and these providers.
pub fn ports(hub: HubServers, providers: &[Provider]) -> Vec<String> {
    let servers = SERVER_PORTS.into_iter().map(String::from);
    let servers = servers.chain(hub.names().iter().flat_map(|name| hub::ports(name)));
    let second = Provider::Second.process("bitcoind");
    let seconds = [PEERS_PORT.into(), format!("{second}-rpc"), format!("{second}-zmq")];
    let seconds = seconds.into_iter().filter(|_| providers.contains(&Provider::Second));
    let node = workers::of_process(workers::INGRESS).into_iter().map(String::from);
    let workers = providers::core(providers).into_iter().chain(node);
    let metrics = workers.map(|worker| workers::metrics_port(&worker));
    servers.chain(["miners".into()]).chain(seconds).chain(metrics).collect()
}

fn tls_of(authority: &Path, own: &Certificate) -> config::Tls {
    config::Tls { ca: authority.to_owned(), cert: own.certificate.clone(), key: own.key.clone() }
}
