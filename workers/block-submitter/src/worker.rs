//! Binds the decision to bitcoind and to the bus.
//!
//! Two roads lead to the [`desk::Desk`]: a request straight from an ingress, and what the streams
//! say. Whatever comes first hands the block in; the other one finds it done.

mod archive;
mod desk;
mod outcomes;
mod readers;
mod roads;

use crate::{Config, port::Bitcoind};
use bitcoind_rpc::Rpc;
use desk::Desk;
use std::sync::Arc;
use worker_runtime::{
    Context, Worker,
    lease::{LeaseConfig, active_standby},
};

pub use roads::Reply;

/// The worker.
#[derive(Clone, Copy, Debug)]
pub struct BlockSubmitter;

impl Worker for BlockSubmitter {
    const NAME: &'static str = "block-submitter";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let rpc = Rpc::new(ctx.config.load().rpc.clone())?;
        submit(ctx, Arc::new(rpc)).await
    }
}

/// Submits blocks to this bitcoind, and follows what becomes of them, until the process drains.
///
/// # Errors
///
/// When the bus cannot be used, or somebody else said something else of a block: a person must
/// look.
pub async fn submit<B: Bitcoind>(ctx: Context<Config>, bitcoind: Arc<B>) -> anyhow::Result<()> {
    let config = ctx.config.load_full();
    let bus = ctx.connect(&config.bus).await?.routes(streams::routes());
    let desk = Arc::new(Desk::new(&ctx, &bus, bitcoind));
    ctx.spawn("templates", readers::templates(Arc::clone(&desk)));
    ctx.spawn("blocks", readers::blocks(Arc::clone(&desk)));
    ctx.spawn("road 1", roads::requests(Arc::clone(&desk)));
    ctx.spawn("road 2", roads::claims(Arc::clone(&desk)));
    let lease = LeaseConfig {
        bucket: streams::LEASES.to_owned(),
        key: format!("{}.{}", BlockSubmitter::NAME, config.provider),
        holder: ctx.instance().to_owned(),
        ttl: streams::LEASE,
    };
    active_standby(&ctx, &bus, &lease, |held| outcomes::follow(Arc::clone(&desk), held)).await
}
