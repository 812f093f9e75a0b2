//! V1 over TLS.

use crate::{
    judge::{self, TlsFault},
    probe::Probe,
    report::{Finding, Name},
    walk::Walk,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem, pem::PemObject as _},
};
use std::sync::Arc;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Whose certificates are trusted.
#[derive(Clone, Debug)]
pub struct Trust(RootCertStore);

/// The authorities cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// No PEM.
    #[error("the authority's file is no PEM: {0}")]
    Pem(pem::Error),
    /// A certificate in it is none.
    #[error("a certificate of the authority's file cannot be used")]
    Certificate(#[source] rustls::Error),
    /// It holds none.
    #[error("the authority's file holds no certificate")]
    Empty,
}

impl Trust {
    /// The authorities that browsers trust.
    pub fn public() -> Self {
        Self(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
    }

    /// The certificates of a PEM file.
    ///
    /// # Errors
    ///
    /// When there is none in it that can be used.
    pub fn private(file: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(file) {
            let certificate = certificate.map_err(TrustError::Pem)?;
            roots.add(certificate).map_err(TrustError::Certificate)?;
        }
        if roots.is_empty() { Err(TrustError::Empty) } else { Ok(Self(roots)) }
    }
}

/// Shakes hands and checks the certificate.
pub(crate) async fn go(
    walk: &mut Walk<'_>,
    probe: &Probe,
    host: &str,
    stream: TcpStream,
) -> Option<TlsStream<TcpStream>> {
    let address = format!("{host}:{}", probe.pool.port());
    let Some((connector, name)) = connector(probe, host) else {
        let advice = "Use the host name or address that the certificate is for.";
        walk.step(Name::Tls, Finding::wrong(format!("`{host}` is no name for TLS"), advice));
        return None;
    };
    let fault = match timeout(probe.timeout, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => {
            walk.step(Name::Tls, Finding::fine(agreed(&stream)));
            return Some(stream);
        }
        Ok(Err(error)) => Some(error),
        Err(_) => None,
    };
    // The library hands its own error out inside the socket's.
    let inner = fault.as_ref().and_then(|error| error.get_ref());
    let refused = inner.and_then(|error| error.downcast_ref::<rustls::Error>());
    let fault = match (&fault, refused) {
        (_, Some(error)) => TlsFault::Refused(error),
        (Some(_), None) => TlsFault::Closed,
        (None, None) => TlsFault::Silent,
    };
    walk.step(Name::Tls, judge::tls(host, &address, fault));
    None
}

fn connector(probe: &Probe, host: &str) -> Option<(TlsConnector, ServerName<'static>)> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(probe.trust.0.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    Some((TlsConnector::from(Arc::new(config)), name))
}

fn agreed(stream: &TlsStream<TcpStream>) -> String {
    let version = stream.get_ref().1.protocol_version();
    let version = version.and_then(|version| version.as_str()).unwrap_or("TLS");
    format!("{version}, the certificate is trusted")
}
