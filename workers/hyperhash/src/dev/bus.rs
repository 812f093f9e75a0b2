//! The dev network's bus: keys, streams on the hub and on the leaf, and who may say what.

use super::{home::Home, hub::HubServers, settings::Ports, workers};
use anyhow::Context as _;
use std::{collections::BTreeMap, path::PathBuf};
use streams::{Access, Account, Connection, Credentials, Network, Node, keys, keys::Minted};
use subjects::{NodeId, Timestamp};
use worker_runtime::{BusConfig, TlsConfig};

/// The dev network as `streams` declares it.
///
/// # Errors
///
/// Never: node and lanes are good ones.
pub fn network(hub: HubServers) -> anyhow::Result<Network> {
    let nodes = vec![Node { id: workers::node()?, lanes: workers::lanes() }];
    Ok(Network::new(nodes)?.replicated(hub.count()))
}

/// The URLs of the hub's servers, separated by commas.
///
/// # Errors
///
/// When a port is not known.
pub fn hub_urls(ports: &Ports, hub: HubServers) -> anyhow::Result<String> {
    let url = |name: &&str| Ok(format!("tls://{}", ports.address(name)?));
    Ok(hub.names().iter().map(url).collect::<anyhow::Result<Vec<_>>>()?.join(","))
}

/// Makes the keys that are missing.
///
/// # Errors
///
/// When a key file is damaged or cannot be written.
pub fn mint(home: &Home, now: Timestamp) -> anyhow::Result<Minted> {
    keys::mint(&home.keys(), &network(HubServers::One)?, now)
        .context("the keys of the bus cannot be made; `hyperhash dev reset` starts over")
}

/// How to reach the servers of a network.
#[derive(Clone, Debug)]
pub struct Bus {
    /// The URLs of the hub's servers, separated by commas.
    pub hub: String,
    /// The leaf's URL.
    pub leaf: String,
    /// The authority of the hub's certificate; the system's authorities if absent.
    pub ca_file: Option<PathBuf>,
    /// The folder of keys.
    pub keys: PathBuf,
}

impl Bus {
    /// The servers of the network in `home`.
    ///
    /// # Errors
    ///
    /// When a port is not known.
    pub fn of(home: &Home, ports: &Ports, hub: HubServers) -> anyhow::Result<Self> {
        Ok(Self {
            hub: hub_urls(ports, hub)?,
            leaf: format!("nats://{}", ports.address("leaf")?),
            ca_file: Some(home.tls("ca.pem")),
            keys: home.keys(),
        })
    }

    /// Connects to the hub as the operator of `account`.
    ///
    /// # Errors
    ///
    /// When the hub does not answer or refuses.
    pub async fn operator(&self, account: Account) -> anyhow::Result<Connection> {
        Ok(Connection::open(&self.access(account)).await?)
    }

    /// Connects to the server of `node` as its operator.
    ///
    /// # Errors
    ///
    /// When the leaf does not answer or refuses.
    pub async fn leaf_operator(&self, node: &NodeId) -> anyhow::Result<Connection> {
        let access = Access {
            url: self.leaf.clone(),
            credentials: Credentials::NkeySeedFile(
                self.keys.join(format!("nodes/{node}/operator.nk")),
            ),
            ca_file: None,
            inbox_prefix: format!("_INBOX_{node}.operator"),
        };
        Ok(Connection::open(&access).await?)
    }

    /// Makes the hub hold what is declared, and gives the node its lanes.
    ///
    /// # Errors
    ///
    /// When the hub refuses, is too old, or holds something that cannot be changed in place.
    pub async fn apply_hub(&self, servers: HubServers) -> anyhow::Result<()> {
        let network = network(servers)?;
        let mut hub = BTreeMap::new();
        for account in [Account::Nodes, Account::Core, Account::Money, Account::Data] {
            hub.insert(account, self.operator(account).await?);
        }
        streams::apply_all(&hub, &network).await?;
        let core = hub.get(&Account::Core).context("there is no connection to CORE")?;
        Ok(streams::register(core, &network).await?)
    }

    /// Makes the leaf hold what is declared.
    ///
    /// # Errors
    ///
    /// As [`Self::apply_hub`].
    pub async fn apply_leaf(&self) -> anyhow::Result<()> {
        let node = workers::node()?;
        let leaf = self.leaf_operator(&node).await?;
        streams::apply(&leaf, &streams::leaf(&node)).await?;
        Ok(())
    }

    /// The configuration of a data user's connection.
    pub fn data_reader(&self) -> BusConfig {
        BusConfig {
            creds_file: Some(self.keys.join("creds/data-reader.creds")),
            tls: Some(TlsConfig { ca_file: self.ca_file.clone(), ..TlsConfig::default() }),
            ..BusConfig::new(self.hub.clone())
        }
    }

    fn access(&self, account: Account) -> Access {
        let file = match account {
            Account::Core => "operator.creds",
            Account::Nodes => "operator-nodes.creds",
            Account::Money => "operator-money.creds",
            Account::Data => "operator-data.creds",
            Account::Sys => "sys.creds",
        };
        Access {
            url: self.hub.clone(),
            credentials: Credentials::CredsFile(self.keys.join("creds").join(file)),
            ca_file: self.ca_file.clone(),
            inbox_prefix: "_INBOX_operator".into(),
        }
    }
}
