//! On the simulated bus: whatever it loses, repeats or kills, the facts are the same, a proof is
//! credited at most once, and every share of a batch is either accepted or refused.

use crate::{
    chain::{ALICE, BOB, Ingress, Work, body, work},
    desk::rules,
};
use proptest::prelude::*;
use share_verifier::domain::{OWNERS, Verifier};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};
use subjects::{
    BootEpoch, Lane, Payload as _, TemplateId,
    blocks::Solved,
    shares::{Accepted, Extranonce, Job, Reason, Refused, Share, Submitted, WorkSource},
};
use worker_runtime::sim::{self, Bus, Mood};

const LANES: [u16; 2] = [300, 301];
const FIRST_HEIGHT: u32 = 100;
const HEIGHTS: u32 = 4;
const EPOCHS: u16 = 2;
/// Proofs that are mined for every lane, boot epoch, height and miner; the last one is a block.
const PROOFS: usize = 8;

type Key = (u16, u16, u32, &'static str);

static WORKS: LazyLock<Vec<Work>> =
    LazyLock::new(|| (FIRST_HEIGHT..FIRST_HEIGHT + HEIGHTS).map(work).collect());

/// Mined once for all cases.
static POOL: LazyLock<BTreeMap<Key, Vec<(Job, Share)>>> = LazyLock::new(|| {
    let mut pool = BTreeMap::new();
    for lane in LANES {
        for epoch in 1..=EPOCHS {
            for (height, work) in (FIRST_HEIGHT..).zip(WORKS.iter()) {
                for miner in [ALICE, BOB] {
                    let mut ingress = Ingress::new("n1", lane);
                    ingress.boot_epoch = BootEpoch(epoch);
                    let job = ingress.job(work, miner, 1);
                    let mut proofs: Vec<_> =
                        (1..PROOFS).map(|_| ingress.mine(work, &job)).collect();
                    proofs.push(ingress.mine_block(work, &job));
                    let proofs = proofs.into_iter().map(|share| (job.clone(), share));
                    pool.insert((lane, epoch, height, miner), proofs.collect());
                }
            }
        }
    }
    pool
});

/// How a share is spoilt.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    Not,
    Nonce,
    Owner,
    Template,
    Prefix,
}

/// One share of a batch: which proof of the pool, whose, of the tip or the one before, and how it
/// is spoilt. The same one may be picked again and again.
type Pick = (usize, bool, bool, Spoil);

#[derive(Clone, Debug)]
enum Action {
    Tip,
    Submit {
        lane: usize,
        picks: Vec<Pick>,
    },
    /// An earlier batch is sent again under another message id.
    Repeat {
        back: usize,
    },
    Restart {
        lane: usize,
    },
    Skip {
        lane: usize,
    },
    Rest,
}

fn any_action() -> impl Strategy<Value = Action> {
    let spoil = prop_oneof![
        6 => Just(Spoil::Not),
        1 => Just(Spoil::Nonce),
        1 => Just(Spoil::Owner),
        1 => Just(Spoil::Template),
        1 => Just(Spoil::Prefix),
    ];
    let pick = (0..PROOFS, any::<bool>(), prop::bool::weighted(0.2), spoil);
    let lane = 0..LANES.len();
    prop_oneof![
        1 => Just(Action::Tip),
        6 => (lane.clone(), prop::collection::vec(pick, 0..5))
            .prop_map(|(lane, picks)| Action::Submit { lane, picks }),
        1 => (0..4_usize).prop_map(|back| Action::Repeat { back }),
        1 => lane.clone().prop_map(|lane| Action::Restart { lane }),
        1 => lane.prop_map(|lane| Action::Skip { lane }),
        2 => Just(Action::Rest),
    ]
}

/// Carries a story out on a bus.
struct Teller {
    bus: Bus,
    height: u32,
    ingresses: Vec<Ingress>,
    submitted: Vec<Submitted>,
    repeats: u32,
}

