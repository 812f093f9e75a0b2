//! The decision, as a bus drives it.

use crate::domain::{Answer, Calculator, Fault, Settings};
use std::time::Duration;
use subjects::{
    DecodeError, Payload, Timestamp, blocks,
    payouts::Statement,
    rounds::{SliceClosed, SliceLines},
};
use worker_runtime::{
    causes,
    metric::{Counter, Gauge, Metrics, Name},
    outcome::{Disposition, Outcome, Publication},
    transform::{Position, Replay, Start, Transform},
};

/// The decision, as a bus drives it.
#[derive(Debug)]
pub struct Payouts {
    calculator: Calculator,
    /// Whether lines were read since the last decision: then it is time for the next one.
    has_read: bool,
    fault: Option<Fault>,
    statements: Counter,
    waiting: Gauge,
}

/// A fact, as this worker hears it.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A block is solved.
    Solved(Box<blocks::Solved>),
    /// A block has its final outcome.
    Outcome(blocks::Outcome),
    /// A slice is closed.
    Slice(Box<SliceClosed>),
    /// Lines of a slice; only read when they are wanted.
    Lines(SliceLines),
    /// A statement that exists.
    Statement(Box<Statement>),
    /// A fact that cannot be read, and why. No payout may pass over it.
    Unreadable(String),
}

impl Payouts {
    /// What is heard of `BLOCKS`.
    pub const BLOCKS: [&'static str; 2] = [blocks::Solved::FILTER, blocks::Outcome::FILTER];

    /// What is heard of `ROUNDS`; lines are read when they are wanted.
    pub const ROUNDS: [&'static str; 1] = [SliceClosed::FILTER];

    /// Knows nothing yet.
    pub fn new(settings: Settings, metrics: &Metrics) -> Self {
        Self {
            calculator: Calculator::new(settings),
            has_read: false,
            fault: None,
            statements: metrics.counter(Name::StatementsTotal),
            waiting: metrics.gauge(Name::StatementsWaiting),
        }
    }

    fn hear(&mut self, input: Heard, at: &Position) -> Result<Answer, Fault> {
        match input {
            Heard::Solved(solved) => self.calculator.solved(&solved),
            Heard::Outcome(outcome) => self.calculator.outcome(&outcome, at.stored_at),
            Heard::Slice(slice) => self.calculator.slice(&slice, at.sequence),
            Heard::Lines(_) | Heard::Statement(_) => Ok(Answer::default()),
            Heard::Unreadable(reason) => Err(Fault::Unreadable(reason)),
        }
    }

    fn note(&mut self, result: Result<(), Fault>) {
        if let Err(fault) = result {
            self.fault.get_or_insert(fault);
        }
    }

    fn measure(&self, made_before: usize) {
        let made = self.calculator.made().saturating_sub(made_before);
        self.statements.inc_by(u64::try_from(made).unwrap_or(u64::MAX));
        self.waiting.set(i64::try_from(self.calculator.waiting()).unwrap_or(i64::MAX));
    }
}

impl Heard {
    fn read(subject: &str, body: &[u8]) -> Result<Self, DecodeError> {
        let is = |form: &str| fits(subject, form);
        if is(blocks::Solved::FORM) {
            Ok(Self::Solved(Box::new(blocks::Solved::decode(body)?)))
        } else if is(blocks::Outcome::FORM) {
            Ok(Self::Outcome(blocks::Outcome::decode(body)?))
        } else if is(SliceClosed::FORM) {
            Ok(Self::Slice(Box::new(SliceClosed::decode(body)?)))
        } else if is(SliceLines::FORM) {
            Ok(Self::Lines(SliceLines::decode(body)?))
        } else if is(Statement::FORM) {
            Ok(Self::Statement(Box::new(Statement::decode(body)?)))
        } else {
            Err(DecodeError::field("subject", "it is none that is heard here"))
        }
    }
}

/// Whether the fixed tokens of `form` stand at the beginning of `subject`.
fn fits(subject: &str, form: &str) -> bool {
    form.split('{').next().is_some_and(|fixed| subject.starts_with(fixed))
}

impl Transform for Payouts {
    type Input = Heard;

    fn decode(subject: &str, _kind: &str, body: &[u8]) -> Result<Heard, DecodeError> {
        let unreadable = |error| Heard::Unreadable(format!("`{subject}`: {error}"));
        Ok(Heard::read(subject, body).unwrap_or_else(unreadable))
    }

    /// Which statements exist: they must add up, and are not made again.
    fn history(&self) -> Vec<Replay> {
        vec![Replay {
            stream: streams::PAYOUTS.to_owned(),
            filters: vec![Statement::FILTER.to_owned()],
            from: Start::First,
        }]
    }

    /// The lines that are wanted, a few slices at a time, so that neither the reader's filters nor
    /// what is held in memory grow with the window.
    fn before(&self, _input: &Heard) -> Option<Replay> {
        let (run, from) = self.calculator.wanted().filter(|_| !self.has_read)?;
        let filter = |slice: u64| SliceLines::FORM.replace("{slice}", &slice.to_string());
        Some(Replay {
            stream: streams::ROUNDS.to_owned(),
            filters: run.map(|slice| filter(slice).replace("{part}", "*")).collect(),
            from: Start::Sequence(from),
        })
    }

    fn recall(&mut self, past: Heard, _at: &Position) {
        let result = match past {
            Heard::Lines(lines) => self.calculator.lines(lines),
            Heard::Statement(statement) => self.calculator.exists(&statement),
            Heard::Unreadable(reason) => Err(Fault::Unreadable(reason)),
            Heard::Solved(_) | Heard::Outcome(_) | Heard::Slice(_) => Ok(()),
        };
        self.note(result);
    }

    fn recalled(&mut self, _input: &Heard) {
        self.has_read = true;
        let result = self.calculator.end_of_lines();
        self.note(result);
    }

    fn handle(&mut self, _now: Timestamp, input: Heard, at: &Position) -> Outcome {
        self.has_read = false;
        let made_before = self.calculator.made();
        let heard = self.fault.take().map_or_else(|| self.hear(input, at), Err);
        match heard {
            Ok(Answer { statements, unfinished }) => {
                self.measure(made_before);
                let publish = statements.iter().map(Publication::once).collect();
                let again = Disposition::Retry { after: Duration::ZERO };
                let disposition = if unfinished { again } else { Disposition::Settle };
                Outcome { publish, disposition }
            }
            Err(fault) => Outcome::stop(causes(&fault)),
        }
    }
}
