//! What a dev network remembers between starts: its ports, and how many servers its hub has.

use super::{files, home::Home, hub::HubServers};
use anyhow::{Context as _, bail};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    str::FromStr,
};

/// The form of the settings file. A file of another form belongs to another version.
const FORM: u32 = 1;

/// Ports are chosen below the range from which systems take those of outgoing connections, so that
/// a remembered port is not taken by chance.
const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// What is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    form: u32,
    #[serde(default)]
    hub_servers: HubServers,
    ports: BTreeMap<String, u16>,
}

/// A port that the person chose: `hub=4222`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Whose port.
    pub name: String,
    /// Which.
    pub port: u16,
}

/// The ports of a network by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(BTreeMap<String, u16>);

impl Ports {
    /// The address of `name`, always on loopback.
    ///
    /// # Errors
    ///
    /// When no port has this name.
    pub fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        Ok((Ipv4Addr::LOCALHOST, self.port(name)?).into())
    }

    /// The port of `name`.
    ///
    /// # Errors
    ///
    /// When no port has this name.
    pub fn port(&self, name: &str) -> anyhow::Result<u16> {
        self.0.get(name).copied().with_context(|| format!("no port is called {name}"))
    }
}

/// How many servers the hub has: those that it was made with, because streams stay where they are;
/// in a new network as the person wishes.
///
/// # Errors
///
/// When the wish is another than what the network has, or the settings cannot be read.
pub fn settle_hub(home: &Home, wanted: Option<HubServers>) -> anyhow::Result<HubServers> {
    let Some(made) = hub_servers(home)? else { return Ok(wanted.unwrap_or_default()) };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != made) {
        bail!(
            "the hub of this network was made with {made} servers, not {wanted}: leave \
             --hub-servers out, choose another folder with --data-dir, or start over with \
             `hyperhash dev reset`"
        );
    }
    Ok(made)
}

/// How many servers the hub of an existing network has.
///
/// # Errors
///
/// When the settings are there but cannot be read.
pub fn hub_servers(home: &Home) -> anyhow::Result<Option<HubServers>> {
    Ok(read(home)?.map(|settings| settings.hub_servers))
}

