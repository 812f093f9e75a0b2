//! Binds the decision to bitcoinds and to the bus.
//!
//! Each bitcoind is watched by a task of its own, which keeps one [`View`] of it up to date. The
//! session looks at all views whenever one changed and says what follows. Nothing is queued in
//! between: after a pause of the bus the latest view counts, not those that were missed.

mod health;
mod report;
mod session;
mod watch;

use crate::{
    config::Config,
    domain::{publisher::Publisher, selection::View, template::Frame},
    port::{Bitcoind, Node},
};
use anyhow::Context as _;
use bitcoind_rpc::Rpc;
use session::Session;
use std::{sync::Arc, time::Duration};
use subjects::ProviderId;
use tokio::{
    sync::watch as channel,
    task::{JoinError, JoinSet},
};
use watch::{Pace, Watch};
use worker_runtime::{
    Bus, Context, Worker,
    lease::{Held, LeaseConfig, active_standby},
};

/// How often a bitcoind is asked again which chain it follows: a node may be replaced behind its
/// address.
const IDENTITY_INTERVAL: Duration = Duration::from_secs(600);

/// The readiness check that tells whether there is a bitcoind to follow; a standby needs none.
const CHECK: &str = "bitcoind";

/// The worker.
#[derive(Debug)]
pub struct TemplatePublisher;

/// One provider and its bitcoind.
pub type Source<B> = (ProviderId, Arc<B>);

impl Worker for TemplatePublisher {
    const NAME: &'static str = "template-publisher";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let signet = config.chain.is_signet();
        let mut nodes = Vec::with_capacity(config.providers.len());
        for provider in &config.providers {
            let node = Node::new(Rpc::new(provider.rpc.clone())?, provider.zmq.clone(), signet);
            nodes.push((provider.id.clone(), Arc::new(node)));
        }
        publish(ctx, nodes).await
    }
}

/// Publishes templates of these bitcoinds, in order of priority, whenever this instance holds
/// their lease, until the process drains.
///
/// # Errors
///
/// When the bus or a configured address cannot be used, or another publisher took over unseen.
pub async fn publish<B: Bitcoind>(
    ctx: Context<Config>,
    nodes: Vec<Source<B>>,
) -> anyhow::Result<()> {
    let config = ctx.config.load_full();
    let bus = ctx.connect(&config.bus).await?.routes(streams::routes());
    let (first, _) = nodes.first().context("no provider is configured")?;
    let lease = LeaseConfig {
        bucket: streams::LEASES.to_owned(),
        key: format!("{}.{first}", TemplatePublisher::NAME),
        holder: ctx.instance().to_owned(),
        ttl: streams::LEASE,
    };
    active_standby(&ctx, &bus, &lease, |held| active(&ctx, &bus, &config, &nodes, held)).await
}

/// One session: from getting the lease to losing it.
async fn active<B: Bitcoind>(
    ctx: &Context<Config>,
    bus: &Bus,
    config: &Arc<Config>,
    nodes: &[Source<B>],
    held: Held,
) -> anyhow::Result<()> {
    for (provider, _) in nodes {
        // Whoever held the lease before has gone on with these chains.
        bus.forget_chain(&format!("templates.new.{provider}")).await;
        bus.forget_chain(&format!("templates.tip.{provider}")).await;
    }
    // Silence counts from here.
    let unseen = View { answered_at: ctx.clock().monotonic(), ..View::default() };
    let views = Arc::new(channel::Sender::new(vec![unseen; nodes.len()]));
    let healths = channel::Sender::new(Vec::new());
    let mut tasks = JoinSet::new();
    for (index, (provider, node)) in nodes.iter().enumerate() {
        let watch = Watch {
            index,
            provider: provider.clone(),
            node: Arc::clone(node),
            expectation: config.expectation(),
            pace: pace(config),
            views: Arc::clone(&views),
            clock: Arc::clone(ctx.clock()),
            metrics: ctx.metrics().clone(),
        };
        tasks.spawn(watch.run());
    }
    let interval = Duration::from_secs(config.health_interval_secs);
    tasks.spawn(health::publish(bus.clone(), healths.subscribe(), interval));
    ctx.ready(CHECK, false, "no bitcoind was heard yet");
    let session = Session::new(ctx, bus, publisher(ctx, config, nodes)?, nodes, healths);
    let result = tokio::select! {
        result = session.run(&views) => result,
        () = held.lost.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => Err(early(ended)),
    };
    tasks.shutdown().await;
    ctx.ready(CHECK, true, "standby");
    result
}

fn publisher<B>(
    ctx: &Context<Config>,
    config: &Config,
    nodes: &[Source<B>],
) -> anyhow::Result<Publisher> {
    let rule = config.coinbase_rule().map_err(anyhow::Error::msg)?;
    let frame = |(provider, _): &Source<B>| Frame {
        provider: provider.clone(),
        session: ctx.now(),
        chain: config.chain,
        rule: rule.clone(),
    };
    let frames = nodes.iter().map(frame).collect();
    let now = ctx.clock().monotonic();
    Ok(Publisher::new(config.chain, frames, config.refresh(), config.patience(), now))
}

const fn pace(config: &Config) -> Pace {
    Pace {
        poll: Duration::from_millis(config.templates.poll_ms),
        ask: Duration::from_secs(config.templates.ask_secs),
        identity: IDENTITY_INTERVAL,
    }
}

fn early(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("a task of the session ended by itself"),
        Ok(Err(error)) => error,
        Err(panicked) => panicked.into(),
    }
}
