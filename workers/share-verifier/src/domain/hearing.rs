//! Which streams the verifier hears, and what it makes of a message of each.

use super::{Announced, Input, OWNERS, Verifier, templates::TIPS};
use subjects::{DecodeError, Lane, NodeId, Timestamp};
use worker_runtime::{
    outcome::Outcome,
    transform::{Position, Replay, Start, Transform},
};

impl Transform for Verifier {
    type Input = Input;

    fn decode(subject: &str, kind: &str, body: &[u8]) -> Result<Input, DecodeError> {
        Input::read(subject, kind, body)
    }

    /// All tips: they say which templates can still matter.
    fn history(&self) -> Vec<Replay> {
        let filters = vec![TIPS.to_owned()];
        vec![Replay { stream: streams::TEMPLATES.to_owned(), filters, from: Start::First }]
    }

    fn start(&self, stream: &str) -> Start {
        match self.templates.needed_from() {
            Some(sequence) if stream == streams::TEMPLATES => Start::Sequence(sequence),
            Some(_) | None => Start::First,
        }
    }

    fn before(&self, input: &Input) -> Option<Replay> {
        match input {
            Input::Submitted(batch) => self.missing(batch),
            Input::Template(_)
            | Input::Tip(_)
            | Input::Owner { .. }
            | Input::Accepted(_)
            | Input::Refused(_) => None,
        }
    }

    fn recall(&mut self, past: Input, at: &Position) {
        match past {
            Input::Template(work) => self.templates.hear(&work),
            Input::Tip(announced) => self.hear_tip(&announced, at.sequence),
            Input::Owner { lane, owner } => self.hear_owner(lane, owner),
            Input::Accepted(message) => self.hear_past(&message, at.sequence),
            Input::Refused(message) => {
                self.lanes.entry(message.lane).or_default().hear_refused(&message);
            }
            Input::Submitted(_) => {}
        }
    }

    fn recalled(&mut self, input: &Input) {
        if let Input::Submitted(batch) = input {
            self.recalled_for(batch);
        }
    }

    fn caught_up(&mut self, stream: &str, _: Timestamp) {
        match stream {
            streams::TEMPLATES => self.progress += 1,
            OWNERS => self.registrations += 1,
            _ => {}
        }
    }

    fn handle(&mut self, _: Timestamp, input: Input, at: &Position) -> Outcome {
        if let Input::Submitted(batch) = &input {
            return self.decide(batch, at).0;
        }
        self.recall(input, at);
        Outcome::settle()
    }
}

impl Verifier {
    fn hear_tip(&mut self, announced: &Announced, sequence: u64) {
        let Self { templates, lanes, .. } = self;
        templates.hear_tip(announced, sequence);
        for past in lanes.values_mut() {
            past.forget_tips(|tip| templates.is_late(tip));
        }
    }

    fn hear_owner(&mut self, lane: Lane, owner: Option<NodeId>) {
        // A past belongs to a lane of one node.
        self.lanes.remove(&lane);
        self.owners.hear(lane, owner);
    }
}
