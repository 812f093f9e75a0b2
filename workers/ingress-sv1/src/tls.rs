//! TLS for miners: 1.3, or 1.2 for older firmware, with a certificate that is read again on reload.

use crate::config::{Config, Tls};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use worker_runtime::Context;

/// The certificate that handshakes are answered with now.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Answers handshakes with the configured certificate, as it was when the configuration was read
/// last.
pub(crate) fn acceptor(ctx: &Context<Config>, tls: &Tls) -> anyhow::Result<TlsAcceptor> {
    let current = Arc::new(Current(ArcSwap::from_pointee(read(ctx, tls)?)));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS is not to be had")?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
    ctx.spawn("certificate", follow(ctx.clone(), tls.clone(), current));
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Reads the certificate again with each reload. One that cannot be used leaves the old one.
async fn follow(ctx: Context<Config>, tls: Tls, current: Arc<Current>) -> anyhow::Result<()> {
    let mut reloads = ctx.reloads();
    loop {
        tokio::select! {
            Ok(()) = reloads.changed() => {}
            () = ctx.stop.cancelled() => return Ok(()),
        }
        match read(&ctx, &tls) {
            Ok(certificate) => {
                current.0.store(Arc::new(certificate));
                tracing::info!("the certificate for miners was read again");
            }
            Err(error) => {
                let cause = format!("{error:#}");
                tracing::error!(cause, "the old certificate for miners stays");
            }
        }
    }
}

fn read(ctx: &Context<Config>, tls: &Tls) -> anyhow::Result<CertifiedKey> {
    let Tls { cert_file, key_file } = tls;
    let wrong = || format!("`tls.cert_file`, {}, is no PEM certificate chain", cert_file.display());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert_file)
        .with_context(wrong)?
        .collect::<Result<_, _>>()
        .with_context(wrong)?;
    anyhow::ensure!(!chain.is_empty(), wrong());
    let wrong = || format!("`tls.key_file`, {}, holds no PEM key", key_file.display());
    let key = ctx.secret(key_file).with_context(wrong)?;
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).with_context(wrong)?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .context("`tls.cert_file` and `tls.key_file` do not belong together")
}
