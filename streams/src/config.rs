//! Configuration files of the servers, as text. No path, port or host is ours: the caller gives
//! them.

use crate::{
    Account,
    declared::HUB_DOMAIN,
    keys::{LeafUser, Minted},
};
use std::{
    fmt::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};
use subjects::NodeId;

/// A server of the hub.
#[derive(Clone, Debug)]
pub struct Hub {
    /// Name in logs and lists; the same after every start, and its own in a cluster.
    pub server_name: String,
    /// Where workers connect.
    pub clients: SocketAddr,
    /// Where leaves connect.
    pub leaves: SocketAddr,
    /// Where the server tells how it is, over HTTP: loopback, it has no passwords.
    pub monitor: SocketAddr,
    /// Where JetStream keeps its streams.
    pub store: PathBuf,
    /// Most bytes that it may keep there; at least [`crate::reserved_bytes`].
    pub store_bytes: u64,
    /// Where pushed account claims are kept.
    pub resolver: PathBuf,
    /// The server's certificate.
    pub tls: Tls,
    /// How it reaches the hub's other servers; absent where it is the only one.
    pub cluster: Option<Cluster>,
}

/// How the servers of one hub reach each other.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Where the others connect: a network of the hub's own.
    pub listen: SocketAddr,
    /// Where all servers of the hub listen for each other, this one's address included:
    /// `tls://host:port`.
    pub routes: Vec<String>,
    /// What this server shows the others, whether it is called or calls. A route may do anything,
    /// so the authority must be one that signs nothing but these: a node's certificate opens none.
    pub tls: Tls,
}

/// A node's own server.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The node; also the name of its JetStream domain.
    pub node: NodeId,
    /// Where the node's own workers connect: loopback, without TLS.
    pub clients: SocketAddr,
    /// Where the server tells how it is, over HTTP: loopback.
    pub monitor: SocketAddr,
    /// Where JetStream keeps its streams.
    pub store: PathBuf,
    /// Most bytes that it may keep there; at least what [`crate::leaf`] reserves
    /// ([`crate::Topology::reserved_bytes`]).
    pub store_bytes: u64,
    /// The leaf listeners of the hub's servers, e.g. `tls://hub.example:7422`: it is linked to one,
    /// and goes to the next when that ends.
    pub hub: Vec<String>,
    /// The node's certificate, which the hub checks.
    pub tls: Tls,
}

/// A certificate, its key, and the authority that the other side's must be signed by.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Authority, PEM.
    pub ca: PathBuf,
    /// Own certificate, PEM.
    pub cert: PathBuf,
    /// Own key, PEM.
    pub key: PathBuf,
}

/// The keys do not fit the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No keys were minted for the node.
    #[error("there are no keys for node `{0}`: mint them with a network that has it")]
    UnknownNode(NodeId),
    /// Keys without accounts.
    #[error("there are no keys for account {0}")]
    UnknownAccount(Account),
}

/// The hub's configuration: operator mode, every write synced, leaves by mutual TLS.
///
/// # Errors
/// When `keys` have no system account.
pub fn hub(hub: &Hub, keys: &Minted) -> Result<String, ConfigError> {
    let sys = keys.account(Account::Sys).ok_or(ConfigError::UnknownAccount(Account::Sys))?;
    let mut preload = String::new();
    for account in &keys.accounts {
        // Writing to a string cannot fail.
        let _written = writeln!(preload, "  {}: {}", account.public_key, account.token);
    }
    let Hub { server_name, clients, leaves, monitor, store_bytes, .. } = hub;
    Ok(format!(
        r#"# Written by `hyperhash streams`; change the declarations, not this file.
server_name: {name}
listen: "{clients}"
http: "{monitor}"
tls {{ {own}, min_version: "1.3" }}

# One lost share costs a miner's trust, so every write is synced before it is acknowledged.
jetstream {{ store_dir: {store}, max_file_store: {store_bytes}, domain: {HUB_DOMAIN}, sync_interval: always }}
# Answers to the hub's own requests name domain and stream, so that a link lets only those through.
feature_flags {{ js_api_reply_v2: true }}

operator: {operator}
system_account: {system}
resolver {{ type: full, dir: {resolver}, allow_delete: false, interval: "2m" }}
resolver_preload {{
{preload}}}

{cluster}leafnodes {{
  listen: "{leaves}"
  no_advertise: true
  # A node hears nothing of another.
  isolate_leafnode_interest: true
  tls {{ {mutual}, verify: true, handshake_first: true, min_version: "1.3" }}
}}

# A statement of some ten thousand payees fits; nodes' messages are bounded by their streams.
max_payload: 8MB
{LINKS}"#,
        name = quoted(server_name),
        own = certificate(&hub.tls),
        cluster = hub.cluster.as_ref().map(cluster).unwrap_or_default(),
        mutual = with_authority(&hub.tls),
        store = quoted_path(&hub.store),
        resolver = quoted_path(&hub.resolver),
        operator = quoted(&keys.operator),
        system = sys.public_key,
    ))
}

fn cluster(cluster: &Cluster) -> String {
    let Cluster { listen, routes, tls } = cluster;
    format!(
        r#"cluster {{
  name: {HUB_DOMAIN}
  listen: "{listen}"
  # Clients and leaves are told all servers by their configuration.
  no_advertise: true
  routes: {routes}
  tls {{ {mutual}, verify: true, min_version: "1.3" }}
}}

"#,
        routes = List(routes.iter()),
        mutual = with_authority(tls),
    )
}

