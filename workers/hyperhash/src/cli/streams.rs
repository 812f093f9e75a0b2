//! `hyperhash streams`.

use super::{place::dev_network, say};
use crate::dev;
use anyhow::Context as _;
use clap::Subcommand;
use serde::Deserialize;
use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};
use streams::{
    Access, Account, Connection, Credentials, Network, Node, Plan, apply, apply_all, check,
    declared, keys, leaf, register,
};
use subjects::{Lane, NodeId};
use worker_runtime::clock::{Clock as _, SystemClock};

/// Compare the bus with what the program declares, and make it so.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Streams, consumers, buckets and users are declared in the program, with the
reason beside each. What is on a server and not declared is shown and never deleted.

Examples:
  hyperhash streams plan                         what `apply` would do to the dev network
  hyperhash streams check                        exit code 1 if anything differs
  hyperhash streams apply --url tls://core:4222 --keys /etc/hyperhash/keys --ca ca.pem \\
      --network network.toml
  hyperhash streams keys --keys /etc/hyperhash/keys --network network.toml

The network file says what cannot be declared beforehand:
  replicas = 3
  [[nodes]]
  id = \"n1\"
  lanes = [256, 257]"
)]
pub(super) enum Command {
    /// Show what separates the servers from the declaration; change nothing
    Plan(Where),
    /// Make the servers hold what is declared; doing it again does nothing
    Apply(Where),
    /// Like `plan`, with exit code 1 if anything differs
    Check(Where),
    Keys(KeysArgs),
}

/// Which servers.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The hub's servers, separated by commas [default: that of the dev network]
    #[arg(long, requires = "keys")]
    url: Option<String>,
    /// Folder of keys, as `streams keys` makes it [default: that of the dev network]
    #[arg(long, value_name = "FOLDER")]
    keys: Option<PathBuf>,
    /// Authority of the hub's certificate [default: that of the dev network]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The nodes and their lanes [default: those of the dev network]
    #[arg(long, value_name = "FILE")]
    network: Option<PathBuf>,
    /// Also this node's own server, at --leaf-url
    #[arg(long, value_name = "ID", requires = "leaf_url")]
    leaf: Option<NodeId>,
    /// Where that server is, `nats://host:port`
    #[arg(long, value_name = "URL", requires = "leaf")]
    leaf_url: Option<String>,
    /// Print the plans as JSON
    #[arg(long)]
    json: bool,
    /// Folder of the dev network's data
    #[arg(
        long,
        default_value = ".dev",
        env = "HYPERHASH_DEV_DATA_DIR",
        hide_env = true,
        value_name = "FOLDER"
    )]
    data_dir: PathBuf,
}

/// Make the keys, accounts and credentials that are missing
///
/// Keys that exist are used again; what is written is told. With --push a running hub learns of
/// changed accounts.
#[derive(Debug, clap::Args)]
pub(super) struct KeysArgs {
    /// Folder of keys; its `seeds` are the only secrets that must be backed up
    #[arg(long, value_name = "FOLDER")]
    keys: PathBuf,
    /// The nodes and their lanes
    #[arg(long, value_name = "FILE")]
    network: PathBuf,
    /// Tell a running hub the accounts' claims
    #[arg(long, value_name = "URL")]
    push: Option<String>,
    /// Authority of the hub's certificate
    #[arg(long, value_name = "FILE", requires = "push")]
    ca: Option<PathBuf>,
}

/// What cannot be declared in the program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkFile {
    /// How many servers keep each stream of the hub.
    #[serde(default = "one")]
    replicas: u8,
    #[serde(default)]
    nodes: Vec<NodeEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    id: NodeId,
    lanes: Vec<Lane>,
}

const fn one() -> u8 {
    1
}

/// The accounts of the hub that hold streams.
const ACCOUNTS: [Account; 4] = [Account::Nodes, Account::Core, Account::Money, Account::Data];

/// The servers, found.
struct Servers {
    network: Network,
    hub: BTreeMap<Account, Connection>,
    leaf: Option<(NodeId, Connection)>,
}

