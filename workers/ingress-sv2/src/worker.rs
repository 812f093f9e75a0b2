//! Binds the ingress to the bus and to its socket.

mod tenure;

use crate::{config::Config, lease, noise::Authority};
use anyhow::Context as _;
use secrecy::ExposeSecret as _;
use std::time::Duration;
use subjects::NodeId;
use tenure::Tenure;
use worker_runtime::{Bus, Context, Worker};

/// The worker.
#[derive(Clone, Copy, Debug)]
pub struct IngressSv2;

impl Worker for IngressSv2 {
    const NAME: &'static str = "ingress-sv2";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let authority = authority(&ctx, &config)?;
        let bus = routed(ctx.connect(&config.bus).await?, &config.node);
        ctx.ready("lane", false, "no lane is leased yet");
        while let Some((lane, lease)) =
            lease::take(&bus, &config.lanes, ctx.instance(), &ctx.stop).await?
        {
            ctx.ready("lane", true, "leased");
            Tenure { ctx: &ctx, bus: &bus, authority: &authority, lane }.run(&lease).await?;
            ctx.ready("lane", false, "the lane was given up");
            lease.release().await;
        }
        Ok(())
    }
}

fn authority(ctx: &Context<Config>, config: &Config) -> anyhow::Result<Authority> {
    let path = &config.authority_key_file;
    let wrong = || format!("`authority_key_file`, {}, holds no authority key", path.display());
    let secret = ctx.secret(path).with_context(wrong)?;
    let validity = Duration::from_secs(config.certificate_validity_secs);
    Authority::new(secret.expose_secret(), validity).with_context(wrong)
}

/// Says which stream must take what this node's ingress publishes.
fn routed(bus: Bus, node: &NodeId) -> Bus {
    if *node == NodeId::core() {
        return bus.routes(streams::routes());
    }
    bus.routes(streams::leaf_routes(node))
}
