//! Binds the ingress to the bus and to its sockets.

use crate::{
    config::{Config, Tls},
    domain::connection::Extranonce2,
    session::StratumV1,
};
use anyhow::Context as _;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use worker_runtime::{Context, Worker};

/// The worker.
#[derive(Clone, Copy, Debug)]
pub struct IngressSv1;

impl Worker for IngressSv1 {
    const NAME: &'static str = "ingress-sv1";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let tls = config.tls.as_ref().map(|tls| acceptor(&ctx, tls)).transpose()?;
        let rented = config.rented.as_ref().map(|rented| (rented.listen, rented.least_exponent));
        let protocol = StratumV1 {
            listen: config.listen,
            rented,
            extranonce2: Extranonce2::new(config.extranonce2_bytes).unwrap_or_default(),
            tls,
        };
        ingress::run(&ctx, protocol).await
    }
}

/// Answers handshakes with the configured certificate, in TLS 1.3 or, for older firmware, 1.2.
fn acceptor(ctx: &Context<Config>, tls: &Tls) -> anyhow::Result<TlsAcceptor> {
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
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS is not to be had")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("`tls.cert_file` and `tls.key_file` do not belong together")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
