//! A small world for stories: one template, one tip, two miners, and shares that are really mined.

use mining::{Identity, Job, Network, ShareFields, TipWork, WorkTemplate, coinbase::bip34_push};
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, NodeId, Sats, Timestamp,
    shares::{self, Extranonce, JobKind, Share, Submitted, WorkSource},
    templates::{CoinbaseRule, New, Output, Tip},
};

/// Miners of the story: addresses of the private signet.
pub(crate) const ALICE: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// The other one.
pub(crate) const BOB: &str = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";

/// The lane on which the story's ingress hands out work.
pub(crate) const LANE: Lane = Lane(300);

/// Shares of 16 hashes, blocks of about 4 096: quick to mine and far enough apart.
const EXPONENT: i64 = -28;
const NBITS: u32 = 0x1f0f_ffff;

/// Template and tip of the story.
pub(crate) struct World {
    /// The template.
    pub(crate) template: New,
    /// The tip that activates it.
    pub(crate) tip: Tip,
    work: WorkTemplate,
    tip_work: TipWork,
}

/// What a share should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Good, but no block.
    Plain,
    /// Good, and a block.
    Block,
    /// Too easy for its target.
    Weak,
}

impl World {
    /// The world at a height.
    pub(crate) fn new(height: u32) -> Self {
        let provider: subjects::ProviderId = "alpha".parse().unwrap();
        let session = Timestamp(1_795_000_000_000);
        let prevhash = BlockHash([u8::try_from(height % 251).unwrap(); 32]);
        let template = New {
            provider: provider.clone(),
            session,
            template: 1,
            height,
            prevhash: Some(prevhash),
            subsidy: Sats::new(5_000_000_000).unwrap(),
            fees: Sats::new(12_345).unwrap(),
            version: 0x2000_0000,
            coinbase_prefix: HexBytes(bip34_push(height)),
            tx_version: 2,
            input_sequence: u32::MAX,
            locktime: 0,
            coinbase_outputs: vec![Output { value: Sats::ZERO, script: witness_commitment() }],
            merkle_path: Vec::new(),
            coinbase_rule: CoinbaseRule {
                rules_version: mining::RULES_VERSION,
                treasury_script: HexBytes([&[0x51, 0x20][..], &[9; 32]].concat()),
                tag: "/hyperhash/".to_owned(),
                version_mask: mining::VERSION_MASK,
            },
        };
        let tip = Tip {
            provider,
            session,
            prevhash,
            height,
            nbits: NBITS,
            min_ntime: 1_795_000_000,
            template: template.id(),
        };
        let work = WorkTemplate::new(template.id(), &template).unwrap();
        let tip_work = TipWork::new(&tip).unwrap();
        Self { template, tip, work, tip_work }
    }

    /// A batch with one job per miner and the wanted shares, in order.
    pub(crate) fn batch(&self, number: u64, wanted: &[(&str, Wanted)]) -> Submitted {
        let mut batch = Submitted {
            node: "n1".parse().unwrap(),
            lane: LANE,
            boot_epoch: BootEpoch(1),
            batch: number,
            opened_at: Timestamp(1_795_000_001_000),
            workers: vec!["rig".to_owned()],
            jobs: vec![self.job(ALICE, 1), self.job(BOB, 2)],
            shares: Vec::new(),
        };
        for (position, (miner, wanted)) in wanted.iter().enumerate() {
            let job = u32::from(*miner == BOB);
            let sequence =
                u32::try_from(number).unwrap() * 1_000 + u32::try_from(position).unwrap();
            let share =
                self.mine(&batch.jobs[usize::try_from(job).unwrap()], job, sequence, *wanted);
            batch.shares.push(share);
        }
        batch
    }

    fn job(&self, miner: &str, channel: u32) -> shares::Job {
        let prefix = mining::Prefix::new(LANE, BootEpoch(1), channel).unwrap();
        shares::Job {
            source: WorkSource::Template {
                template: self.template.id(),
                prevhash: self.tip.prevhash,
            },
            kind: JobKind::Extended,
            exponent: Exponent::new(EXPONENT).unwrap(),
            extranonce_prefix: Extranonce::new(&prefix.to_sv2()).unwrap(),
            extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
            identity: miner.to_owned(),
            version_mask: mining::VERSION_MASK,
        }
    }

    fn mine(&self, job: &shares::Job, index: u32, sequence: u32, wanted: Wanted) -> Share {
        let identity = identity(&job.identity);
        let view = Job::of(job, identity.payee());
        let mut share = Share {
            job: index,
            channel: index + 1,
            sequence,
            extranonce: Extranonce::new(&rolled(sequence)).unwrap(),
            ntime: self.tip.min_ntime + 5,
            nonce: 0,
            version: self.template.version,
            worker: 0,
            after_ms: 3,
        };
        for nonce in 0..10_000_000 {
            share.nonce = nonce;
            let fields = ShareFields::from(&share);
            let found = match mining::judge(&self.work, &self.tip_work, &view, &fields) {
                Ok(judged) if judged.is_block => Wanted::Block,
                Ok(_) => Wanted::Plain,
                Err(_) => Wanted::Weak,
            };
            if found == wanted {
                return share;
            }
        }
        panic!("no {wanted:?} share in ten million nonces");
    }
}

/// The node of the story's ingress.
pub(crate) fn node() -> NodeId {
    "n1".parse().unwrap()
}

fn identity(text: &str) -> Identity {
    Identity::from_canonical(text, Network::Signet).unwrap()
}

fn rolled(sequence: u32) -> [u8; 13] {
    let mut rolled = [0; 13];
    rolled[..4].copy_from_slice(&sequence.to_be_bytes());
    rolled
}

fn witness_commitment() -> HexBytes {
    HexBytes([&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..], &[7; 32]].concat())
}
