//! The dev network's own certificate authority.

use super::{files, home::Home};
use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::{fs, path::PathBuf, time::Duration};
use subjects::Timestamp;

/// Certificates live for 90 days and are issued anew with every start.
const LIFE: Duration = Duration::from_secs(90 * 86_400);
/// The authority outlives every network that is not reset.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Clocks may differ by five minutes.
const SKEW: Duration = Duration::from_secs(300);

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
    /// The authority that all others are checked against.
    pub authority: PathBuf,
    /// What the hub shows.
    pub hub: Certificate,
    /// What node `n1` shows.
    pub node: Certificate,
}

/// Issues the certificates; the authority is made once and kept.
///
/// # Errors
///
/// When the authority is damaged or a file cannot be written.
pub fn issue(home: &Home, now: Timestamp) -> anyhow::Result<Certificates> {
    let authority = authority(home, now)?;
    let hub = server(home, &authority, now)?;
    let node = client(home, &authority, now)?;
    Ok(Certificates { authority: home.tls("ca.pem"), hub, node })
}

fn authority(home: &Home, now: Timestamp) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let (certificate, key) = (home.tls("ca.pem"), home.tls("ca.key"));
    let mut params = params("Hyper Hash dev network", vec![], now, AUTHORITY_LIFE)?;
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

fn server(
    home: &Home,
    authority: &Issuer<'_, KeyPair>,
    now: Timestamp,
) -> anyhow::Result<Certificate> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = params("hub", names, now, LIFE)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    write(home, "hub", params, authority)
}

fn client(
    home: &Home,
    authority: &Issuer<'_, KeyPair>,
    now: Timestamp,
) -> anyhow::Result<Certificate> {
    let mut params = params("n1", vec![], now, LIFE)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    write(home, "n1", params, authority)
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

    #[test]
    fn the_authority_stays_and_certificates_are_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        let read = |path: &PathBuf| fs::read_to_string(path).unwrap();
        let first = issue(&home, Timestamp(1_800_000_000_000)).unwrap();
        let before = (read(&first.authority), read(&first.hub.certificate));
        let second = issue(&home, Timestamp(1_800_000_100_000)).unwrap();
        assert_eq!(first, second);
        assert_eq!(read(&second.authority), before.0);
        assert_ne!(read(&second.hub.certificate), before.1);
    }

    #[test]
    fn a_damaged_authority_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        issue(&home, Timestamp(1_800_000_000_000)).unwrap();
        fs::write(home.tls("ca.key"), "half").unwrap();
        let error = issue(&home, Timestamp(1_800_000_000_000)).unwrap_err();
        assert!(error.to_string().contains("dev reset"), "{error}");
    }
}
