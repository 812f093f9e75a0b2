//! The workers' configuration files.

use super::{
    bitcoind,
    bus::hub_urls,
    certificates::{Certificate, Certificates},
    parts::Parts,
    postgresql::database::Role,
    providers::Provider,
    secrets,
};
use anyhow::Context as _;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use streams::LAST_LANE_OF_CORE;
use subjects::{Lane, NodeId};

/// Core's workers, in the order of starting: who hears stands before who speaks.
pub const CORE: [&str; 7] = [
    "payout-calculator",
    "round-tracker",
    "share-recorder",
    "share-verifier",
    "leaf-reader",
    "block-submitter",
    "template-publisher",
];

/// The node's workers, one for each protocol of miners: both run in the process that has the name
/// of the first, behind one port.
pub const INGRESS: &str = "ingress-sv2";
/// The one for Stratum V1.
pub const INGRESS_SV1: &str = "ingress-sv1";

/// The workers of a process; each has a configuration and a metrics page.
pub fn of_process(process: &str) -> Vec<&str> {
    if process == INGRESS { vec![INGRESS, INGRESS_SV1] } else { vec![process] }
}

/// All miners together, where parts are named that a network can do without.
pub const MINERS: &str = "miners";

/// Every part that a network can do without: then only its servers run.
pub const ALL: &str = "all";

/// What a person may leave out, to bring their own.
pub fn optional() -> impl Iterator<Item = &'static str> {
    CORE.into_iter().chain([INGRESS, MINERS, ALL])
}

/// Whether a part is among what was left out.
pub fn is_left_out(part: &str, without: &[String]) -> bool {
    without.iter().any(|name| name == part || name == ALL)
}

/// Depth at which a block's outcome is final. Blocks come every ten seconds or so, and nobody
/// competes.
pub const PAYOUT_CONFIRMATIONS: u32 = 6;

/// The network's only node, which runs the ingress.
///
/// # Errors
///
/// Never: the name is a good one.
pub fn node() -> anyhow::Result<NodeId> {
    Ok("n1".parse()?)
}

/// The node's lanes: two for each protocol, so that a restarted ingress need not wait for its
/// predecessor's lease.
pub fn lanes() -> Vec<Lane> {
    [INGRESS, INGRESS_SV1].into_iter().flat_map(lanes_of).collect()
}

/// The lanes of one of the node's ingresses.
fn lanes_of(ingress: &str) -> [Lane; 2] {
    let before = if ingress == INGRESS { 0 } else { 2 };
    [1, 2].map(|place| Lane(LAST_LANE_OF_CORE.0.saturating_add(before + place)))
}

/// The configuration file of the worker whose process has this name, TOML.
///
/// # Errors
///
/// When a part of the network is unknown.
pub fn config(parts: &Parts<'_>, tls: &Certificates, process: &str) -> anyhow::Result<String> {
    let (worker, provider) = Provider::of_process(process);
    let mut config = match worker {
        "template-publisher" => template_publisher(parts, provider)?,
        "share-verifier" => json!({ "network": "signet" }),
        "leaf-reader" => json!({ "nodes_bus": hub_bus(parts, tls, "leaf-reader-nodes")? }),
        "share-recorder" => share_recorder(parts)?,
        "block-submitter" => block_submitter(parts, provider)?,
        "round-tracker" => json!({}),
        "payout-calculator" => payout_calculator(parts, tls)?,
        INGRESS => ingress_sv2(parts)?,
        INGRESS_SV1 => ingress_sv1(parts, tls)?,
        unknown => anyhow::bail!("no worker is called {unknown}"),
    };
    let bus = match worker {
        INGRESS | INGRESS_SV1 => leaf_bus(parts, worker)?,
        _ => hub_bus(parts, tls, worker)?,
    };
    if let Some(keys) = config.as_object_mut() {
        keys.insert("bus".into(), bus);
        let listen = parts.ports.address(&metrics_port(process))?;
        keys.insert("http".into(), json!({ "listen": listen }));
    }
    let text = toml::to_string(&config)?;
    Ok(format!("# Written by `hyperhash dev up` at every start; changes here are lost.\n{text}"))
}

/// The name of a worker's metrics port.
pub fn metrics_port(worker: &str) -> String {
    format!("metrics-{worker}")
}

fn hub_bus(parts: &Parts<'_>, tls: &Certificates, user: &str) -> anyhow::Result<Value> {
    let creds = parts.home.keys().join("creds").join(format!("{user}.creds"));
    Ok(json!({
        "url": hub_urls(parts.ports, parts.hub)?,
        "creds_file": creds,
        "tls": { "ca_file": tls.authority },
    }))
}

