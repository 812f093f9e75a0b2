//! A node's operator who lies: everything that the node's keys allow, and more, is tried.
//!
//! The operator owns the node's leaf server, so lies go straight into its store, past the ingress.

use loadtest::network::{Connection, Network};
use mining::{Identity, Job, Network as Chain, Prefix, ShareFields, TipWork, WorkTemplate};
use std::{collections::BTreeMap, time::Duration};
use subjects::{
    BootEpoch, Exponent, Lane, Message, Payload, TemplateId, Timestamp,
    shares::{self, Accepted, Extranonce, JobKind, Reason, Refused, Share, Submitted, WorkSource},
    templates::{New, Tip},
};
use worker_runtime::{Bus, Context, Publication, outcome::Expect};

/// Whom the lies should pay.
const MALLORY: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// Whose share it was.
const VICTIM: &str = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";

/// A lane of the node that its ingress does not use now, and an epoch before any of its own.
const LANE: Lane = Lane(257);
const EPOCH: BootEpoch = BootEpoch(0);

/// Price of the honest share: 64 hashes.
const PRICE: i64 = -26;
/// What it is claimed to be worth afterwards.
const DREAM: i64 = -2;

/// Longest wait for Core's answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries everything; nothing is credited but one honest share, once.
pub(crate) async fn gets_nothing(network: &Network) {
    let core = network.bus("operator").await.unwrap();
    let leaf = network.leaf_ingress().await.unwrap();
    let work = Work::read(&core).await;

    let honest = work.mine(work.job(VICTIM, PRICE, LANE));
    let mut expected = BTreeMap::new();
    let lies = lies(&work, &honest);
    submit(&leaf.bus, &batch(LANE, 0, vec![honest])).await;
    for (number, (lie, reason)) in (1..).zip(lies) {
        let lie = batch(LANE, number, vec![lie]);
        *expected.entry(reason).or_insert(0) += lie.shares.len();
        submit(&leaf.bus, &lie).await;
    }
    let foreign = work.mine(work.job(MALLORY, PRICE, Lane(5)));
    submit(&leaf.bus, &batch(Lane(5), 0, vec![foreign])).await;
    disguised(&leaf.bus, &work).await;
    *expected.entry(Reason::WrongLane).or_insert(0) += 1;
    forbidden_facts(&leaf.bus).await;

    let refused = refusals(&core, &expected).await;
    assert_eq!(refused, expected, "each lie is refused by its name");
    let own = credited(&core, LANE).await;
    assert_eq!(own, 1, "one honest share is credited, once");
    assert_eq!(credited(&core, Lane(5)).await, 0, "nothing on a lane of Core");
    nothing_forged(&core).await;
    refused_as_client(network).await;
    leaf.finish().await.unwrap();
    core.finish().await.unwrap();
}

/// Shares that are none, and by which name Core must refuse them.
fn lies(work: &Work, honest: &Mined) -> Vec<(Mined, Reason)> {
    let mut dearer = honest.clone();
    dearer.job.exponent = Exponent::new(DREAM).unwrap();
    let mut mine = honest.clone();
    mine.job.identity = MALLORY.to_owned();
    let mut made_up = honest.clone();
    made_up.job.source =
        WorkSource::Template { template: TemplateId([0xee; 16]), prevhash: work.tip.prevhash };
    let mut spelled = honest.clone();
    spelled.job.identity = VICTIM.to_uppercase();
    let elsewhere = work.mine(work.job(MALLORY, PRICE, Lane(256)));
    vec![
        (honest.clone(), Reason::DuplicateShare),
        (dearer, Reason::DifficultyTooLow),
        (mine, Reason::DifficultyTooLow),
        (made_up, Reason::UnknownTemplate),
        (spelled, Reason::InvalidIdentity),
        (elsewhere, Reason::WrongPrefix),
    ]
}

/// A share and the job that it was mined on.
#[derive(Clone)]
struct Mined {
    job: shares::Job,
    share: Share,
}

/// What Core published last.
struct Work {
    template: TemplateId,
    tip: Tip,
    work: WorkTemplate,
    tip_work: TipWork,
}

impl Work {
    async fn read(core: &Connection) -> Self {
        let tips: Vec<Tip> = core.all(streams::TEMPLATES, Tip::FILTER).await.unwrap();
        let tip = tips.last().unwrap().clone();
        let news: Vec<New> = core.all(streams::TEMPLATES, New::FILTER).await.unwrap();
        let new = news.iter().rev().find(|new| new.id() == tip.template).unwrap();
        let work = WorkTemplate::new(tip.template, new).unwrap();
        let tip_work = TipWork::new(&tip).unwrap();
        Self { template: tip.template, tip, work, tip_work }
    }

