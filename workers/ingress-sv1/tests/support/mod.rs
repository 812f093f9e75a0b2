//! A conversation with an ingress, line by line, and a miner that knows only what it was told.
#![expect(dead_code, unreachable_pub, reason = "every test program uses another part of it")]

pub mod client;

pub use stratum_v1::testing as miner;

use ingress::{
    domain::{Moment, closing::Leaving, rules::Rules, selection::Work},
    testing::desk::Counter,
};
use ingress_sv1::domain::{
    closing::{Closing, Fault},
    connection::{Connection, Extranonce2, Offer, Outbox},
};
use serde_json::Value;
use std::{fmt::Write as _, sync::Arc};
use subjects::{sessions::NetworkClass, shares::Reason};

/// A connection and everything that was said on it.
pub struct Conversation {
    pub connection: Connection,
    pub desk: Counter,
    pub miner: miner::Miner,
    /// Blocks that were claimed.
    pub claims: usize,
    /// Shares that were turned away.
    pub rejected: Vec<Reason>,
    pub text: String,
    ended: Option<Closing>,
}

impl Conversation {
    pub fn new(rules: Rules, work: Arc<Work>, moment: Moment) -> Self {
        Self::rolling(Extranonce2::default(), rules, work, moment)
    }

    pub fn rolling(size: Extranonce2, rules: Rules, work: Arc<Work>, moment: Moment) -> Self {
        Self::offered(Offer { extranonce2: size, ..Offer::default() }, rules, work, moment)
    }

    pub fn offered(offer: Offer, rules: Rules, work: Arc<Work>, moment: Moment) -> Self {
        let class = NetworkClass::PublicV4;
        Self {
            connection: Connection::new(Arc::new(rules), offer, class, work, moment),
            desk: Counter::default(),
            miner: miner::Miner::default(),
            claims: 0,
            rejected: Vec::new(),
            text: String::new(),
            ended: None,
        }
    }

    /// The miner says a line; returns ours.
    pub fn say(&mut self, line: &str, moment: Moment) -> Vec<String> {
        writeln!(self.text, "> {line}").unwrap();
        let mut out = Outbox::default();
        let ended = match stratum_v1::read(line.as_bytes()) {
            Ok(inbound) => self.connection.receive(inbound, moment, &mut self.desk, &mut out),
            Err(fault) => Err(Fault::from(fault).into()),
        };
        self.note(ended);
        self.tell(&mut out)
    }

    /// All lines at once, as pipelined.
    pub fn say_all(&mut self, lines: &[&str], moment: Moment) -> Vec<String> {
        lines.iter().flat_map(|line| self.say(line, moment)).collect()
    }

    pub fn follow(&mut self, work: Arc<Work>, moment: Moment) -> Vec<String> {
        self.desk.tips = work.tips;
        let mut out = Outbox::default();
        self.connection.follow(work, moment, &mut out);
        self.tell(&mut out)
    }

    pub fn stored(&mut self, count: usize) -> Vec<String> {
        let mut out = Outbox::default();
        self.connection.stored(count, &mut out);
        self.tell(&mut out)
    }

    pub fn resume(&mut self) -> Vec<String> {
        let mut out = Outbox::default();
        self.connection.resume(&mut self.desk, &mut out);
        self.tell(&mut out)
    }

    pub fn tick(&mut self, moment: Moment) -> Vec<String> {
        let mut out = Outbox::default();
        let ended = self.connection.tick(moment, &mut out);
        self.note(ended);
        self.tell(&mut out)
    }

    pub fn farewell(&mut self, leaving: Leaving) -> Vec<String> {
        let mut out = Outbox::default();
        self.connection.farewell(leaving, &mut out);
        self.tell(&mut out)
    }

    pub fn end(&mut self, closing: Closing, moment: Moment) {
        let mut out = Outbox::default();
        self.connection.end(closing, moment, &mut self.desk, &mut out);
        self.tell(&mut out);
    }

    pub const fn ended(&self) -> Option<Closing> {
        self.ended
    }

    fn note(&mut self, ended: Result<(), Closing>) {
        if let Err(closing) = ended {
            writeln!(self.text, "! {closing} [{}]", closing.code()).unwrap();
            self.ended = Some(closing);
        }
    }

    fn tell(&mut self, out: &mut Outbox) -> Vec<String> {
        let text = String::from_utf8(out.lines.as_bytes().to_vec()).unwrap();
        out.lines.clear();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for line in &lines {
            writeln!(self.text, "< {line}").unwrap();
            self.miner.hear(line);
        }
        self.claims += out.tidings.claims.len();
        self.rejected.extend(out.tidings.rejected.iter().map(|(_, reason)| *reason));
        for fact in &out.tidings.facts {
            let (event, k, reason) = (fact.event, fact.exponent, fact.reason.as_deref());
            writeln!(self.text, "* {event:?} {} at {k} {}", fact.worker, reason.unwrap_or(""))
                .unwrap();
        }
        for code in &out.tidings.refused {
            writeln!(self.text, "* refused: {code}").unwrap();
        }
        lines
    }
}

/// A line as JSON.
pub fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

/// The methods of lines, and `result` for answers.
pub fn kinds(lines: &[String]) -> Vec<String> {
    let kind = |line: &String| json(line)["method"].as_str().unwrap_or("result").to_owned();
    lines.iter().map(kind).collect()
}