fn leaf_bus(parts: &Parts<'_>, user: &str) -> anyhow::Result<Value> {
    let node = node()?;
    Ok(json!({
        "url": format!("nats://{}", parts.ports.address("leaf")?),
        "nkey_seed_file": parts.home.keys().join(format!("nodes/{node}/{user}.nk")),
        "inbox_prefix": format!("_INBOX_{node}.{user}"),
    }))
}

fn rpc(parts: &Parts<'_>, provider: Provider) -> anyhow::Result<Value> {
    let config = parts.bitcoind_rpc(provider)?;
    Ok(json!({ "url": config.url, "cookie_file": config.cookie_file }))
}

fn template_publisher(parts: &Parts<'_>, provider: Provider) -> anyhow::Result<Value> {
    Ok(json!({
        "chain": "signet",
        "signet_challenge": bitcoind::config::CHALLENGE,
        "treasury_address": secrets::treasury()?.to_string(),
        "providers": [{
            "id": provider.id(),
            "rpc": rpc(parts, provider)?,
            "zmq": [format!("tcp://{}", parts.zmq(provider)?)],
        }],
        // A payment comes every second and is worth 2 200 sat: blocks of ten seconds must have some.
        "templates": { "refresh_fee_gain_sats": 2_000, "ask_secs": 2 },
    }))
}

fn share_recorder(parts: &Parts<'_>) -> anyhow::Result<Value> {
    let database = parts.database()?;
    Ok(json!({
        "database": {
            "url": database.url(Role::Recorder),
            "password_file": Role::Recorder.password_file(parts.home),
        },
    }))
}

fn block_submitter(parts: &Parts<'_>, provider: Provider) -> anyhow::Result<Value> {
    Ok(json!({
        "payout_confirmations": PAYOUT_CONFIRMATIONS,
        "provider": provider.id(),
        "rpc": rpc(parts, provider)?,
    }))
}

fn payout_calculator(parts: &Parts<'_>, tls: &Certificates) -> anyhow::Result<Value> {
    Ok(json!({
        "money_bus": hub_bus(parts, tls, "payout-calculator-money")?,
        "key_file": secrets::statement_key_file(parts.home),
    }))
}

/// What all ingresses of the node have in common.
fn ingress(parts: &Parts<'_>, worker: &str) -> anyhow::Result<Map<String, Value>> {
    let keys = json!({
        "node": node()?,
        "lanes": lanes_of(worker),
        "network": "signet",
        "listen": parts.ports.address("miners")?,
        "providers": parts.providers.iter().map(|one| one.id()).collect::<Vec<_>>(),
        // Two processors of a laptop are small miners: a share each third of a second.
        "vardiff": {
            "shares_per_minute": 180,
            "floor_exponent": -16,
            "starting_hashrate_hs": 200_000,
        },
    });
    keys.as_object().cloned().context("keys are an object")
}

fn ingress_sv2(parts: &Parts<'_>) -> anyhow::Result<Value> {
    let mut keys = ingress(parts, INGRESS)?;
    let authority = secrets::authority_key_file(parts.home);
    keys.insert("authority_key_file".into(), json!(authority));
    Ok(keys.into())
}

fn ingress_sv1(parts: &Parts<'_>, tls: &Certificates) -> anyhow::Result<Value> {
    let mut keys = ingress(parts, INGRESS_SV1)?;
    let Certificate { certificate, key } = &tls.miners;
    keys.insert("tls".into(), json!({ "cert_file": certificate, "key_file": key }));
    Ok(keys.into())
}

