//! A bus as Core has it, a submitter on it, templates, and blocks that solve them.

use block_submitter::{
    Config,
    port::Bitcoind,
    worker::{Reply, submit},
};
use mining::{Identity, Job, ShareFields, Solution, TipWork, WorkTemplate};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use subjects::{
    BlockHash, Exponent, HexBytes, NodeId, Payload, Sats, TemplateId, Timestamp,
    blocks::{Claimed, Outcome, Solved, Submitted},
    shares::JobKind,
    templates::{CoinbaseRule, New, Output, Tip},
};
use tokio::{task::JoinSet, time::timeout};
use worker_runtime::{
    Bus, Context, Publication,
    bus::Ordered,
    config::parse,
    testing::{self, nats},
    transform::Start,
};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Compact target of regtest: half of all hashes meet it.
pub(crate) const EASY: u32 = 0x207f_ffff;

/// A bus with the streams that a submitter needs.
pub(crate) async fn bus() -> (nats::Server, Bus) {
    let server = nats::Server::start().await.unwrap();
    let streams: [(&str, &[&str]); 3] = [
        ("TEMPLATES", &["templates.new.*", "templates.tip.*"]),
        ("BLOCKS", &["blocks.solved.*", "blocks.submitted.*.*", "blocks.outcome.*"]),
        ("BLOCK_CLAIMS", &["blocks.claimed.*"]),
    ];
    for (name, subjects) in streams {
        server.stream(name, subjects, json!({})).await.unwrap();
    }
    server.bucket("LEASES", Some(streams::LEASE)).await.unwrap();
    let objects = ["$O.TEMPLATE_TXS.C.>", "$O.TEMPLATE_TXS.M.>"];
    let rollup = json!({ "allow_rollup_hdrs": true, "allow_direct": true });
    server.stream("OBJ_TEMPLATE_TXS", &objects, rollup).await.unwrap();
    let bus = testing::bus(&server, "test").await.unwrap();
    (server, bus.routes(streams::routes()))
}

/// A running submitter.
pub(crate) struct Submitter {
    pub(crate) ctx: Context<Config>,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Submitter {
    /// Starts one for this provider, which decides at depth 6.
    pub(crate) fn start<B: Bitcoind>(server: &nats::Server, provider: &str, node: B) -> Self {
        let text = format!(
            "provider = \"{provider}\"\npayout_confirmations = 6\noutcome_poll_ms = 20\n\
             rpc = {{ url = \"http://127.0.0.1:1\", cookie_file = \"/nonexistent\" }}\n\
             [bus]\nurl = \"{}\"",
            server.url()
        );
        let ctx = Context::detached("block-submitter", parse(&text).unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(submit(ctx.clone(), Arc::new(node)));
        Self { ctx, tasks }
    }

    /// Waits until it has its place in the queue of all.
    pub(crate) async fn ready(&self) {
        let ready = async || self.ctx.is_ready();
        testing::until("the submitter is ready", DEADLINE, ready).await.unwrap();
    }

    /// Drains it.
    pub(crate) async fn stop(mut self) {
        self.ctx.stop.cancel();
        let ended = timeout(DEADLINE, self.tasks.join_next()).await.unwrap();
        ended.unwrap().unwrap().unwrap();
        self.ctx.finish(DEADLINE).await.unwrap();
    }

    /// A figure of it, as a scrape shows it.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let text = self.ctx.metrics().encode().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// Reads `BLOCKS`.
pub(crate) struct Reader(Ordered);

/// One message of `BLOCKS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Solved(Solved),
    Submitted(Submitted),
    Outcome(Outcome),
}

impl Reader {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self(bus.ordered("BLOCKS", vec!["blocks.>".to_owned()], Start::First))
    }

    pub(crate) async fn next(&mut self) -> Fact {
        let delivery = timeout(DEADLINE, self.0.next()).await;
        let delivery = delivery.expect("something is published in time").unwrap();
        match delivery.kind.as_str() {
            Solved::TYPE => Fact::Solved(Solved::decode(&delivery.body).unwrap()),
            Submitted::TYPE => Fact::Submitted(Submitted::decode(&delivery.body).unwrap()),
            _ => Fact::Outcome(Outcome::decode(&delivery.body).unwrap()),
        }
    }

    /// Skips to the next answer of a bitcoind.
    pub(crate) async fn submitted(&mut self) -> Submitted {
        loop {
            if let Fact::Submitted(submitted) = self.next().await {
                return submitted;
            }
        }
    }

    /// Skips to the next outcome.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        loop {
            if let Fact::Outcome(outcome) = self.next().await {
                return outcome;
            }
        }
    }
}

