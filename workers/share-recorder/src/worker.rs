//! Binds the feeds to the bus and to the database: one active recorder, others ready.

use crate::{Config, PostgresBook, domain::Feed, feed::Recorder, postgres};
use sqlx::PgPool;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Context, Worker,
    lease::{LeaseConfig, active_standby},
    metric::Name,
};

/// How often the pool's figures are taken.
const FIGURES_INTERVAL: Duration = Duration::from_secs(5);

/// Records what the streams say.
#[derive(Clone, Copy, Debug)]
pub struct ShareRecorder;

impl Worker for ShareRecorder {
    const NAME: &'static str = "share-recorder";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let password = config.database.password_file.as_deref();
        let password = password.map(|path| ctx.secret(path)).transpose()?;
        let pool = postgres::pool(&config.database, password.as_ref())?;
        let bus = ctx.connect(&config.bus).await?.routes(streams::routes());
        let money = match &config.money_bus {
            Some(config) => Some(ctx.connect(config).await?),
            None => None,
        };
        ctx.spawn("database-figures", figures(ctx.clone(), pool.clone()));
        let lease = LeaseConfig {
            bucket: streams::LEASES.to_owned(),
            key: format!("{}.active", Self::NAME),
            holder: ctx.instance().to_owned(),
            ttl: streams::LEASE,
        };
        let feeds = Feeds { ctx: ctx.clone(), bus: bus.clone(), money, pool };
        // The lease saves work; what decides is the position's row in the database.
        active_standby(&ctx, &bus, &lease, |held| feeds.record(held.lost)).await
    }
}

/// Everything that a recording needs.
struct Feeds {
    ctx: Context<Config>,
    bus: Bus,
    money: Option<Bus>,
    pool: PgPool,
}

impl Feeds {
    /// Records all feeds until `stop`; the first one to fail ends the others.
    async fn record(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let stop = stop.child_token();
        let timeout = self.ctx.config.load().database.transaction_timeout();
        let mut running = JoinSet::new();
        let of_core = Feed::OF_CORE.map(|feed| (feed, &self.bus));
        let of_money = self.money.iter().map(|money| (Feed::Statements, money));
        for (feed, source) in of_core.into_iter().chain(of_money) {
            let recorder = Recorder {
                ctx: self.ctx.clone(),
                source: source.clone(),
                bus: self.bus.clone(),
                feed,
                stop: stop.clone(),
            };
            running.spawn(recorder.run(PostgresBook::new(self.pool.clone(), timeout)));
        }
        let mut result = Ok(());
        while let Some(ended) = running.join_next().await {
            stop.cancel();
            result = result.and(ended?);
        }
        result
    }
}

/// Tells how busy the pool is, until the worker drains.
async fn figures(ctx: Context<Config>, pool: PgPool) -> anyhow::Result<()> {
    let of = |state| ctx.metrics().gauge_with(Name::DatabaseConnections, &[("state", state)]);
    let (idle, used) = (of("idle"), of("used"));
    let mut tick = tokio::time::interval(FIGURES_INTERVAL);
    loop {
        tokio::select! {
            () = ctx.stop.cancelled() => return Ok(()),
            _ = tick.tick() => {
                let (all, free) = (i64::from(pool.size()), pool.num_idle());
                let free = i64::try_from(free).unwrap_or(i64::MAX);
                idle.set(free);
                used.set(all.saturating_sub(free));
            }
        }
    }
}