impl Teller {
    fn new(seed: u64, mood: Mood, verifiers: &[&'static str]) -> Self {
        let mut bus = Bus::new(seed, mood);
        bus.stream(streams::TEMPLATES, &["templates.>"])
            .stream(OWNERS, &["$KV.LANE_OWNERS.>"])
            .queue(streams::SHARES_SUBMITTED, &["shares.submitted.>"])
            .stream(streams::SHARES, &["shares.accepted.>"])
            .stream(streams::SHARES_REFUSED, &["shares.refused.>"])
            .stream(streams::BLOCKS, &["blocks.solved.*"])
            .stream(streams::PARKED, &["parked.>"])
            .map_subjects(streams::SHARES_SUBMITTED, partitioned);
        for lane in LANES {
            bus.inject(&format!("$KV.LANE_OWNERS.{lane}"), "", &format!("owner-{lane}"), b"n1");
        }
        let ingresses = LANES.map(|lane| Ingress::new("n1", lane)).to_vec();
        let (submitted, height) = (Vec::new(), FIRST_HEIGHT);
        let mut teller = Self { bus, height, ingresses, submitted, repeats: 0 };
        teller.publish_tip();
        for name in verifiers {
            teller.bus.attach(name, || Verifier::new(rules()), sources());
        }
        teller
    }

    fn tell(mut self, story: &[Action]) -> Self {
        for action in story {
            self.act(action);
        }
        self.bus.run();
        self
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Tip if self.height + 1 < FIRST_HEIGHT + HEIGHTS => {
                // What is in hand is judged before: lateness is a matter of when.
                self.bus.run();
                self.height += 1;
                self.publish_tip();
            }
            Action::Tip => {}
            Action::Submit { lane, picks } => {
                let proofs: Vec<_> = picks.iter().map(|pick| self.proof(*lane, *pick)).collect();
                let batch = self.ingresses[*lane].batch(&proofs);
                self.bus.say(&batch).unwrap();
                self.submitted.push(batch);
            }
            Action::Repeat { back } => {
                let batch = self.submitted.iter().rev().nth(*back);
                if let Some(batch) = batch {
                    self.repeats += 1;
                    let (subject, id) = (batch.subject(), format!("again-{}", self.repeats));
                    self.bus.inject(subject.as_str(), Submitted::TYPE, &id, &body(batch));
                }
            }
            Action::Restart { lane } if self.ingresses[*lane].boot_epoch.0 < EPOCHS => {
                self.ingresses[*lane].restart();
            }
            Action::Restart { .. } => {}
            Action::Skip { lane } => self.ingresses[*lane].next_batch += 1,
            Action::Rest => self.bus.run(),
        }
    }

    fn publish_tip(&mut self) {
        let work = &WORKS[usize::try_from(self.height - FIRST_HEIGHT).unwrap()];
        self.bus.say(&work.new).unwrap();
        self.bus.say(&work.tip).unwrap();
    }

    fn proof(&self, lane: usize, (index, is_bobs, is_old, spoil): Pick) -> (Job, Share) {
        let height = self.height - u32::from(is_old && self.height > FIRST_HEIGHT);
        let miner = if is_bobs { BOB } else { ALICE };
        let epoch = self.ingresses[lane].boot_epoch.0;
        let (mut job, mut share) = POOL[&(LANES[lane], epoch, height, miner)][index].clone();
        match spoil {
            Spoil::Not => {}
            Spoil::Nonce => share.nonce ^= 0x8000_0000,
            Spoil::Owner => job.identity = if is_bobs { ALICE } else { BOB }.to_owned(),
            Spoil::Template => {
                let prevhash = job.source.prevhash();
                job.source = WorkSource::Template { template: TemplateId([9; 16]), prevhash };
            }
            Spoil::Prefix => {
                job.extranonce_prefix = Extranonce::new(&[0, 9, 0, 1, 0, 0, 1]).unwrap();
            }
        }
        (job, share)
    }

    /// What was said of shares and blocks.
    fn story(&self) -> BTreeMap<String, Vec<(String, Vec<u8>)>> {
        let mut story = self.bus.story();
        story.retain(|subject, _| {
            ["shares.accepted.", "shares.refused.", "blocks.solved.", "parked."]
                .iter()
                .any(|prefix| subject.starts_with(prefix))
        });
        story
    }
}

fn sources() -> Vec<sim::Source> {
    vec![
        sim::source(streams::TEMPLATES, &["templates.>"]),
        sim::source(OWNERS, &["$KV.LANE_OWNERS.>"]),
        sim::queue(streams::SHARES_SUBMITTED, &["shares.submitted.>"]),
    ]
}

fn partitioned(subject: &str) -> String {
    let (node, lane) = Submitted::parse_subject(subject).unwrap();
    format!("shares.submitted.p.{}.{node}.{lane}", streams::partition_of(lane))
}

