//! A miner, its link, and a pool that is played by messages: all at once and without sockets.

use super::{
    ADDRESS,
    messages::{Offer, job, tip},
};
use mining::{Hashrate, Network};
use serde_json::Value;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use stratum_core::{
    mining_sv2::{OpenExtendedMiningChannelOwned, SubmitSharesExtendedOwned},
    parsers_sv2::MiningOwned,
};
use stratum_v1::testing;
use translator::domain::{
    MinerId,
    channel::Violation,
    closing::Closing,
    link::{self, Link, Mode},
    miner::{Miner, Outbox, Rules},
};

const MINER: MinerId = MinerId(1);

pub const fn at(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub fn rules() -> Rules {
    Rules {
        network: Network::Signet,
        extranonce2_bytes: 4,
        hashrate: Hashrate::new(1_000_000_000_000),
        aggregated: false,
        vardiff: false,
        max_workers: 4,
        max_unacknowledged: 1_000,
        greeting_deadline: at(10),
        authorize_deadline: at(60),
        idle_deadline: at(900),
        away_deadline: at(86_400),
    }
}

pub struct Talk {
    pub miner: Miner,
    pub link: Link,
    pub mind: testing::Miner,
    /// What the pool was told and has not looked at.
    pub to_pool: VecDeque<MiningOwned>,
    pub now: Duration,
    link_out: link::Outbox,
}

impl Talk {
    pub fn new(rules: Rules) -> Self {
        let needed = rules.needed_bytes();
        let mut talk = Self {
            link: Link::new(Mode::PerMiner, needed, rules.hashrate),
            miner: Miner::new(Arc::new(rules), 7, Duration::ZERO),
            mind: testing::Miner::default(),
            to_pool: VecDeque::new(),
            now: Duration::ZERO,
            link_out: link::Outbox::default(),
        };
        talk.link.connected(Duration::ZERO, &mut talk.link_out);
        talk
    }

    /// A miner that has its first job.
    pub fn open(rules: Rules, offer: &Offer) -> Self {
        let mut talk = Self::new(rules);
        talk.begin(offer);
        talk.first_job(offer.channel);
        talk
    }

    pub fn begin(&mut self, offer: &Offer) {
        self.subscribe();
        self.say(&Self::authorize(ADDRESS));
        let open = self.asked().expect("a channel is asked for");
        self.pool(offer.opened(&open));
    }

    pub fn subscribe(&mut self) {
        self.say(r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#);
    }

    pub fn authorize(user: &str) -> String {
        format!(r#"{{"id":2,"method":"mining.authorize","params":["{user}","x"]}}"#)
    }

    /// The miner says a line; what it is told then.
    pub fn say(&mut self, line: &str) -> Vec<Value> {
        let mut out = Outbox::default();
        let inbound = stratum_v1::read(line.as_bytes()).unwrap();
        self.miner.receive(inbound, self.now, &mut out);
        self.settle(out)
    }

    pub fn submit(&mut self, number: u32, user: &str) -> Vec<Value> {
        let found = self.mind.find(number);
        self.say(&found.submit(&number.to_string(), user))
    }

    /// The pool says something; what the miner is told then.
    pub fn pool(&mut self, message: MiningOwned) -> Vec<Value> {
        self.link.receive(message, self.now, &mut self.link_out).unwrap();
        self.settle(Outbox::default())
    }

    /// The pool says what it must not.
    pub fn pool_breaks(&mut self, message: MiningOwned) -> Violation {
        self.link.receive(message, self.now, &mut self.link_out).unwrap_err()
    }

    /// A first job and its tip.
    pub fn first_job(&mut self, channel: u32) -> Vec<Value> {
        let mut said = self.pool(job(channel, 1, None));
        said.extend(self.pool(tip(channel, 1, 0x33)));
        said
    }

    /// Time passes for the miner.
    pub fn tick(&mut self, now: Duration) -> Result<Vec<Value>, Closing> {
        self.now = now;
        let mut out = Outbox::default();
        self.miner.tick(now, &mut out)?;
        Ok(self.settle(out))
    }

    /// Time passes for the link.
    pub fn link_tick(&mut self, now: Duration) {
        self.now = now;
        self.link.tick(now, &mut self.link_out).unwrap();
        self.settle(Outbox::default());
    }

    /// The opening that the pool was asked for, if that is what it was told next.
    pub fn asked(&mut self) -> Option<OpenExtendedMiningChannelOwned> {
        match self.to_pool.pop_front() {
            Some(MiningOwned::OpenExtendedMiningChannel(open)) => Some(open),
            Some(other) => panic!("a channel is opened next, not {other}"),
            None => None,
        }
    }

    /// The share that the pool was told of, if that is what it was told next.
    pub fn shared(&mut self) -> Option<SubmitSharesExtendedOwned> {
        match self.to_pool.pop_front() {
            Some(MiningOwned::SubmitSharesExtended(share)) => Some(share),
            Some(other) => panic!("a share comes next, not {other}"),
            None => None,
        }
    }

    /// Carries all that was said to where it belongs.
    fn settle(&mut self, mut out: Outbox) -> Vec<Value> {
        loop {
            while let Some(request) = out.requests.pop_front() {
                self.link.request(MINER, request, self.now, &mut self.link_out);
            }
            let events: Vec<_> = self.link_out.events.drain(..).collect();
            if events.is_empty() {
                break;
            }
            for (miner, event) in events {
                assert_eq!(miner, MINER);
                self.miner.hear(event, self.now, &mut out).unwrap();
            }
        }
        self.miner.tell(self.now, &mut out);
        self.to_pool.append(&mut self.link_out.outgoing);
        let text = String::from_utf8(out.lines.as_bytes().to_vec()).unwrap();
        for line in text.lines() {
            self.mind.hear(line);
        }
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
