//! A verifier at a desk: streams in memory, one message after another, no faults.

use crate::chain::{Work, body};
use mining::Network;
use share_verifier::domain::{Input, OWNERS, Rules, Tally, Verifier};
use std::collections::BTreeMap;
use subjects::{
    Exponent, Message, Payload, Timestamp,
    blocks::Solved,
    shares::{Accepted, Reason, Refused, Submitted},
};
use worker_runtime::{
    outcome::{Disposition, Expect, Outcome},
    transform::{Position, Replay, Start, Transform},
};

/// One stored message.
#[derive(Clone, Debug)]
struct Stored {
    subject: String,
    kind: String,
    body: Vec<u8>,
}

/// Streams, and one verifier that reads them.
#[derive(Debug)]
pub(crate) struct Desk {
    streams: BTreeMap<String, Vec<Stored>>,
    rules: Rules,
    verifier: Verifier,
    /// How often a batch had to wait.
    pub(crate) waits: u32,
    /// How much of the past was read.
    pub(crate) recalled: u32,
}

/// What was said of one batch.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) solved: Vec<Solved>,
    pub(crate) tally: Tally,
    /// Types of what was published, in order.
    pub(crate) order: Vec<&'static str>,
}

impl Said {
    /// How many shares count.
    pub(crate) fn credited(&self) -> usize {
        self.accepted.iter().map(|message| message.shares.len()).sum()
    }

    /// Why shares do not count, by position in the batch.
    pub(crate) fn reasons(&self) -> Vec<(u32, Reason)> {
        let refusals = self.refused.iter().flat_map(|message| &message.refusals);
        refusals.map(|refusal| (refusal.index, refusal.reason)).collect()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.order.is_empty()
    }
}

pub(crate) fn rules() -> Rules {
    Rules {
        network: Network::Signet,
        late_tips: 6,
        min_exponent: Exponent::MIN,
        max_proofs: 1_000_000,
    }
}

impl Desk {
    /// Node `n1` owns lane 300 and `n2` lane 400; everything in `works` is published.
    pub(crate) fn new(works: &[&Work]) -> Self {
        Self::with_rules(rules(), works)
    }

    pub(crate) fn with_rules(rules: Rules, works: &[&Work]) -> Self {
        let mut desk = Self {
            streams: BTreeMap::new(),
            rules,
            verifier: Verifier::new(rules),
            waits: 0,
            recalled: 0,
        };
        for (lane, node) in [("300", "n1"), ("301", "n1"), ("400", "n2")] {
            let subject = format!("$KV.LANE_OWNERS.{lane}");
            desk.store(OWNERS, Stored { subject, kind: String::new(), body: node.into() });
        }
        for work in works {
            desk.publish_ahead(work);
        }
        desk.start();
        desk
    }

    /// Another verifier takes over, knowing nothing.
    pub(crate) fn take_over(&mut self) {
        self.verifier = Verifier::new(self.rules);
        self.start();
    }

    fn start(&mut self) {
        for replay in self.verifier.history() {
            self.recall(&replay);
        }
        for stream in [streams::TEMPLATES, OWNERS] {
            let start = self.verifier.start(stream);
            let replay = Replay { stream: stream.to_owned(), filters: Vec::new(), from: start };
            for (position, stored) in self.replayed(&replay) {
                self.told(decode(&stored), &position);
            }
            self.verifier.caught_up(stream, Timestamp(0));
        }
    }

    /// Publishes a template and its tip, and lets the verifier hear them.
    pub(crate) fn publish(&mut self, work: &Work) {
        self.publish_template(work);
        self.publish_tip(work);
    }

    pub(crate) fn publish_template(&mut self, work: &Work) {
        self.hear(&work.new);
    }

    pub(crate) fn publish_tip(&mut self, work: &Work) {
        self.hear(&work.tip);
    }

    /// Publishes a template and its tip, of which the verifier does not hear yet.
    pub(crate) fn publish_ahead(&mut self, work: &Work) {
        self.store(streams::TEMPLATES, stored(&work.new.to_message()));
        self.store(streams::TEMPLATES, stored(&work.tip.to_message()));
    }

    fn hear(&mut self, payload: &impl Payload) {
        let stored = stored(&payload.to_message());
        let input = decode(&stored);
        let position = self.store(streams::TEMPLATES, stored);
        self.told(input, &position);
    }

    /// Tells the verifier of a template, a tip or an owner, to which it has nothing to say.
    fn told(&mut self, input: Input, position: &Position) {
        assert_eq!(self.verifier.handle(Timestamp(0), input, position), Outcome::settle());
    }

    /// Submits a batch on its own subject.
    pub(crate) fn submit(&mut self, batch: &Submitted) -> Said {
        self.submit_on(batch.subject().as_str(), batch)
    }

    /// Submits a batch on any subject, and carries out the verifier's answer.
    pub(crate) fn submit_on(&mut self, subject: &str, batch: &Submitted) -> Said {
        let (said, facts) = self.ask(subject, batch);
        for message in &facts {
            let stream = streams::stream_of(message.subject.as_str()).unwrap();
            self.store(stream, stored(message));
        }
        said
    }

    /// The verifier's answer, of which only the first `facts` are stored before it dies.
    pub(crate) fn submit_and_crash(&mut self, batch: &Submitted, facts: usize) -> Said {
        let (said, messages) = self.ask(batch.subject().as_str(), batch);
        for message in messages.iter().take(facts) {
            let stream = streams::stream_of(message.subject.as_str()).unwrap();
            self.store(stream, stored(message));
        }
        self.take_over();
        said
    }

