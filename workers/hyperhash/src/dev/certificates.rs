//! The dev network's own certificate authorities: one that everybody trusts, and one for what the
//! servers of the hub say to each other. Whoever comes over a route may do anything, so that a
//! node's certificate must not open one.

use super::{files, home::Home, hub::HubServers};
use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};
use subjects::Timestamp;

/// Certificates live for 90 days and are issued anew with every start.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// The authority outlives every network that is not reset.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Clocks may differ by an hour.
const SKEW: Duration = Duration::from_secs(3_600);

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// Where the certificates are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The authority that all others but those of routes are checked against.
    pub authority: PathBuf,
    /// The authority of what the hub's servers show each other.
    pub routes_authority: PathBuf,
    /// What node `n1` shows.
    pub node: Certificate,
    /// What its ingress shows miners.
    pub miners: Certificate,
    hub: BTreeMap<&'static str, OfServer>,
}

/// What one server of the hub shows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OfServer {
    /// To clients and leaves.
    own: Certificate,
    /// To the other servers.
    route: Certificate,
}

impl Certificates {
    /// What the hub's server `name` shows to clients and leaves.
    ///
    /// # Errors
    ///
    /// When there is no such server.
    pub fn hub(&self, name: &str) -> anyhow::Result<&Certificate> {
        Ok(&self.of_server(name)?.own)
    }

    /// What the hub's server `name` shows to its other servers.
    ///
    /// # Errors
    ///
    /// When there is no such server.
    pub fn route(&self, name: &str) -> anyhow::Result<&Certificate> {
        Ok(&self.of_server(name)?.route)
    }

    fn of_server(&self, name: &str) -> anyhow::Result<&OfServer> {
        self.hub.get(name).with_context(|| format!("no server of the hub is called {name}"))
    }
}

/// An authority's name in its files and in its certificate.
struct Name {
    file: &'static str,
    subject: &'static str,
}

const NETWORK: Name = Name { file: "ca", subject: "Hyper Hash dev network" };
const ROUTES: Name = Name { file: "routes-ca", subject: "Hyper Hash dev network, routes" };

/// Issues the certificates; the authorities are made once and kept.
///
/// # Errors
///
/// When an authority is damaged or a file cannot be written.
pub fn issue(home: &Home, hub: HubServers, now: Timestamp) -> anyhow::Result<Certificates> {
    let network = authority(home, &NETWORK, now)?;
    let routes = authority(home, &ROUTES, now)?;
    let of_hub = |name: &&'static str| {
        let own = write(home, name, server(name, now)?, &network)?;
        let route = write(home, &format!("{name}-route"), route(name, now)?, &routes)?;
        Ok((*name, OfServer { own, route }))
    };
    Ok(Certificates {
        authority: home.tls("ca.pem"),
        routes_authority: home.tls("routes-ca.pem"),
        node: write(home, "n1", client("n1", now)?, &network)?,
        miners: write(home, "miners", server("miners", now)?, &network)?,
        hub: hub.names().iter().map(of_hub).collect::<anyhow::Result<_>>()?,
    })
}

fn authority(home: &Home, name: &Name, now: Timestamp) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let Name { file, subject } = name;
    let (certificate, key) = (home.tls(&format!("{file}.pem")), home.tls(&format!("{file}.key")));
    let mut params = params(subject, vec![], now, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if !certificate.exists() {
        let pair = KeyPair::generate()?;
        // The key first: a certificate without its key could never be used again.
        files::write_private(&key, pair.serialize_pem().as_bytes())?;
        files::write_private(&certificate, params.self_signed(&pair)?.pem().as_bytes())?;
    }
    let read = || anyhow::Ok(KeyPair::from_pem(&fs::read_to_string(&key)?)?);
    let pair = read().with_context(|| {
        format!("{} is damaged; `hyperhash dev reset` starts over", key.display())
    })?;
    // Issuing takes the authority's name and key alone, which are those of its certificate.
    Ok(Issuer::new(params, pair))
}

fn server(name: &str, now: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = params(name, loopback(), now, LIFE)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// A server of the hub calls the others and is called by them.
fn route(name: &str, now: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = params(name, loopback(), now, LIFE)?;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn loopback() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

fn client(name: &str, now: Timestamp) -> anyhow::Result<CertificateParams> {
    let mut params = params(name, vec![], now, LIFE)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn write(
    home: &Home,
    name: &str,
    params: CertificateParams,
    authority: &Issuer<'_, KeyPair>,
) -> anyhow::Result<Certificate> {
    let pair = KeyPair::generate()?;
    let signed = params.signed_by(&pair, authority)?;
    let certificate = home.tls(&format!("{name}.pem"));
    let key = home.tls(&format!("{name}.key"));
    files::write_private(&key, pair.serialize_pem().as_bytes())?;
    files::write_private(&certificate, signed.pem().as_bytes())?;
    Ok(Certificate { certificate, key })
}

fn params(
    name: &str,
    alternatives: Vec<String>,
    now: Timestamp,
    life: Duration,
) -> anyhow::Result<CertificateParams> {
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(now.0);
    let mut params = CertificateParams::new(alternatives)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - SKEW;
    params.not_after = now + life;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued(home: &Home, millis: u64) -> anyhow::Result<Certificates> {
        issue(home, HubServers::Three, Timestamp(1_800_000_000_000 + millis))
    }

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        (folder, home)
    }

    fn read(path: &PathBuf) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_authorities_stay_and_certificates_are_renewed() {
        let (_folder, home) = home();
        let first = issued(&home, 0).unwrap();
        let kept = |all: &Certificates| (read(&all.authority), read(&all.routes_authority));
        let renewed = |all: &Certificates| read(&all.hub("hub-3").unwrap().certificate);
        let before = (kept(&first), renewed(&first));
        let second = issued(&home, 100_000).unwrap();
        assert_eq!(first, second);
        assert_eq!(kept(&second), before.0);
        assert_ne!(renewed(&second), before.1);
    }

    #[test]
    fn routes_have_an_authority_of_their_own() {
        let (_folder, home) = home();
        let all = issued(&home, 0).unwrap();
        assert_ne!(read(&all.authority), read(&all.routes_authority));
        let (own, route) = (all.hub("hub").unwrap(), all.route("hub").unwrap());
        assert_ne!(own, route);
        assert!(all.hub("hub-4").is_err());
    }

    #[test]
    fn a_damaged_authority_says_what_to_do() {
        let (_folder, home) = home();
        issued(&home, 0).unwrap();
        fs::write(home.tls("ca.key"), "half").unwrap();
        let error = issued(&home, 0).unwrap_err();
        assert!(error.to_string().contains("dev reset"), "{error}");
    }
}