    fn job(&self, identity: &str, exponent: i64, lane: Lane) -> shares::Job {
        let prefix = Prefix::new(lane, EPOCH, 1).unwrap();
        shares::Job {
            source: WorkSource::Template { template: self.template, prevhash: self.tip.prevhash },
            kind: JobKind::Extended,
            exponent: Exponent::new(exponent).unwrap(),
            extranonce_prefix: Extranonce::new(&prefix.to_sv2()).unwrap(),
            extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
            identity: identity.to_owned(),
            version_mask: mining::VERSION_MASK,
        }
    }

    /// Really mines.
    fn mine(&self, job: shares::Job) -> Mined {
        let identity = Identity::from_canonical(&job.identity, Chain::Signet).unwrap();
        let rolled = usize::from(mining::SV2_ROLLED_LENGTH);
        let mut share = Share {
            job: 0,
            channel: 1,
            sequence: 1,
            extranonce: Extranonce::new(&vec![0xab; rolled]).unwrap(),
            ntime: self.tip.min_ntime,
            nonce: 0,
            version: self.work.version(),
            worker: 0,
            after_ms: 0,
        };
        for nonce in 0..1_000_000 {
            share.nonce = nonce;
            let view = Job::of(&job, identity.payee());
            let fields = ShareFields::from(&share);
            let judged = mining::judge(&self.work, &self.tip_work, &view, &fields);
            if judged.is_ok_and(|judged| !judged.is_block) {
                return Mined { job, share };
            }
        }
        panic!("no share in a million nonces");
    }
}

fn batch(lane: Lane, number: u64, mined: Vec<Mined>) -> Submitted {
    let (jobs, shares) = mined
        .into_iter()
        .zip(0..)
        .map(|(Mined { job, share }, index)| (job, Share { job: index, ..share }))
        .unzip();
    Submitted {
        node: "n1".parse().unwrap(),
        lane,
        boot_epoch: EPOCH,
        batch: number,
        opened_at: Timestamp(0),
        workers: vec![String::new()],
        jobs,
        shares,
    }
}

async fn submit(leaf: &Bus, batch: &Submitted) {
    leaf.publish(Publication::any(batch)).await.unwrap();
}

/// A batch of one lane on the subject of another one.
async fn disguised(leaf: &Bus, work: &Work) {
    let mined = work.mine(work.job(MALLORY, PRICE, Lane(256)));
    let inside = batch(Lane(256), 0, vec![mined]);
    let outside = batch(LANE, 1_000, Vec::new()).to_message();
    let message = Message { body: inside.encode(), ..outside };
    leaf.publish(Publication { message, expect: Expect::Any }).await.unwrap();
}

/// Facts that only Core may say, said on the node's side of the link.
async fn forbidden_facts(leaf: &Bus) {
    for subject in
        ["shares.accepted.n1.257", "templates.new.evil", "node.verdict.n1", "blocks.solved.ff"]
    {
        // The node's own server refuses, or the hub does: both are fine, and looked at afterwards.
        if let Err(error) = leaf.emit(subject, "{}".into()).await {
            eprintln!("{subject}: {error}");
        }
    }
}

/// Waits until Core has refused as many shares on the lane as were lied about.
async fn refusals(
    core: &Connection,
    expected: &BTreeMap<Reason, usize>,
) -> BTreeMap<Reason, usize> {
    let wanted: usize = expected.values().sum();
    let filter = format!("shares.refused.n1.{LANE}");
    let counting = async {
        loop {
            let all: Vec<Refused> = core.all(streams::SHARES_REFUSED, &filter).await.unwrap();
            let mut found = BTreeMap::new();
            for refusal in all.into_iter().flat_map(|refused| refused.refusals) {
                *found.entry(refusal.reason).or_insert(0) += 1;
            }
            if found.values().sum::<usize>() >= wanted {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counting).await.expect("Core answers to every lie")
}

async fn credited(core: &Connection, lane: Lane) -> usize {
    let filter = format!("shares.accepted.n1.{lane}");
    let all: Vec<Accepted> = core.all(streams::SHARES, &filter).await.unwrap();
    all.iter().map(|accepted| accepted.shares.len()).sum()
}

async fn nothing_forged(core: &Connection) {
    let evil: Vec<New> = core.all(streams::TEMPLATES, "templates.new.evil").await.unwrap();
    assert!(evil.is_empty(), "a node publishes templates");
    let verdicts = core.bus.stream_info(streams::NODE_VERDICTS).await.unwrap();
    assert_eq!(verdicts.messages, 0, "a node publishes verdicts");
    let solved = core.bus.last(streams::BLOCKS, "blocks.solved.ff").await.unwrap();
    assert!(solved.is_none(), "a node publishes solved blocks");
}

/// A credential that is meant for a leaf's link opens no client connection to the hub.
async fn refused_as_client(network: &Network) {
    let config = network.hub(&network.status().await.unwrap(), "node-n1").unwrap();
    let context = Context::detached("system-tests", ());
    let connecting = tokio::time::timeout(Duration::from_secs(3), context.connect(&config));
    assert!(!matches!(connecting.await, Ok(Ok(_))), "a node may connect as a client");
}