/// Settles every port in `names`: the person's choice, else the remembered one while it is free,
/// else a free one; and remembers them.
///
/// # Errors
///
/// When a chosen port is in use or its name is unknown, or the settings cannot be read or written.
pub fn settle_ports(
    home: &Home,
    hub_servers: HubServers,
    names: &[String],
    choices: &[Choice],
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Ports> {
    let remembered = read(home)?.map(|settings| settings.ports).unwrap_or_default();
    let mut ports = chosen(names, choices)?;
    for name in names {
        if ports.contains_key(name) {
            continue;
        }
        let taken: Vec<u16> = ports.values().copied().collect();
        let port = match remembered.get(name).copied() {
            Some(port) if is_free(port) && !taken.contains(&port) => port,
            Some(port) => {
                let free = choose(&taken)?;
                tell(&format!("port {port} of {name} is in use by another program; using {free}"));
                free
            }
            None => choose(&taken)?,
        };
        ports.insert(name.clone(), port);
    }
    let settings = Settings { form: FORM, hub_servers, ports };
    files::write_private(&home.settings(), &serde_json::to_vec_pretty(&settings)?)?;
    Ok(Ports(settings.ports))
}

/// The ports that an existing network remembers.
///
/// # Errors
///
/// When the settings are there but cannot be read.
pub fn remembered(home: &Home) -> anyhow::Result<Option<Ports>> {
    Ok(read(home)?.map(|settings| Ports(settings.ports)))
}

/// The settings of an existing network.
///
/// # Errors
///
/// When they are there but cannot be read.
fn read(home: &Home) -> anyhow::Result<Option<Settings>> {
    let path = home.settings();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let settings: Settings = serde_json::from_slice(&text).with_context(|| {
        format!("{} is damaged; `hyperhash dev reset` starts over", path.display())
    })?;
    if settings.form != FORM {
        bail!(
            "{} was made by another version (form {}, not {FORM}); `hyperhash dev reset` starts over",
            path.display(),
            settings.form
        );
    }
    Ok(Some(settings))
}

fn chosen(names: &[String], choices: &[Choice]) -> anyhow::Result<BTreeMap<String, u16>> {
    let mut ports = BTreeMap::new();
    for Choice { name, port } in choices {
        if !names.contains(name) {
            bail!("no port is called `{name}`; there are: {}", names.join(", "));
        }
        if ports.values().any(|other| other == port) {
            bail!("port {port} was chosen twice");
        }
        if !is_free(*port) {
            bail!(
                "port {port} of {name} is in use by another program; choose another with \
                 --port {name}=NUMBER, or leave it out to get a free one"
            );
        }
        ports.insert(name.clone(), *port);
    }
    Ok(ports)
}

fn choose(taken: &[u16]) -> anyhow::Result<u16> {
    let mut random = rand::thread_rng();
    (0..1_000)
        .map(|_| random.gen_range(RANGE))
        .find(|port| !taken.contains(port) && is_free(*port))
        .with_context(|| format!("no port from {} to {} is free", RANGE.start, RANGE.end))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (name, port) = text.split_once('=')?;
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some(Self { name: name.into(), port })
        };
        parse().ok_or_else(|| "expected NAME=NUMBER, e.g. hub=4222".into())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        (folder, home)
    }

    fn settle(home: &Home, choices: &[Choice]) -> anyhow::Result<(Ports, Vec<String>)> {
        let mut told = Vec::new();
        let names = ["hub".into(), "leaf".into()];
        let hub = HubServers::One;
        let ports = settle_ports(home, hub, &names, choices, |line| told.push(line.into()))?;
        Ok((ports, told))
    }

    #[test]
    fn chosen_once_and_remembered() {
        let (_folder, home) = home();
        let (first, told) = settle(&home, &[]).unwrap();
        assert!(told.is_empty());
        assert_ne!(first.port("hub").unwrap(), first.port("leaf").unwrap());
        assert_eq!(settle(&home, &[]).unwrap(), (first, vec![]));
    }

    #[test]
    fn a_taken_port_is_replaced_unless_it_was_asked_for() {
        let (_folder, home) = home();
        let (first, _) = settle(&home, &[]).unwrap();
        let port = first.port("hub").unwrap();
        let intruder = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let (second, told) = settle(&home, &[]).unwrap();
        assert_ne!(second.port("hub").unwrap(), port);
        assert!(told[0].starts_with(&format!("port {port} of hub is in use")), "{told:?}");

        let error = settle(&home, &[Choice { name: "hub".into(), port }]).unwrap_err();
        assert!(error.to_string().contains("choose another with --port hub="), "{error}");
        drop(intruder);
        let (third, _) = settle(&home, &[Choice { name: "hub".into(), port }]).unwrap();
        assert_eq!(third.port("hub").unwrap(), port);
    }

    #[test]
    fn a_hub_keeps_the_servers_that_it_was_made_with() {
        let (_folder, home) = home();
        let (one, three) = (HubServers::One, HubServers::Three);
        assert_eq!(settle_hub(&home, None).unwrap(), one);
        assert_eq!(settle_hub(&home, Some(three)).unwrap(), three);
        settle_ports(&home, three, &["hub".into()], &[], |_| {}).unwrap();
        assert_eq!(settle_hub(&home, None).unwrap(), three);
        assert_eq!(settle_hub(&home, Some(three)).unwrap(), three);
        let error = settle_hub(&home, Some(one)).unwrap_err().to_string();
        assert!(error.contains("made with 3 servers, not 1"), "{error}");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let (_folder, home) = home();
        let error = settle(&home, &["pub=1".parse().unwrap()]).unwrap_err();
        assert_eq!(error.to_string(), "no port is called `pub`; there are: hub, leaf");
        assert!("hub".parse::<Choice>().is_err() && "hub=0".parse::<Choice>().is_err());
    }

    #[test]
    fn damaged_settings_say_what_to_do() {
        let (_folder, home) = home();
        fs::write(home.settings(), "{\"form\":1,").unwrap();
        let error = read(&home).unwrap_err();
        assert!(error.to_string().contains("`hyperhash dev reset` starts over"), "{error}");
        fs::write(home.settings(), "{\"form\":0,\"ports\":{}}").unwrap();
        let error = read(&home).unwrap_err();
        assert!(error.to_string().contains("another version"), "{error}");
    }
}