/// The configuration of a node's own server: it listens on the node only and dials out.
///
/// # Errors
/// When `keys` have none for the node.
pub fn leaf(leaf: &Leaf, keys: &Minted) -> Result<String, ConfigError> {
    let unknown = || ConfigError::UnknownNode(leaf.node.clone());
    let node = keys.node(&leaf.node).ok_or_else(unknown)?;
    let users: String = node.users.iter().map(nkey_user).collect();
    let Leaf { node: id, clients, monitor, store_bytes, .. } = leaf;
    Ok(format!(
        r#"# Written by `hyperhash streams`; change the declarations, not this file.
server_name: "{id}"
listen: "{clients}"
http: "{monitor}"

# A miner's acknowledgement means that its share is synced here.
jetstream {{ store_dir: {store}, max_file_store: {store_bytes}, domain: "{id}", sync_interval: always }}
feature_flags {{ js_api_reply_v2: true }}

# Outbound only: nothing listens here for the hub.
leafnodes {{
  reconnect: "1s"
  remotes: [ {{
    urls: {hub}
    account: NODE
    credentials: {link}
    tls {{ {mutual}, handshake_first: true, min_version: "1.3" }}
  }} ]
}}

accounts {{
  NODE {{ jetstream: enabled, users: [
{users}  ] }}
  SYS {{ }}
}}
system_account: SYS
{LINKS}"#,
        store = quoted_path(&leaf.store),
        hub = List(leaf.hub.iter()),
        link = quoted_path(&node.link_creds),
        mutual = with_authority(&leaf.tls),
    ))
}

/// A dead link is noticed within a minute, not within four.
const LINKS: &str = "ping_interval: \"20s\"\nping_max: 2\n";

fn nkey_user(user: &LeafUser) -> String {
    let permissions = &user.permissions;
    format!(
        "    # {}\n    {{ nkey: {}, permissions: {{ publish: {{ allow: {} }}, subscribe: {{ allow: \
         {} }} }} }}\n",
        user.name,
        user.public_key,
        List(permissions.publish.iter()),
        List(permissions.subscribe.iter()),
    )
}

/// Texts as a list of the server's configuration.
struct List<I>(I);

impl<'a, I: Iterator<Item = &'a String> + Clone> fmt::Display for List<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<_> = self.0.clone().map(|item| quoted(item)).collect();
        write!(f, "[{}]", items.join(", "))
    }
}

fn certificate(tls: &Tls) -> String {
    format!("cert_file: {}, key_file: {}", quoted_path(&tls.cert), quoted_path(&tls.key))
}

fn with_authority(tls: &Tls) -> String {
    format!("{}, ca_file: {}", certificate(tls), quoted_path(&tls.ca))
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{AccountKeys, NodeKeys};

    fn keys() -> Minted {
        let user = LeafUser {
            name: "ingress-sv2",
            public_key: "UAAA".to_owned(),
            seed_file: "/keys/nodes/n1/ingress-sv2.nk".into(),
            permissions: crate::Permissions {
                publish: ["shares.submitted.n1.*".to_owned()].into(),
                subscribe: ["_INBOX_n1.ingress-sv2.>".to_owned()].into(),
                answers: false,
            },
        };
        let node = NodeKeys {
            id: "n1".parse().unwrap(),
            link_creds: "/keys/nodes/n1/link.creds".into(),
            users: vec![user],
        };
        let sys = AccountKeys {
            account: Account::Sys,
            public_key: "ASYS".to_owned(),
            token: "sys.token".to_owned(),
        };
        Minted {
            operator: "operator.token".to_owned(),
            accounts: vec![sys],
            nodes: vec![node],
            written: Vec::new(),
        }
    }

    fn tls() -> Tls {
        Tls { ca: "/pki/ca.pem".into(), cert: "/pki/a.pem".into(), key: "/pki/a.key".into() }
    }

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn hub_of(cluster: Option<Cluster>) -> Hub {
        Hub {
            server_name: "hub".to_owned(),
            clients: address(1),
            leaves: address(2),
            monitor: address(3),
            store: r#"/a "quoted" \ place"#.into(),
            store_bytes: 1_000,
            resolver: "/resolver".into(),
            tls: tls(),
            cluster,
        }
    }

    #[test]
    fn the_hub_s_configuration() {
        insta::assert_snapshot!(hub(&hub_of(None), &keys()).unwrap());
    }

    #[test]
    fn a_server_of_three_has_routes_under_an_authority_of_their_own() {
        let routes = [4, 5, 6].map(|port| format!("tls://{}", address(port)));
        let own = Tls { ca: "/pki/routes.pem".into(), ..tls() };
        let cluster = Cluster { listen: address(4), routes: routes.into(), tls: own };
        let text = hub(&hub_of(Some(cluster)), &keys()).unwrap();
        let (_, from) = text.split_once("\ncluster {").unwrap();
        let (cluster, _) = from.split_once("leafnodes {").unwrap();
        insta::assert_snapshot!(cluster);
    }

    #[test]
    fn a_leaf_s_configuration() {
        let config = Leaf {
            node: "n1".parse().unwrap(),
            clients: address(1),
            monitor: address(2),
            store: "/store".into(),
            store_bytes: 1_000,
            hub: vec!["tls://hub.example:7422".to_owned(), "tls://hub-2.example:7422".to_owned()],
            tls: tls(),
        };
        insta::assert_snapshot!(leaf(&config, &keys()).unwrap());
        let other = Leaf { node: "n2".parse().unwrap(), ..config };
        let error = leaf(&other, &keys()).unwrap_err();
        assert_eq!(error, ConfigError::UnknownNode("n2".parse().unwrap()));
    }
}
