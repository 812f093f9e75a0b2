//! A calculator without a bus.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use crate::common::{Fact, settings};
use payout_calculator::domain::{Answer, Calculator, Fault};
use std::collections::BTreeMap;
use subjects::{
    Timestamp,
    payouts::{RewardRule, Statement},
    rounds::SliceLines,
};

/// When outcomes are stored.
pub(crate) const SAID_AT: Timestamp = Timestamp(1_760_000_000_999);
pub(crate) fn calculator(rule: RewardRule) -> Calculator {
    Calculator::new(settings(rule))
}

/// Lets a calculator hear one fact, reading lines when it wants them.
pub(crate) fn hear(
    calculator: &mut Calculator,
    fact: &Fact,
    lines: &BTreeMap<u64, Vec<SliceLines>>,
) -> Result<Vec<Statement>, Fault> {
    let mut said = Vec::new();
    loop {
        let Answer { statements, unfinished } = match fact {
            Fact::Solved(solved) => calculator.solved(solved),
            Fact::Outcome(outcome) => calculator.outcome(outcome, SAID_AT),
            Fact::Slice(slice, at) => calculator.slice(slice, *at),
        }?;
        said.extend(statements);
        if !unfinished {
            return Ok(said);
        }
        let (run, from) = calculator.wanted().expect("lines are wanted");
        assert!(from >= 1);
        // The reader also meets lines that were not asked for.
        for part in lines.range(*run.start()..).flat_map(|(_, parts)| parts) {
            calculator.lines(part.clone())?;
        }
        calculator.end_of_lines()?;
    }
}

/// Lets a fresh calculator hear everything, and returns the statements by height.
pub(crate) fn run<'a>(
    rule: RewardRule,
    facts: impl IntoIterator<Item = &'a Fact>,
    lines: &BTreeMap<u64, Vec<SliceLines>>,
) -> BTreeMap<u32, Statement> {
    let mut calculator = calculator(rule);
    let heard = facts.into_iter().flat_map(|fact| hear(&mut calculator, fact, lines).unwrap());
    heard.map(|statement| (statement.id.height, statement)).collect()
}
