//! Blocks of ours that meet what can go wrong: a dead bitcoind, a rival of our own, a refusal, an
//! ingress that dies with the block in its hands.

use super::{
    Field,
    asleep::Frozen,
    ledger::{Ledger, parent},
};
use crate::{
    network::{Connection, Status},
    node::Node,
};
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use streams::{BLOCK_CLAIMS, PAYOUTS, TEMPLATES};
use subjects::{
    BlockHash, Payload as _,
    blocks::{Answer, BlockResult, Claimed, Solved},
    payouts::Statement,
    templates::{New, Tip},
};
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// Longest pause before a fault: about the time that the miners need for a block.
const A_BLOCK: Duration = Duration::from_secs(6);

/// Blocks for each that must have had transactions to rebuild.
const TRIES: u32 = 4;

/// The preferred provider's bitcoind is dead when a block is found. The other provider's submitter
/// has to rebuild it, transactions and all, from what the dead one's publisher kept.
pub(super) async fn bitcoind_dead(field: &mut Field<'_>) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    let (wanted, mut rebuilt, mut found) = (field.times(1, 5), 0, Vec::new());
    // A block may be found before its miner heard of the template with transactions.
    for _ in 0..wanted * TRIES {
        if rebuilt == wanted {
            break;
        }
        field.network.ready().await?;
        field.work_for_a_while(A_BLOCK).await;
        let [dead, other] = two(Node::all(field.network).await?)?;
        until_full_template(field, &core, &dead).await?;
        let known = Ledger::read(&core).await?.hashes();
        let supervisor = Frozen::supervisor(field.network)?;
        let pid = field.network.signal("servers", "bitcoind", Signal::KILL).await?;
        let submitted = Ledger::until(field.network, &core, "block rebuilt elsewhere", |ledger| {
            let mut taken = ledger.besides(&known).filter(|solved| {
                let answer = ledger.answer(solved.hash, &other.provider);
                answer.is_some_and(|(answer, _)| answer == Answer::Accepted)
            });
            taken.next().map(|solved| {
                let answered = ledger.answer(solved.hash, &dead.provider).is_some();
                (solved.clone(), answered)
            })
        });
        let (solved, dead_answered) = submitted.await?;
        supervisor.wake()?;
        // What the supervisor said last, before it slept, is that all is well.
        let back = |status: &Status| status.pid("servers", "bitcoind").is_ok_and(|now| now != pid);
        field.network.until("bitcoind started again", back).await?;
        ensure!(!dead_answered, "a dead bitcoind answered to block {}", solved.hash);
        let block: Value = other.call("getblock", json!([solved.hash, 1])).await?;
        let transactions = block.pointer("/nTx").and_then(Value::as_u64).unwrap_or_default();
        let foreign = solved.provider.as_str() == dead.provider;
        rebuilt += u32::from(foreign && transactions > 1);
        field.note(format!(
            "{} of {} taken by {}: {transactions} transactions",
            solved.hash, solved.provider, other.provider
        ));
        found.push(solved.hash);
        field.network.ready().await?;
    }
    ensure!(rebuilt == wanted, "only {rebuilt} of {} blocks had transactions", found.len());
    let outcomes = Ledger::outcomes(field.network, &core, &found).await?;
    let confirmed = outcomes.values().all(|outcome| *outcome == BlockResult::Confirmed);
    ensure!(confirmed, "not all of them were confirmed: {outcomes:?}");
    core.finish().await
}

/// Two solved blocks build on one tip, because nobody says that the first was found. Where there
/// are two bitcoinds, each holds another one for the best.
pub(super) async fn one_height(field: &mut Field<'_>) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    for _ in 0..field.times(1, 4) {
        field.work_for_a_while(A_BLOCK).await;
        let known = Ledger::read(&core).await?.hashes();
        let silence = Frozen::workers(field.network, "template-publisher").await?;
        let nodes = Node::all(field.network).await?;
        let rivals = Ledger::until(field.network, &core, "two blocks at one height", |ledger| {
            rivals(ledger, &known, &nodes)
        });
        let rivals = rivals.await?;
        let hashes: Vec<BlockHash> = rivals.iter().map(|rival| rival.hash).collect();
        prefer_each_another(&nodes, &hashes).await?;
        silence.wake()?;
        let outcomes = Ledger::outcomes(field.network, &core, &hashes).await?;
        let won: Vec<_> =
            rivals.iter().filter(|one| outcomes.get(&one.hash) == Some(&CONFIRMED)).collect();
        let lost = outcomes.values().filter(|end| **end == BlockResult::Orphaned).count();
        let [won] = won[..] else { anyhow::bail!("not one block won: {outcomes:?}") };
        ensure!(lost + 1 == hashes.len(), "one block won, {lost} were orphaned: {outcomes:?}");
        until_stated(field, won).await?;
        field.note(format!("{} blocks at height {}: {} won", hashes.len(), won.height, won.hash));
    }
    core.finish().await
}

