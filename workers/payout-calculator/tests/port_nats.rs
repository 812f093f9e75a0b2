//! On a real nats-server: the worker as it runs in production.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/hearing.rs"]
mod hearing;

use common::{Block, Fact, History, SEED, Slice, hash_of, height_of, history, settings};
use hearing::run;
use payout_calculator::{Config, PayoutCalculator, signature::verify};
use serde_json::json;
use std::{io::Write, os::unix::fs::PermissionsExt, time::Duration};
use subjects::{
    Payload,
    blocks::BlockResult,
    payouts::{RewardRule, Statement},
};
use worker_runtime::{
    Bus, BusConfig, Context, Worker,
    outcome::Publication,
    testing::{self, nats::Server, until},
};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const RULE: RewardRule = RewardRule::Window { factor: 2 };

/// CORE and MONEY are accounts of one server in production; here they are two servers, so that
/// nothing can be read or written in the wrong one.
struct Servers {
    core: Server,
    money: Server,
    key: tempfile::NamedTempFile,
}

impl Servers {
    async fn start() -> Self {
        let core = Server::start().await.unwrap();
        core.stream("BLOCKS", &["blocks.>"], json!({})).await.unwrap();
        core.stream("ROUNDS", &["rounds.>"], json!({})).await.unwrap();
        core.bucket(streams::LEASES, Some(streams::LEASE)).await.unwrap();
        let money = Server::start().await.unwrap();
        money.stream("PAYOUTS", &["payouts.>"], json!({})).await.unwrap();
        let mut key = tempfile::NamedTempFile::new().unwrap();
        key.write_all(SEED.as_bytes()).unwrap();
        std::fs::set_permissions(key.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { core, money, key }
    }

    fn calculator(&self, max_message_bytes: usize) -> Context<Config> {
        let config = Config {
            bus: BusConfig::new(self.core.url()),
            money_bus: BusConfig::new(self.money.url()),
            reward_rule: RULE,
            key_file: self.key.path().to_owned(),
            valid_days: 30,
            max_message_bytes,
        };
        let ctx = Context::detached(PayoutCalculator::NAME, config);
        ctx.spawn("run", PayoutCalculator::run(ctx.clone()));
        ctx
    }
}

fn confirmed(lines: &[(u8, u128)]) -> Slice {
    let block = Block {
        finder: lines.first().unwrap().0,
        subsidy: 312_500_000,
        fees: 4_321_987,
        pays_finder: true,
        result: BlockResult::Confirmed,
    };
    Slice { lines: lines.iter().copied().collect(), network_work: 8, block: Some(block) }
}

async fn publish(core: &Bus, history: &History) {
    let parts = history.lines.values().flatten().map(Publication::once);
    let (rounds, blocks) = (history.rounds.iter(), history.blocks.iter());
    let facts = rounds.chain(blocks).map(|fact| match fact {
        Fact::Solved(solved) => Publication::once(solved),
        Fact::Outcome(outcome) => Publication::once(outcome),
        Fact::Slice(slice, _) => Publication::once(slice),
    });
    for fact in parts.chain(facts) {
        core.publish(fact).await.unwrap();
    }
}

async fn bus(server: &Server) -> Bus {
    testing::bus(server, "test").await.unwrap().routes(streams::routes())
}

async fn statement(money: &Bus, height: u32) -> Option<Statement> {
    let subject = format!("payouts.statement.block-{height}.0");
    let delivery = money.last("PAYOUTS", &subject).await.unwrap()?;
    Some(Statement::decode(&delivery.body).unwrap())
}

async fn wait_for(money: &Bus, height: u32) -> Statement {
    let what = format!("the statement of {height}");
    until(&what, PATIENCE, async || statement(money, height).await.is_some()).await.unwrap();
    statement(money, height).await.unwrap()
}

#[tokio::test]
async fn statements_are_what_the_decision_says_and_are_made_once() {
    let servers = Servers::start().await;
    let (core, money) = (bus(&servers.core).await, bus(&servers.money).await);
    let slices = [confirmed(&[(1, 5), (2, 3), (3, 2)]), confirmed(&[(2, 4)])];
    publish(&core, &history(&slices[..1])).await;
    let first = servers.calculator(1_000_000);
    wait_for(&money, height_of(1)).await;
    first.finish(PATIENCE).await.unwrap();

    let whole = history(&slices);
    publish(&core, &whole).await;
    let (second, standby) = (servers.calculator(1_000_000), servers.calculator(1_000_000));
    let found = wait_for(&money, height_of(2)).await;
    second.finish(PATIENCE).await.unwrap();
    standby.finish(PATIENCE).await.unwrap();

    let expected = run(RULE, whole.rounds.iter().chain(&whole.blocks), &whole.lines);
    assert_eq!(found.payload, expected[&height_of(2)].payload);
    let validity = verify(&found, &settings(RULE).key.public()).unwrap().validity;
    let outcome = core.last("BLOCKS", &format!("blocks.outcome.{}", hash_of(2))).await.unwrap();
    assert_eq!(validity.issued_secs, outcome.unwrap().stored_at.0 / 1_000);
    assert_eq!(money.stream_info("PAYOUTS").await.unwrap().messages, 2);
}

#[tokio::test]
async fn a_standby_takes_over() {
    let servers = Servers::start().await;
    let (core, money) = (bus(&servers.core).await, bus(&servers.money).await);
    let slices = [confirmed(&[(1, 1)]), confirmed(&[(2, 1)])];
    let (one, other) = (servers.calculator(1_000_000), servers.calculator(1_000_000));
    publish(&core, &history(&slices[..1])).await;
    wait_for(&money, height_of(1)).await;
    one.finish(PATIENCE).await.unwrap();
    publish(&core, &history(&slices)).await;
    wait_for(&money, height_of(2)).await;
    other.finish(PATIENCE).await.unwrap();
}

async fn ends_with(ctx: Context<Config>, words: &str) {
    tokio::time::timeout(PATIENCE, ctx.stop.cancelled()).await.unwrap();
    let error = format!("{:#}", ctx.finish(PATIENCE).await.unwrap_err());
    assert!(error.contains(words), "{error}");
}

#[tokio::test]
async fn what_must_not_be_passed_over_ends_the_process() {
    let servers = Servers::start().await;
    let (core, money) = (bus(&servers.core).await, bus(&servers.money).await);
    publish(&core, &history(&[confirmed(&[(1, 1)])])).await;
    ends_with(servers.calculator(500), "raise `max_payload`").await;
    assert_eq!(statement(&money, height_of(1)).await, None);

    let good = servers.calculator(1_000_000);
    let mut forged = wait_for(&money, height_of(1)).await;
    good.finish(PATIENCE).await.unwrap();
    forged.id.height += 1;
    money.publish(Publication::once(&forged)).await.unwrap();
    ends_with(servers.calculator(1_000_000), "in PAYOUTS cannot be believed").await;
}