    /// Lets other lanes write to the record.
    pub(crate) fn others_write(&mut self, messages: usize) {
        self.fill(streams::SHARES, "shares.accepted.n2.400", messages);
    }

    /// Lets a provider publish what this verifier does not read.
    pub(crate) fn much_is_published(&mut self, messages: usize) {
        self.fill(streams::TEMPLATES, "templates.other", messages);
    }

    fn fill(&mut self, stream: &str, subject: &str, messages: usize) {
        let kind = Accepted::TYPE.to_owned();
        let filler = Stored { subject: subject.to_owned(), kind, body: Vec::new() };
        let filled = self.streams.entry(stream.to_owned()).or_default();
        filled.extend(std::iter::repeat_n(filler, messages));
    }

    /// Stores what another verifier said, without this one's hearing of it.
    pub(crate) fn adopt(&mut self, said: &Said) {
        for message in &said.accepted {
            self.store(streams::SHARES, stored(&message.to_message()));
        }
    }

    fn ask(&mut self, subject: &str, batch: &Submitted) -> (Said, Vec<Message>) {
        let input = Input::read(subject, Submitted::TYPE, &body(batch)).unwrap();
        let Input::Submitted(submission) = &input else { panic!("not a batch") };
        let at = self.store(streams::SHARES_SUBMITTED, stored(&batch.to_message()));
        for _ in 0..8 {
            while let Some(replay) = self.verifier.before(&input) {
                self.recall(&replay);
                self.verifier.recalled(&input);
            }
            let (outcome, tally) = self.verifier.decide(submission, &at);
            match outcome.disposition {
                Disposition::Settle => return said(outcome.publish, tally),
                Disposition::Retry { .. } => self.catch_up(),
                Disposition::Park { reason } | Disposition::Stop { reason } => panic!("{reason}"),
            }
        }
        panic!("the verifier waits for ever");
    }

    fn catch_up(&mut self) {
        self.waits += 1;
        let start = Replay {
            stream: streams::TEMPLATES.to_owned(),
            filters: Vec::new(),
            from: Start::First,
        };
        for (position, stored) in self.replayed(&start) {
            self.told(decode(&stored), &position);
        }
        for stream in [streams::TEMPLATES, OWNERS] {
            self.verifier.caught_up(stream, Timestamp(0));
        }
    }

    fn recall(&mut self, replay: &Replay) {
        for (position, stored) in self.replayed(replay) {
            self.recalled += 1;
            self.verifier.recall(decode(&stored), &position);
        }
    }

    fn replayed(&self, replay: &Replay) -> Vec<(Position, Stored)> {
        let matches = |stored: &&Stored| {
            replay.filters.is_empty()
                || replay.filters.iter().any(|filter| {
                    let prefix = filter.strip_suffix('*').unwrap_or(filter);
                    stored.subject == *filter
                        || (prefix != filter && stored.subject.starts_with(prefix))
                })
        };
        let all = self.streams.get(&replay.stream).into_iter().flatten();
        let all = (1_u64..).zip(all).filter(|(_, stored)| matches(stored));
        let all =
            all.map(|(sequence, stored)| (position(&replay.stream, sequence), stored.clone()));
        match replay.from {
            Start::First => all.collect(),
            Start::Sequence(from) => all.filter(|(at, _)| at.sequence >= from).collect(),
            Start::LastPerSubject => {
                let last: BTreeMap<_, _> =
                    all.map(|(at, stored)| (stored.subject.clone(), (at, stored))).collect();
                last.into_values().collect()
            }
            Start::Time(_) | Start::New => panic!("the verifier asks for no time"),
        }
    }

    fn store(&mut self, stream: &str, stored: Stored) -> Position {
        let messages = self.streams.entry(stream.to_owned()).or_default();
        messages.push(stored);
        position(stream, messages.len() as u64)
    }

    /// Everything that was credited, ever.
    pub(crate) fn record(&self) -> Vec<Accepted> {
        let shares = self.streams.get(streams::SHARES).into_iter().flatten();
        let shares = shares.filter(|stored| !stored.body.is_empty());
        shares.map(|stored| Accepted::decode(&stored.body).unwrap()).collect()
    }
}

fn position(stream: &str, sequence: u64) -> Position {
    Position { stream: stream.to_owned(), incarnation: 1, sequence, stored_at: Timestamp(0) }
}

fn stored(message: &Message) -> Stored {
    let Message { subject, kind, body, .. } = message;
    Stored { subject: subject.as_str().to_owned(), kind: (*kind).to_owned(), body: body.clone() }
}

fn decode(stored: &Stored) -> Input {
    Verifier::decode(&stored.subject, &stored.kind, &stored.body).unwrap()
}

fn said(publish: Vec<worker_runtime::outcome::Publication>, tally: Tally) -> (Said, Vec<Message>) {
    let mut said = Said { tally, ..Said::default() };
    let mut messages = Vec::new();
    for publication in publish {
        let message = publication.message;
        said.order.push(message.kind);
        let (body, expect) = (message.body.as_slice(), publication.expect);
        match message.kind {
            Accepted::TYPE => {
                assert_eq!(expect, Expect::Chained);
                said.accepted.push(Accepted::decode(body).unwrap());
            }
            Refused::TYPE => said.refused.push(Refused::decode(body).unwrap()),
            Solved::TYPE => {
                assert_eq!(expect, Expect::Once);
                said.solved.push(Solved::decode(body).unwrap());
            }
            other => panic!("the verifier said {other}"),
        }
        messages.push(message);
    }
    (said, messages)
}