/// Where the credentials of each role are that a person is told of.
///
/// # Errors
///
/// As [`node`].
pub fn credentials(keys: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let node = node()?;
    Ok([
        ("data-reader".into(), keys.join("creds/data-reader.creds")),
        (format!("node-{node}"), keys.join(format!("nodes/{node}/link.creds"))),
        ("operator".into(), keys.join("creds/operator.creds")),
    ]
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::{
        certificates,
        home::Home,
        hub::HubServers,
        parts, providers,
        servers::{Server, Servers},
        settings,
    };
    use subjects::Timestamp;
    use worker_runtime::config::parse;

    struct Bench {
        home: Home,
        servers: Servers,
        ports: settings::Ports,
        hub: HubServers,
        tls: Certificates,
        _folder: tempfile::TempDir,
    }

    impl Bench {
        fn new(hub: HubServers) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::prepare(&folder.path().join("net")).unwrap();
            let names = parts::ports(hub, &Provider::ALL);
            let ports = settings::settle_ports(&home, hub, &names, &[], |_| {}).unwrap();
            let tls = certificates::issue(&home, hub, Timestamp(1_800_000_000_000)).unwrap();
            let server = || Server { root: "/".into(), path: "/x".into(), version: "1".into() };
            let servers =
                Servers { nats_server: server(), postgresql: server(), bitcoind: server() };
            Self { home, servers, ports, hub, tls, _folder: folder }
        }

        fn parts(&self) -> Parts<'_> {
            let Self { home, servers, ports, hub, .. } = self;
            Parts { home, servers, ports, hub: *hub, providers: &Provider::ALL }
        }

        fn config(&self, worker: &str) -> String {
            config(&self.parts(), &self.tls, worker).unwrap()
        }
    }

    #[test]
    fn every_worker_takes_its_configuration() {
        let bench = Bench::new(HubServers::One);
        let own = |worker| without_shell(&bench.config(worker));
        parse::<template_publisher::config::Config>(&own("template-publisher")).unwrap();
        parse::<share_verifier::Config>(&own("share-verifier")).unwrap();
        parse::<share_recorder::Config>(&own("share-recorder")).unwrap();
        parse::<block_submitter::Config>(&own("block-submitter")).unwrap();
        parse::<round_tracker::Config>(&own("round-tracker")).unwrap();
        let reader = parse::<leaf_reader::Config>(&own("leaf-reader")).unwrap();
        assert!(reader.nodes_bus.creds_file.unwrap().ends_with("leaf-reader-nodes.creds"));
        let calculator = parse::<payout_calculator::Config>(&own("payout-calculator")).unwrap();
        assert!(
            calculator.money_bus.creds_file.unwrap().ends_with("payout-calculator-money.creds")
        );
        let ingress = parse::<ingress_sv2::Config>(&own(INGRESS)).unwrap();
        assert_eq!(ingress.node, node().unwrap());
        assert_eq!(ingress.bus.inbox_prefix.unwrap(), "_INBOX_n1.ingress-sv2");
        let sv1 = parse::<ingress_sv1::Config>(&own(INGRESS_SV1)).unwrap();
        assert_eq!(sv1.bus.inbox_prefix.unwrap(), "_INBOX_n1.ingress-sv1");
        assert_eq!(sv1.listen, ingress.listen, "one port for all miners");
        assert_eq!([ingress.lanes, sv1.lanes].concat(), lanes());
    }

    #[test]
    fn a_second_provider_has_a_bitcoind_of_its_own_and_the_ingress_hears_both() {
        let bench = Bench::new(HubServers::One);
        let own = |worker| without_shell(&bench.config(worker));
        let [first, second] = ["block-submitter", "block-submitter-second"]
            .map(|worker| parse::<block_submitter::Config>(&own(worker)).unwrap());
        assert_eq!((first.provider.as_str(), second.provider.as_str()), ("dev", "second"));
        assert_ne!(first.rpc.url, second.rpc.url);
        let publisher =
            parse::<template_publisher::config::Config>(&own("template-publisher-second")).unwrap();
        assert_eq!(publisher.providers[0].rpc.url, second.rpc.url);
        let ingress = parse::<ingress_sv2::Config>(&own(INGRESS)).unwrap();
        assert_eq!(ingress.providers, [first.provider, second.provider]);
    }

    #[test]
    fn everything_listens_on_loopback_and_nowhere_else() {
        let bench = Bench::new(HubServers::One);
        let node = of_process(INGRESS).into_iter().map(String::from);
        for worker in providers::core(&Provider::ALL).into_iter().chain(node) {
            let text = bench.config(&worker);
            let listens = text.lines().filter(|line| line.starts_with("listen"));
            assert!(listens.clone().count() > 0, "{text}");
            assert!(listens.into_iter().all(|line| line.contains("\"127.0.0.1:")), "{text}");
        }
    }

    #[test]
    fn a_worker_of_core_knows_every_server_of_the_hub() {
        let bench = Bench::new(HubServers::Three);
        let own = without_shell(&bench.config("round-tracker"));
        let bus = parse::<round_tracker::Config>(&own).unwrap().bus;
        let addresses = ["hub", "hub-2", "hub-3"].map(|name| bench.ports.address(name).unwrap());
        assert_eq!(bus.url, addresses.map(|address| format!("tls://{address}")).join(","));
        // A node's own workers know their leaf alone.
        assert!(!bench.config(INGRESS).contains("tls://"));
    }

    #[test]
    fn an_unknown_worker_is_refused() {
        let bench = Bench::new(HubServers::One);
        assert!(config(&bench.parts(), &bench.tls, "share-keeper").is_err());
    }

    /// The shell takes its own sections out before a worker sees the rest.
    fn without_shell(text: &str) -> String {
        let mut table: toml::Table = toml::from_str(text).unwrap();
        table.remove("http").unwrap();
        toml::to_string(&table).unwrap()
    }
}
