//! Binds the translator to its sockets.

use crate::{config::Config, domain::link::Mode, hub::Hub, server::Server, shared::Shared};
use anyhow::Context as _;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use worker_runtime::{Context, Worker};

/// The worker.
#[derive(Clone, Copy, Debug)]
pub struct Translator;

impl Worker for Translator {
    const NAME: &'static str = "translator";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        say_what_it_means(&config);
        let listener = TcpListener::bind(config.listens())
            .await
            .with_context(|| format!("cannot listen at {}", config.listens()))?;
        let address = listener.local_addr().context("the listener has no address")?;
        let shared = Shared::new(ctx.clone());
        let links = CancellationToken::new();
        let hub = Hub::open(&shared, links.clone());
        let mut server = Server::new(listener, Arc::clone(&shared), hub);
        ctx.announce("miners.sv1", &format!("stratum+tcp://{address}"));
        tracing::info!(%address, "miners may connect");
        let reloads = follow_reloads(&shared);
        tokio::select! {
            () = server.accept(&ctx.stop) => {}
            () = reloads => {}
        }
        server.drain().await;
        // Not before: until then pools answered for shares.
        links.cancel();
        Ok(())
    }
}

/// Takes over what may change at run time, for as long as the process lives.
async fn follow_reloads(shared: &Shared) {
    let mut reloads = shared.ctx.reloads();
    while reloads.changed().await.is_ok() {
        shared.reloaded();
    }
}

/// What an operator should know before the first block is found.
fn say_what_it_means(config: &Config) {
    match config.mode() {
        Mode::PerMiner => tracing::info!(
            "each miner has a channel of its own: its own user name, its own coinbase"
        ),
        Mode::Aggregated(user) => tracing::warn!(
            user,
            "all miners share one channel: the fees of a block that any of them finds go to the \
             channel's one address, and so does all credit for their work"
        ),
    }
}
