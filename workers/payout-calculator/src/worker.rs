//! Binds the decision to the bus: facts come from CORE, statements go to MONEY.

use crate::{Config, domain::Settings, signature::StatementKey, transform::Payouts};
use anyhow::Context as _;
use subjects::{Payload, payouts::Statement};
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Context, Source, Worker,
    bus::ConnectError,
    drive_to,
    lease::{LeaseConfig, active_standby},
    metric::Name,
};

/// The worker.
#[derive(Debug)]
pub struct PayoutCalculator;

impl Worker for PayoutCalculator {
    const NAME: &'static str = "payout-calculator";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let key_id = settings(&ctx)?.key.id().to_owned();
        tracing::info!(key_id, rule = ?config.reward_rule, "statements are signed with this key");
        ctx.metrics().gauge_with(Name::StatementKey, &[("kid", &key_id)]).set(1);
        let (core, money) = match connect(&ctx, &config).await {
            Err(ConnectError::Stopped) => return Ok(()),
            buses => buses?,
        };
        let lease = LeaseConfig {
            bucket: streams::LEASES.to_owned(),
            key: format!("{}.active", Self::NAME),
            holder: ctx.instance().to_owned(),
            ttl: streams::LEASE,
        };
        active_standby(&ctx, &core, &lease, |held| calculate(&ctx, &core, &money, held.lost)).await
    }
}

/// The connections to CORE and to MONEY.
async fn connect(ctx: &Context<Config>, config: &Config) -> Result<(Bus, Bus), ConnectError> {
    let core = ctx.connect(&config.bus).await?;
    let money = ctx.connect(&config.money_bus).await?;
    Ok((core, money.route(Statement::FILTER, streams::PAYOUTS)))
}

fn settings(ctx: &Context<Config>) -> anyhow::Result<Settings> {
    let config = ctx.config.load();
    let path = &config.key_file;
    let wrong = || format!("the key in `{}` cannot be used", path.display());
    let key = StatementKey::parse(&ctx.secret(path)?).with_context(wrong)?;
    Ok(Settings {
        rule: config.reward_rule,
        key,
        valid_days: config.valid_days,
        max_message_bytes: config.max_message_bytes,
    })
}

/// Hears both streams from their first message on, until the lease is lost.
async fn calculate(
    ctx: &Context<Config>,
    core: &Bus,
    money: &Bus,
    lost: CancellationToken,
) -> anyhow::Result<()> {
    let payouts = Payouts::new(settings(ctx)?, ctx.metrics());
    let source = |stream: &str, filters: &[&str]| Source::Ordered {
        stream: stream.to_owned(),
        filters: filters.iter().map(|filter| (*filter).to_owned()).collect(),
    };
    let sources =
        vec![source(streams::BLOCKS, &Payouts::BLOCKS), source(streams::ROUNDS, &Payouts::ROUNDS)];
    Ok(drive_to(ctx, core, money, payouts, sources, &lost).await?)
}
