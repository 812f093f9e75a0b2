//! Binds the ingress to the bus and to its sockets.

use crate::{
    config::Config,
    domain::connection::{Extranonce1, Extranonce2},
    session::StratumV1,
    tls::acceptor,
};
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
            extranonce1: Extranonce1::new(config.extranonce1_bytes).unwrap_or_default(),
            extranonce2: Extranonce2::new(config.extranonce2_bytes).unwrap_or_default(),
            tls,
        };
        ingress::run(&ctx, protocol).await
    }
}