const CONFIRMED: BlockResult = BlockResult::Confirmed;

/// The tip becomes invalid while a block is being mined on it: every bitcoind refuses that block.
pub(super) async fn refused(field: &mut Field<'_>) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    let mut found = Vec::new();
    for _ in 0..field.times(1, 3) {
        field.network.ready().await?;
        field.work_for_a_while(A_BLOCK).await;
        let nodes = Node::all(field.network).await?;
        let silence = Frozen::workers(field.network, "template-publisher").await?;
        let tip = said_tip(&core).await?;
        let known = Ledger::read(&core).await?.hashes();
        for node in &nodes {
            node.call("invalidateblock", json!([tip])).await?;
        }
        let refused = Ledger::until(field.network, &core, "block that all refuse", |ledger| {
            ledger.besides(&known).find(|solved| is_refused(ledger, solved, &nodes)).cloned()
        });
        let refused = refused.await?;
        ensure!(parent(&refused)? == tip, "block {} builds on another tip", refused.hash);
        silence.wake()?;
        let ledger = Ledger::read(&core).await?;
        let words = nodes.iter().filter_map(|node| ledger.answer(refused.hash, &node.provider));
        let words: Vec<_> = words.map(|(_, words)| words).collect();
        field.note(format!("{} refused: {}", refused.hash, words.join(", ")));
        until_logged(field, &refused.hash.to_string()).await?;
        found.push(refused.hash);
    }
    let outcomes = Ledger::outcomes(field.network, &core, &found).await?;
    let all_refused = outcomes.values().all(|outcome| *outcome == BlockResult::Refused);
    ensure!(all_refused, "not all of them ended as refused: {outcomes:?}");
    core.finish().await
}

/// An ingress stores a winning share and is killed before one of its roads has brought the block:
/// submitters sleep and then die with what was asked of them, and its node keeps no claims.
pub(super) async fn ingress_killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    let core = field.network.bus("operator").await?;
    let providers: Vec<_> =
        Node::all(field.network).await?.into_iter().map(|node| node.provider).collect();
    let mut alone = Vec::new();
    for _ in 0..field.times(3, 20) {
        field.network.ready().await?;
        field.work_for_a_while(Duration::from_secs(2)).await;
        let known = Ledger::read(&core).await?.hashes();
        let roads = RoadsCut::cut(field).await?;
        let solved = Ledger::until(field.network, &core, "block of the verifier", |ledger| {
            let solved: Vec<_> = ledger.besides(&known).map(|solved| solved.hash).collect();
            (!solved.is_empty()).then_some(solved)
        });
        let solved = solved.await;
        field.network.signal("workers", "ingress-sv2", Signal::KILL).await?;
        roads.heal(field).await?;
        alone.extend(solved?);
        field.until_acknowledged(1).await?;
    }
    let claims = core.all::<Claimed>(BLOCK_CLAIMS, Claimed::FILTER).await?;
    let claimed: BTreeSet<_> = claims.iter().map(|claim| claim.hash).collect();
    let unclaimed = alone.iter().filter(|hash| !claimed.contains(hash)).count();
    ensure!(unclaimed > 0, "each of the {} blocks was claimed by its ingress too", alone.len());
    Ledger::until(field.network, &core, "answer to every block", |ledger| {
        let answered = |hash: &BlockHash| {
            providers.iter().any(|provider| ledger.answer(*hash, provider).is_some())
        };
        ledger.solved.keys().all(answered).then_some(())
    })
    .await?;
    field.note(format!(
        "{} blocks whose ingress was killed, {unclaimed} of them brought by the verifier alone; \
         all were submitted",
        alone.len()
    ));
    core.finish().await
}

fn two(nodes: Vec<Node>) -> anyhow::Result<[Node; 2]> {
    let count = nodes.len();
    let two = <[Node; 2]>::try_from(nodes);
    two.ok().with_context(|| format!("two bitcoinds are needed, the network has {count}"))
}

/// Waits until the miners are given a template with transactions on a provider's tip.
async fn until_full_template(
    field: &Field<'_>,
    core: &Connection,
    node: &Node,
) -> anyhow::Result<()> {
    let subject = format!("templates.new.{}", node.provider);
    let deadline = field.network.clock().monotonic() + crate::network::PATIENCE;
    loop {
        let tip = node.tip().await?;
        if let Some(last) = core.bus.last(TEMPLATES, &subject).await? {
            let new = New::decode(&last.body)?;
            if new.prevhash == Some(tip) && !new.merkle_path.is_empty() {
                return Ok(());
            }
        }
        ensure!(field.network.clock().monotonic() < deadline, "no template with transactions");
        sleep(Duration::from_millis(50)).await; // polls
    }
}