impl Command {
    /// Does it.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Plan(place) => {
                let plans = place.servers().await?.plans().await?;
                place.show(&plans)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Check(place) => {
                let plans = place.servers().await?.plans().await?;
                place.show(&plans)?;
                let in_order = plans.values().all(Plan::in_order);
                Ok(if in_order { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Self::Apply(place) => {
                let plans = place.servers().await?.apply().await?;
                place.show(&plans)?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Keys(args) => args.run().await.map(|()| ExitCode::SUCCESS),
        }
    }
}

impl Servers {
    /// What separates each account, and the leaf, from what is declared.
    async fn plans(&self) -> anyhow::Result<BTreeMap<String, Plan>> {
        let mut plans = BTreeMap::new();
        for (account, connection) in &self.hub {
            let plan = check(connection, &declared(*account, &self.network)).await?;
            plans.insert(account.to_string(), plan);
        }
        if let Some((node, connection)) = &self.leaf {
            plans.insert(format!("leaf {node}"), check(connection, &leaf(node)).await?);
        }
        Ok(plans)
    }

    async fn apply(&self) -> anyhow::Result<BTreeMap<String, Plan>> {
        let done = apply_all(&self.hub, &self.network).await?;
        let core = self.hub.get(&Account::Core).context("no connection to CORE")?;
        register(core, &self.network).await?;
        let mut plans: BTreeMap<_, _> =
            done.into_iter().map(|(account, plan)| (account.to_string(), plan)).collect();
        if let Some((node, connection)) = &self.leaf {
            plans.insert(format!("leaf {node}"), apply(connection, &leaf(node)).await?);
        }
        Ok(plans)
    }
}

impl Where {
    async fn servers(&self) -> anyhow::Result<Servers> {
        let (bus, network) = match (&self.url, &self.keys) {
            (Some(url), Some(keys)) => {
                let file = self.network.as_ref().context("--network is missing")?;
                let bus = dev::bus::Bus {
                    hub: url.clone(),
                    leaf: self.leaf_url.clone().unwrap_or_default(),
                    ca_file: self.ca.clone(),
                    keys: keys.clone(),
                };
                (bus, read_network(file)?)
            }
            _ => {
                let (_, endpoints) = dev_network(&self.data_dir)?;
                let home = dev::home::Home::at(&self.data_dir)?;
                let servers = dev::settings::hub_servers(&home)?.unwrap_or_default();
                let bus = dev::bus::Bus {
                    hub: endpoints.nats.hub,
                    leaf: endpoints.nats.leaf,
                    ca_file: Some(endpoints.nats.ca_file),
                    keys: home.keys(),
                };
                (bus, dev::bus::network(servers)?)
            }
        };
        let mut hub = BTreeMap::new();
        for account in ACCOUNTS {
            hub.insert(account, bus.operator(account).await?);
        }
        let node = match (&self.leaf, &self.url) {
            (Some(node), _) => Some(node.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(dev::workers::node()?),
        };
        let leaf = match node {
            Some(node) => Some((node.clone(), bus.leaf_operator(&node).await?)),
            None => None,
        };
        Ok(Servers { network, hub, leaf })
    }

    fn show(&self, plans: &BTreeMap<String, Plan>) -> anyhow::Result<()> {
        if self.json {
            return Ok(say(&serde_json::to_string_pretty(plans)?)?);
        }
        for (place, plan) in plans {
            say(&format!("{place}\n{plan}"))?;
        }
        Ok(())
    }
}

impl KeysArgs {
    async fn run(self) -> anyhow::Result<()> {
        let minted =
            keys::mint(&self.keys, &read_network(&self.network)?, SystemClock::new().now())?;
        for path in &minted.written {
            say(&format!("written: {}", path.display()))?;
        }
        if minted.written.is_empty() {
            say("nothing had to be written")?;
        }
        let Some(url) = self.push else { return Ok(()) };
        let access = Access {
            url,
            credentials: Credentials::CredsFile(self.keys.join("creds/sys.creds")),
            ca_file: self.ca,
            inbox_prefix: "_INBOX_operator".into(),
        };
        keys::push(&Connection::open(&access).await?, &minted).await?;
        Ok(say("the hub knows the accounts")?)
    }
}

fn read_network(path: &PathBuf) -> anyhow::Result<Network> {
    let read = || {
        let file: NetworkFile = toml::from_str(&fs::read_to_string(path)?)?;
        let nodes = file.nodes.into_iter().map(|NodeEntry { id, lanes }| Node { id, lanes });
        anyhow::Ok(Network::new(nodes.collect())?.replicated(file.replicas))
    };
    read().with_context(|| format!("the network file {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> anyhow::Result<Network> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        read_network(&file.path().to_owned())
    }

    #[test]
    fn the_network_file_is_checked() {
        let text = "replicas = 3\n[[nodes]]\nid = \"n1\"\nlanes = [256, 257]\n";
        let good = network(text).unwrap();
        assert_eq!((good.nodes().len(), good.replicas()), (1, 3));
        assert!(network("[[nodes]]\nid = \"n1\"\nlanes = [7]\n").is_err());
        assert!(network("replica = 3\n").is_err());
    }
}
