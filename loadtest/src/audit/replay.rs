//! The undisturbed replay: whoever reads the public streams from the first share on, with no server
//! and no clock in between, gets the same slices, rounds and statements byte for byte.

use super::sources::read;
use anyhow::{Context as _, bail, ensure};
use payout_calculator::{
    domain::{Answer, Calculator, Settings},
    signature::StatementKey,
};
use rand::Rng as _;
use round_tracker::{
    domain::{Place, Tracker},
    entry::Entry,
};
use serde::Serialize;
use std::collections::BTreeMap;
use streams::{BLOCKS, PAYOUTS, ROUNDS, SHARES};
use subjects::{
    HexBytes, Payload, Timestamp,
    blocks::{Outcome, Solved},
    payouts::{RewardRule, Statement},
    rounds::{SliceClosed, SliceLines},
    shares::Accepted,
};
use worker_runtime::{Bus, Delivery};

/// What was compared, all of it equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// Messages of `SHARES` that were replayed.
    pub messages: u64,
    /// Facts of `ROUNDS` that are the same byte for byte.
    pub rounds: u64,
    /// Statements whose signed payload is the same byte for byte.
    pub statements: u64,
}

/// Replays all that the public streams hold, and compares.
///
/// # Errors
///
/// The first fact that comes out otherwise than the network said it.
pub async fn replay(public: &Bus) -> anyhow::Result<Replayed> {
    // In this order: what is computed from a stream is read before the stream, so that all of it
    // can be computed.
    let statements = statements(public).await?;
    let rounds = all(public, ROUNDS, "rounds.>").await?;
    let blocks = all(public, BLOCKS, "blocks.>").await?;
    let shares = all(public, SHARES, Accepted::FILTER).await?;
    let mut replayed = Replayed::default();
    compare_rounds(&rounds, &shares, &mut replayed)?;
    compare_statements(&statements, &rounds, &blocks, &mut replayed)?;
    Ok(replayed)
}

async fn all(bus: &Bus, stream: &str, filter: &str) -> anyhow::Result<Vec<Delivery>> {
    let mut found = Vec::new();
    let note = |delivery: &Delivery| {
        found.push(delivery.clone());
        Ok(())
    };
    read(bus, stream, filter, note).await?;
    Ok(found)
}

async fn statements(bus: &Bus) -> anyhow::Result<Vec<Statement>> {
    let said = all(bus, PAYOUTS, Statement::FILTER).await?;
    said.iter().map(|one| Ok(Statement::decode(&one.body)?)).collect()
}

/// Counts all shares anew and compares what follows with what was said.
fn compare_rounds(
    rounds: &[Delivery],
    shares: &[Delivery],
    replayed: &mut Replayed,
) -> anyhow::Result<()> {
    let mut said: BTreeMap<&str, &Delivery> =
        rounds.iter().map(|one| (one.subject.as_str(), one)).collect();
    let slices = rounds.iter().find(|one| one.kind == SliceClosed::TYPE);
    let Some(first) = slices else { return Ok(()) };
    let incarnation = SliceClosed::decode(&first.body)?.incarnation;
    let mut tracker = Tracker::new();
    for share in shares {
        let place = Place { incarnation, sequence: share.position.sequence };
        for fact in tracker.count(&Entry::read(&share.body), place)? {
            let subject = fact.message.subject.as_str();
            // What was not said yet when ROUNDS was read cannot be compared.
            let Some(there) = said.remove(subject) else { continue };
            ensure!(there.body == fact.message.body, "the replay says otherwise on {subject}");
            replayed.rounds += 1;
        }
        replayed.messages += 1;
    }
    match said.keys().next() {
        Some(subject) => bail!("{subject} follows from no share"),
        None => Ok(()),
    }
}

/// Computes all statements anew from what was said of blocks and rounds.
fn compare_statements(
    said: &[Statement],
    rounds: &[Delivery],
    blocks: &[Delivery],
    replayed: &mut Replayed,
) -> anyhow::Result<()> {
    let Some(first) = said.first() else { return Ok(()) };
    let mut anew = Anew::new(first.body()?.reward_rule, rounds)?;
    for delivery in rounds.iter().chain(blocks) {
        anew.hear(delivery)?;
    }
    for statement in said {
        let id = statement.id.to_string();
        let other = anew.statements.get(&id);
        let other = other.with_context(|| format!("the replay does not state {id}"))?;
        ensure!(other.payload == statement.payload, "the replay states {id} otherwise");
        replayed.statements += 1;
    }
    Ok(())
}

/// A calculator that hears everything for the first time.
struct Anew {
    calculator: Calculator,
    lines: BTreeMap<u64, Vec<SliceLines>>,
    statements: BTreeMap<String, Statement>,
}

impl Anew {
    fn new(rule: RewardRule, rounds: &[Delivery]) -> anyhow::Result<Self> {
        // Whose key it is does not matter: what is signed is compared, not the signature.
        let seed = HexBytes(rand::thread_rng().r#gen::<[u8; 32]>().to_vec()).to_string();
        let key = StatementKey::parse(&seed.into())?;
        let settings = Settings { rule, key, valid_days: 1, max_message_bytes: usize::MAX };
        let mut lines = BTreeMap::<u64, Vec<SliceLines>>::new();
        for delivery in rounds.iter().filter(|one| one.kind == SliceLines::TYPE) {
            let part = SliceLines::decode(&delivery.body)?;
            lines.entry(part.slice).or_default().push(part);
        }
        Ok(Self { calculator: Calculator::new(settings), lines, statements: BTreeMap::new() })
    }

    fn hear(&mut self, delivery: &Delivery) -> anyhow::Result<()> {
        loop {
            let Answer { statements, unfinished } = self.ask(delivery)?;
            let named = statements.into_iter().map(|one| (one.id.to_string(), one));
            self.statements.extend(named);
            if !unfinished {
                return Ok(());
            }
            let (run, _) = self.calculator.wanted().context("no lines are wanted")?;
            for part in self.lines.range(run).flat_map(|(_, parts)| parts) {
                self.calculator.lines(part.clone())?;
            }
            self.calculator.end_of_lines()?;
        }
    }

    fn ask(&mut self, delivery: &Delivery) -> anyhow::Result<Answer> {
        let (body, sequence) = (&delivery.body, delivery.position.sequence);
        Ok(match delivery.kind.as_str() {
            SliceClosed::TYPE => self.calculator.slice(&SliceClosed::decode(body)?, sequence)?,
            Solved::TYPE => self.calculator.solved(&Solved::decode(body)?)?,
            // The time enters the validity, not what is signed.
            Outcome::TYPE => self.calculator.outcome(&Outcome::decode(body)?, Timestamp(0))?,
            _ => Answer::default(),
        })
    }
}