/// All new blocks of a height that has more than one.
fn rivals(ledger: &Ledger, known: &BTreeSet<BlockHash>, nodes: &[Node]) -> Option<Vec<Solved>> {
    let mut heights: BTreeMap<u32, Vec<Solved>> = BTreeMap::new();
    for solved in ledger.besides(known) {
        heights.entry(solved.height).or_default().push(solved.clone());
    }
    let taken = |rivals: &Vec<Solved>| {
        let has = |node: &Node, rival: &Solved| ledger.answer(rival.hash, &node.provider).is_some();
        rivals.iter().all(|rival| nodes.iter().all(|node| has(node, rival)))
    };
    heights.into_values().find(|rivals| rivals.len() > 1 && taken(rivals))
}

/// Makes every bitcoind take another one of these blocks for the best.
async fn prefer_each_another(nodes: &[Node], rivals: &[BlockHash]) -> anyhow::Result<()> {
    for (node, rival) in nodes.iter().zip(rivals) {
        node.call("preciousblock", json!([rival])).await?;
    }
    let mut tips = BTreeSet::new();
    for node in nodes {
        tips.insert(node.tip().await?);
    }
    ensure!(tips.len() == nodes.len(), "the bitcoinds agree on {tips:?}");
    Ok(())
}

/// Waits until the winner's statement is published, and makes sure that it is the only one of its
/// height.
async fn until_stated(field: &Field<'_>, won: &Solved) -> anyhow::Result<()> {
    let public = field.network.bus("data-reader").await?;
    let deadline = field.network.clock().monotonic() + crate::network::PATIENCE;
    let stated = loop {
        let statements = public.all::<Statement>(PAYOUTS, Statement::FILTER).await?;
        let bodies = statements.iter().map(Statement::body).collect::<Result<Vec<_>, _>>()?;
        let of_height: Vec<_> = bodies
            .iter()
            .filter(|body| body.height == won.height)
            .map(|it| it.block_hash)
            .collect();
        if !of_height.is_empty() {
            break of_height;
        }
        let late = field.network.clock().monotonic() >= deadline;
        ensure!(!late, "no statement of the block at height {}", won.height);
        sleep(Duration::from_millis(250)).await; // polls
    };
    ensure!(stated == [won.hash], "statements of height {} name {stated:?}", won.height);
    public.finish().await
}

/// The tip that the preferred provider said last.
async fn said_tip(core: &Connection) -> anyhow::Result<BlockHash> {
    let last = core.bus.last(TEMPLATES, "templates.tip.dev").await?;
    Ok(Tip::decode(&last.context("no tip was ever said")?.body)?.prevhash)
}

fn is_refused(ledger: &Ledger, solved: &Solved, nodes: &[Node]) -> bool {
    nodes.iter().all(|node| {
        let answer = ledger.answer(solved.hash, &node.provider);
        answer.is_some_and(|(answer, _)| answer == Answer::Rejected)
    })
}

/// Waits until the submitter says as an error what happened to this block.
async fn until_logged(field: &Field<'_>, hash: &str) -> anyhow::Result<()> {
    let path = field.network.data().join("log/block-submitter.log");
    let deadline = field.network.clock().monotonic() + crate::network::PATIENCE;
    loop {
        let log = std::fs::read_to_string(&path)?;
        let loud = |line: &str| line.contains("\"ERROR\"") && line.contains(hash);
        if log.lines().any(loud) {
            return Ok(());
        }
        ensure!(field.network.clock().monotonic() < deadline, "no error is logged of {hash}");
        sleep(Duration::from_millis(250)).await; // polls
    }
}

/// Neither road of a solved block leads anywhere.
struct RoadsCut {
    submitters: Frozen,
    claims: super::claims::Refusing,
}

impl RoadsCut {
    async fn cut(field: &Field<'_>) -> anyhow::Result<Self> {
        let submitters = Frozen::workers(field.network, "block-submitter").await?;
        let claims = super::claims::Refusing::begin(field.network).await?;
        Ok(Self { submitters, claims })
    }

    /// What was asked of the submitters dies with them.
    async fn heal(self, field: &Field<'_>) -> anyhow::Result<()> {
        self.submitters.kill()?;
        self.claims.end().await?;
        field.network.ready().await?;
        Ok(())
    }
}