/// Everything that `BLOCKS` holds of one subject filter.
pub(crate) async fn count(bus: &Bus, filter: &str) -> usize {
    let mut reader = bus.ordered("BLOCKS", vec![filter.to_owned()], Start::First);
    reader.opened().await.unwrap();
    let mut count = 0;
    while !reader.caught_up() {
        reader.next().await.unwrap();
        count += 1;
    }
    count
}

/// A template without transactions.
pub(crate) fn template(number: u64, height: u32, prevhash: BlockHash) -> New {
    New {
        provider: "core-a".parse().unwrap(),
        session: Timestamp(1),
        template: number,
        height,
        prevhash: Some(prevhash),
        subsidy: Sats::new(5_000_000_000).unwrap(),
        fees: Sats::ZERO,
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(mining::coinbase::bip34_push(height)),
        tx_version: 2,
        input_sequence: u32::try_from(number).unwrap(),
        locktime: height - 1,
        coinbase_outputs: vec![commitment(&[])],
        merkle_path: vec![],
        coinbase_rule: CoinbaseRule {
            rules_version: mining::RULES_VERSION,
            treasury_script: HexBytes(vec![0x51]),
            tag: "hyperhash".to_owned(),
            version_mask: mining::VERSION_MASK,
        },
    }
}

/// The output that commits to the witnesses of these transactions.
pub(crate) fn commitment(wtxids: &[[u8; 32]]) -> Output {
    let script = HexBytes(bitcoind_rpc::merkle::witness_commitment(wtxids));
    Output { value: Sats::ZERO, script }
}

/// The tip that a template builds on.
pub(crate) fn tip(new: &New, nbits: u32, min_ntime: u32) -> Tip {
    Tip {
        provider: new.provider.clone(),
        session: new.session,
        prevhash: new.prevhash.unwrap(),
        height: new.height,
        nbits,
        min_ntime,
        template: new.id(),
    }
}

/// A block on a template, as a miner finds it.
pub(crate) fn solve(new: &New, tip: &Tip) -> (WorkTemplate, Solution) {
    let work = WorkTemplate::new(new.id(), new).unwrap();
    let tip = TipWork::new(tip).unwrap();
    let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let finder = Identity::parse(address, mining::Network::Regtest).unwrap();
    let job = Job {
        kind: JobKind::Extended,
        exponent: Exponent::MIN,
        extranonce_prefix: &[0; 7],
        extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
        payee: finder.payee(),
        version_mask: mining::VERSION_MASK,
    };
    let ntime = tip.min_ntime();
    let solutions = (0..).map(|nonce| {
        let share = ShareFields { extranonce: &[7; 13], ntime, nonce, version: new.version };
        mining::solution(&work, &tip, &job, &share).unwrap()
    });
    let mut good = solutions.filter(|solution| tip.target().is_met_by(&solution.hash.0));
    let solution = good.next().unwrap();
    (work, solution)
}

/// Publishes a template and its tip, and finds a block on it.
pub(crate) async fn found(bus: &Bus, new: &New, nbits: u32, min_ntime: u32) -> (Claimed, Solved) {
    let tip = tip(new, nbits, min_ntime);
    bus.publish(Publication::any(new)).await.unwrap();
    bus.publish(Publication::any(&tip)).await.unwrap();
    let (work, solution) = solve(new, &tip);
    (solution.claimed(NodeId::core(), &work), solution.solved(&work))
}

/// A block on a template of height 100 that nobody else knows.
pub(crate) async fn easy(bus: &Bus) -> (Claimed, Solved) {
    found(bus, &template(1, 100, PARENT), EASY, 1_000).await
}

/// What the easy block builds on.
pub(crate) const PARENT: BlockHash = BlockHash([9; 32]);

/// Road 1. The submitter may still be starting, as after a failover.
pub(crate) async fn ask(bus: &Bus, provider: &str, claim: &Claimed) -> Reply {
    let subject = streams::block_submit(&provider.parse().unwrap());
    let asking = async {
        loop {
            let answer = bus.request(&subject, claim.encode().into(), DEADLINE).await;
            if let Ok(answer) = answer {
                return serde_json::from_slice(&answer).unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, asking).await.expect("an answer comes")
}

/// A content id of nothing.
pub(crate) const NO_TEMPLATE: TemplateId = TemplateId([0; 16]);
