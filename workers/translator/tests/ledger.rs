//! Every share is answered once, and called stored only when the pool said so, whatever the pool
//! does and however often it goes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(test)]
mod support;

use mining::{Hashrate, Target};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use stratum_core::parsers_sv2::MiningOwned;
use support::messages::{Offer, closed, job, refused, stored, tip};
use translator::domain::{
    MinerId,
    job::Job,
    link::{Event, Link, Mode, Open, Outbox, Request, Share},
};

const MINERS: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Step {
    Share(u64),
    /// The pool stores all up to this one of those that wait.
    Store(usize),
    /// The pool refuses this one of those that wait.
    Refuse(usize),
    Close,
    Lose,
    Return,
    Leave(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..MINERS).prop_map(Step::Share),
        2 => (0..8_usize).prop_map(Step::Store),
        2 => (0..8_usize).prop_map(Step::Refuse),
        1 => Just(Step::Close),
        1 => Just(Step::Lose),
        2 => Just(Step::Return),
        1 => (0..MINERS).prop_map(Step::Leave),
    ]
}

/// A link and what is known of it from outside.
struct World {
    link: Link,
    out: Outbox,
    now: Duration,
    is_up: bool,
    next_channel: u32,
    next_number: u64,
    jobs: BTreeMap<u64, Arc<Job>>,
    /// Shares that the pool has not answered: channel, its number, whose, the miner's number.
    waiting: Vec<(u32, u32, u64)>,
    /// Shares that the pool said are stored.
    stored: BTreeSet<u64>,
    /// Shares that miners expect an answer for.
    unanswered: BTreeMap<u64, u64>,
    answered: BTreeSet<u64>,
}

impl World {
    fn new(mode: Mode) -> Self {
        let mut world = Self {
            link: Link::new(mode, 8, Hashrate::new(1)),
            out: Outbox::default(),
            now: Duration::ZERO,
            is_up: false,
            next_channel: 2,
            next_number: 1,
            jobs: BTreeMap::new(),
            waiting: Vec::new(),
            stored: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            answered: BTreeSet::new(),
        };
        for miner in 0..MINERS {
            world.join(miner);
        }
        world
    }

    fn join(&mut self, miner: u64) {
        let easiest = Target::from_le_bytes([0xff; 32]);
        let identity = format!("miner{miner}");
        let open = Open { identity, hashrate: Hashrate::new(1), easiest };
        self.link.request(MinerId(miner), Request::Join(open), self.now, &mut self.out);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Share(miner) => self.share(miner),
            Step::Store(place) => {
                if let Some(&(channel, last, _)) = self.waiting.get(place) {
                    let is_meant =
                        |(of, sequence, _): &(u32, u32, u64)| *of == channel && *sequence <= last;
                    let all = self.waiting.extract_if(.., |share| is_meant(share));
                    let all: Vec<_> = all.map(|(.., number)| number).collect();
                    let count = u32::try_from(all.len()).unwrap();
                    self.stored.extend(all);
                    self.say(stored(channel, last, count));
                }
            }
            Step::Refuse(place) if place < self.waiting.len() => {
                let (channel, sequence, _) = self.waiting.remove(place);
                self.say(refused(channel, sequence, "stale-share"));
            }
            Step::Refuse(_) => {}
            Step::Close => {
                if let Some(&(channel, ..)) = self.waiting.first() {
                    self.waiting.retain(|(of, ..)| *of != channel);
                    self.say(closed(channel, "enough"));
                }
            }
            Step::Lose => {
                self.is_up = false;
                self.waiting.clear();
                self.link.lost(&mut self.out);
            }
            Step::Return if !self.is_up => {
                self.is_up = true;
                self.link.connected(self.now, &mut self.out);
            }
            Step::Return => {
                self.now += Duration::from_secs(60);
                self.link.tick(self.now, &mut self.out).unwrap();
            }
            Step::Leave(miner) => {
                self.link.request(MinerId(miner), Request::Leave, self.now, &mut self.out);
                self.jobs.remove(&miner);
                self.unanswered.retain(|_, of| *of != miner);
                self.join(miner);
            }
        }
        self.settle();
    }

    fn share(&mut self, miner: u64) {
        // Also on work of a channel that is gone.
        let Some(job) = self.jobs.get(&miner).cloned() else { return };
        let number = self.next_number;
        self.next_number += 1;
        self.unanswered.insert(number, miner);
        let extranonce = vec![0; job.rolled];
        let share = Share { number, job, extranonce, ntime: 0, nonce: 0, version: 0 };
        self.link.request(MinerId(miner), Request::Share(share), self.now, &mut self.out);
        if let Some(MiningOwned::SubmitSharesExtended(sent)) = self.out.outgoing.back() {
            self.waiting.push((sent.channel_id, sent.sequence_number, number));
        }
    }

    fn say(&mut self, message: MiningOwned) {
        self.link.receive(message, self.now, &mut self.out).unwrap();
    }

    /// The pool opens what is asked for, and miners hear what there is to hear.
    fn settle(&mut self) {
        while let Some(message) = self.out.outgoing.pop_front() {
            if let MiningOwned::OpenExtendedMiningChannel(open) = message {
                let offer = Offer::new(self.next_channel);
                self.next_channel += 1;
                self.say(offer.opened(&open));
                self.say(job(offer.channel, 1, None));
                self.say(tip(offer.channel, 1, 0x33));
            }
        }
        for (MinerId(miner), event) in std::mem::take(&mut self.out.events) {
            match event {
                Event::Job(job) => {
                    self.jobs.insert(miner, job);
                }
                Event::Stored(numbers) => {
                    for number in numbers {
                        assert!(self.stored.contains(&number), "{number} is not stored");
                        self.answered(miner, number);
                    }
                }
                Event::Rejected(number, _) => {
                    assert!(!self.stored.contains(&number), "{number} is stored");
                    self.answered(miner, number);
                }
                Event::Opened | Event::Away | Event::Refused(_) => {}
            }
        }
    }

    fn answered(&mut self, miner: u64, number: u64) {
        assert!(self.answered.insert(number), "{number} is answered twice");
        // Who has left hears nothing any more.
        if let Some(of) = self.unanswered.remove(&number) {
            assert_eq!(of, miner, "the answer is for whose share it was");
        }
    }
}

fn run(mode: Mode, steps: Vec<Step>) {
    let mut world = World::new(mode);
    world.take(Step::Return);
    steps.into_iter().for_each(|step| world.take(step));
    world.take(Step::Lose);
    assert_eq!(world.unanswered, BTreeMap::new(), "when the pool is gone, nobody waits for it");
    assert_eq!(world.link.owed(), 0);
}

proptest! {
    #[test]
    fn every_share_is_answered_once(steps in prop::collection::vec(step(), 0..200)) {
        run(Mode::PerMiner, steps.clone());
        run(Mode::Aggregated("all".to_owned()), steps);
    }
}