/// What was said of one batch: how many shares were accepted, and which were refused.
type Account = BTreeMap<(Lane, BootEpoch, u64), (usize, Vec<u32>)>;

fn account(bus: &Bus) -> Account {
    let mut account = Account::new();
    for message in bus.all::<Accepted>() {
        let key = (message.lane, message.boot_epoch, message.batch);
        account.entry(key).or_default().0 += message.shares.len();
    }
    for message in bus.all::<Refused>() {
        let key = (message.lane, message.boot_epoch, message.batch);
        // A batch that is sent again after its epoch is over is refused as such, whatever was said
        // of it before; in these stories no other batch is.
        let refused = message.refusals.iter().filter(|it| it.reason != Reason::OldEpoch);
        account.entry(key).or_default().1.extend(refused.map(|refusal| refusal.index));
    }
    account
}

fn check_invariants(teller: &Teller) {
    let bus = &teller.bus;
    let mut proofs = BTreeSet::new();
    for message in bus.all::<Accepted>() {
        for share in &message.shares {
            let job = message.job_of(share).unwrap();
            let proof = (job.job.extranonce_prefix, share.share.nonce, job.job.source.prevhash());
            assert!(proofs.insert((proof, job.miner.clone())), "credited twice: {share:?}");
        }
    }
    let account = account(bus);
    for batch in &teller.submitted {
        let (accepted, refused) =
            account.get(&(batch.lane, batch.boot_epoch, batch.batch)).cloned().unwrap_or_default();
        let distinct: BTreeSet<_> = refused.iter().collect();
        assert_eq!(distinct.len(), refused.len(), "refused twice: {refused:?}");
        assert_eq!(accepted + refused.len(), batch.shares.len(), "batch {}", batch.batch);
    }
    let blocks: BTreeSet<_> = bus
        .all::<Accepted>()
        .iter()
        .flat_map(|message| &message.shares)
        .filter_map(|share| share.block)
        .collect();
    let solved: BTreeSet<_> = bus.all::<Solved>().iter().map(|solved| solved.hash).collect();
    assert_eq!(blocks, solved);
    assert_eq!(bus.unsettled(streams::SHARES_SUBMITTED), 0);
    assert!(bus.facts("parked.>").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_facts_do_not_depend_on_the_mood_of_the_bus(
        story in prop::collection::vec(any_action(), 1..24),
        seed in any::<u64>(),
    ) {
        let calm = Teller::new(seed, Mood::calm(), &["share-verifier"]).tell(&story);
        check_invariants(&calm);
        let foul = Teller::new(seed, Mood::foul(), &["share-verifier"]).tell(&story);
        prop_assert!(foul.bus.stopped().is_empty(), "{:?}", foul.bus.stopped());
        check_invariants(&foul);
        prop_assert_eq!(calm.story(), foul.story(), "{}", foul.bus.incidents());
    }

    #[test]
    fn of_two_verifiers_on_a_lane_only_one_is_heard(
        story in prop::collection::vec(any_action(), 1..24),
        seed in any::<u64>(),
    ) {
        let mut both = Teller::new(seed, Mood::foul(), &["share-verifier", "zombie"]);
        for action in &story {
            both.act(action);
        }
        // Each time one of them notices the other, it stops and is started again.
        for _ in 0..10_000 {
            both.bus.run();
            let stopped: Vec<_> = both.bus.stopped().into_keys().collect();
            if stopped.is_empty() {
                break;
            }
            for name in stopped {
                both.bus.crash(name);
            }
        }
        prop_assert_eq!(both.bus.unsettled(streams::SHARES_SUBMITTED), 0);
        let mut proofs = BTreeSet::new();
        for message in both.bus.all::<Accepted>() {
            for share in &message.shares {
                let job = message.job_of(share).unwrap();
                let proof = (job.job.extranonce_prefix, share.share.nonce, job.job.source);
                let is_new = proofs.insert((proof, job.miner.clone()));
                prop_assert!(is_new, "credited twice: {share:?}\n{}\n{}", both.bus.transcript(), both.bus.incidents());
            }
        }
    }
}

#[test]
fn the_pool_holds_what_it_promises() {
    let blocks: usize = POOL.values().map(Vec::len).sum();
    assert_eq!(blocks, LANES.len() * usize::from(EPOCHS) * HEIGHTS as usize * 2 * PROOFS);
}
