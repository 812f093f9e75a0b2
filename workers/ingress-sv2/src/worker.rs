//! Binds the ingress to the bus and to its socket.

use crate::{config::Config, noise::Authority, session::StratumV2};
use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use std::time::Duration;
use worker_runtime::{Context, Worker};

/// The worker.
#[derive(Clone, Copy, Debug)]
pub struct IngressSv2;

impl Worker for IngressSv2 {
    const NAME: &'static str = "ingress-sv2";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let authority = authority(&ctx, &config)?;
        ingress::run(&ctx, StratumV2 { listen: config.listen, authority }).await
    }
}

fn authority(ctx: &Context<Config>, config: &Config) -> anyhow::Result<Authority> {
    let path = &config.authority_key_file;
    let wrong = || format!("`authority_key_file`, {}, holds no authority key", path.display());
    let secret = ctx.secret(path).with_context(wrong)?;
    let validity = Duration::from_secs(config.certificate_validity_secs);
    Authority::new(secret.expose_secret(), validity).with_context(wrong)
}
