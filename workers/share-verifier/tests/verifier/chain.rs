//! A chain of tips and templates, and miners who really mine on it.

use mining::{
    Identity, Job, Network, Payee, Prefix, ShareFields, TipWork, WorkTemplate,
    coinbase::bip34_push, judge,
};
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, NodeId, Sats, Timestamp,
    shares::{self, Extranonce, JobKind, Share, Submitted, WorkSource},
    templates::{CoinbaseRule, MerkleHash, New, Output, Tip},
};

pub(crate) const ALICE: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
pub(crate) const BOB: &str = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";

/// About 256 hashes a share.
pub(crate) const EXPONENT: i64 = -24;
/// About 65 536 hashes a block.
pub(crate) const NBITS: u32 = 0x1f00_ffff;
/// Nonces that are tried: thousands of times more than it takes.
const TRIES: u32 = 8_000_000;

/// A template and the tip that it is mined on.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) new: New,
    pub(crate) tip: Tip,
}

fn sats(amount: u64) -> Sats {
    Sats::new(amount).unwrap()
}

pub(crate) fn prevhash(height: u32) -> BlockHash {
    let mut hash = [0x11; 32];
    hash[..4].copy_from_slice(&height.to_le_bytes());
    BlockHash(hash)
}

/// The block that is mined at `height`, by provider `main`.
pub(crate) fn work(height: u32) -> Work {
    work_of("main", height, prevhash(height))
}

pub(crate) fn work_of(provider: &str, height: u32, prevhash: BlockHash) -> Work {
    let new = New {
        provider: provider.parse().unwrap(),
        session: Timestamp(1_700_000_000_000),
        template: u64::from(height),
        height,
        prevhash: Some(prevhash),
        subsidy: sats(312_500_000),
        fees: sats(4_321_987),
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(bip34_push(height)),
        tx_version: 2,
        input_sequence: 0xffff_fffe,
        locktime: height - 1,
        coinbase_outputs: vec![Output {
            value: Sats::ZERO,
            script: HexBytes([vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], vec![0xc0; 32]].concat()),
        }],
        merkle_path: (0..3).map(|level| MerkleHash([level; 32])).collect(),
        coinbase_rule: CoinbaseRule {
            rules_version: 1,
            treasury_script: HexBytes([vec![0x51, 0x20], vec![0x7e; 32]].concat()),
            tag: "/hyperhash/".to_owned(),
            version_mask: mining::VERSION_MASK,
        },
    };
    let tip = Tip {
        provider: new.provider.clone(),
        session: new.session,
        prevhash,
        height,
        nbits: NBITS,
        min_ntime: 1_700_000_000,
        template: new.id(),
    };
    Work { new, tip }
}

/// The same template under another number: another content id, the same blocks.
pub(crate) fn twin(work: &Work) -> Work {
    let new = New { template: work.new.template + 1_000_000, ..work.new.clone() };
    Work { tip: Tip { template: new.id(), ..work.tip.clone() }, new }
}

/// An ingress that does everything right.
#[derive(Clone, Debug)]
pub(crate) struct Ingress {
    pub(crate) node: NodeId,
    pub(crate) lane: Lane,
    pub(crate) boot_epoch: BootEpoch,
    pub(crate) next_batch: u64,
    next_nonce: u32,
}

impl Ingress {
    pub(crate) fn new(node: &str, lane: u16) -> Self {
        Self {
            node: node.parse().unwrap(),
            lane: Lane(lane),
            boot_epoch: BootEpoch(1),
            next_batch: 0,
            next_nonce: 0,
        }
    }

    pub(crate) fn prefix(&self, channel: u32) -> Prefix {
        Prefix::new(self.lane, self.boot_epoch, channel).unwrap()
    }

    pub(crate) fn job(&self, work: &Work, identity: &str, channel: u32) -> shares::Job {
        shares::Job {
            source: WorkSource::Template { template: work.new.id(), prevhash: work.tip.prevhash },
            kind: JobKind::Extended,
            exponent: Exponent::new(EXPONENT).unwrap(),
            extranonce_prefix: Extranonce::new(&self.prefix(channel).to_sv2()).unwrap(),
            extranonce_length: mining::SV2_EXTRANONCE_LENGTH,
            identity: identity.to_owned(),
            version_mask: mining::VERSION_MASK,
        }
    }

    /// A header-only job: the prefix is the whole extranonce.
    pub(crate) fn standard_job(&self, work: &Work, identity: &str, channel: u32) -> shares::Job {
        shares::Job {
            kind: JobKind::Standard,
            extranonce_prefix: Extranonce::new(&self.prefix(channel).to_standard()).unwrap(),
            ..self.job(work, identity, channel)
        }
    }

    /// Mines a share that is no block.
    pub(crate) fn mine(&mut self, work: &Work, job: &shares::Job) -> Share {
        self.mine_until(work, job, |judged| !judged.is_block)
    }

    /// Mines a share that solves the block.
    pub(crate) fn mine_block(&mut self, work: &Work, job: &shares::Job) -> Share {
        self.mine_until(work, job, |judged| judged.is_block)
    }

    fn mine_until(
        &mut self,
        work: &Work,
        job: &shares::Job,
        is_wanted: impl Fn(&mining::Judged) -> bool,
    ) -> Share {
        let payee = payee(&job.identity);
        let template = WorkTemplate::new(work.new.id(), &work.new).unwrap();
        let tip = TipWork::new(&work.tip).unwrap();
        for _ in 0..TRIES {
            self.next_nonce += 1;
            let share = self.share(job, self.next_nonce);
            let fields = ShareFields::from(&share);
            if judge(&template, &tip, &Job::of(job, &payee), &fields).is_ok_and(|it| is_wanted(&it))
            {
                return share;
            }
        }
        panic!("no proof found");
    }

    /// A share of the first job in its batch that proves nothing yet.
    pub(crate) fn share(&self, job: &shares::Job, nonce: u32) -> Share {
        let rolled = job.extranonce_length - job.extranonce_prefix.len();
        let prefix = job.extranonce_prefix.as_slice();
        Share {
            job: 0,
            channel: u32::from_be_bytes([0, prefix[4], prefix[5], prefix[6]]),
            sequence: nonce,
            extranonce: Extranonce::new(&vec![0xab; usize::from(rolled)]).unwrap(),
            ntime: 1_700_000_100,
            nonce,
            version: 0x2000_0000,
            worker: 0,
            after_ms: 3,
        }
    }

    /// The lane's next batch; every share is one of the job at its own position.
    pub(crate) fn batch(&mut self, proofs: &[(shares::Job, Share)]) -> Submitted {
        let batch = self.next_batch;
        self.next_batch += 1;
        let shares = (0..).zip(proofs).map(|(job, (_, share))| Share { job, ..*share });
        Submitted {
            node: self.node.clone(),
            lane: self.lane,
            boot_epoch: self.boot_epoch,
            batch,
            opened_at: Timestamp(1_700_000_100_000),
            workers: vec!["rig".to_owned()],
            jobs: proofs.iter().map(|(job, _)| job.clone()).collect(),
            shares: shares.collect(),
        }
    }

    /// A batch of `count` honest shares of one miner.
    pub(crate) fn honest(&mut self, work: &Work, identity: &str, count: usize) -> Submitted {
        let job = self.job(work, identity, 1);
        let mut proofs = Vec::new();
        for _ in 0..count {
            proofs.push((job.clone(), self.mine(work, &job)));
        }
        self.batch(&proofs)
    }

    /// What a restart of the ingress does.
    pub(crate) fn restart(&mut self) {
        self.boot_epoch.0 += 1;
        self.next_batch = 0;
    }
}

pub(crate) fn payee(identity: &str) -> Payee {
    *Identity::parse(identity, Network::Signet).unwrap().payee()
}

pub(crate) fn miner(identity: &str) -> subjects::MinerId {
    Identity::parse(identity, Network::Signet).unwrap().miner_id().clone()
}

/// The bytes of a payload, as a stream holds them.
pub(crate) fn body(payload: &impl subjects::Payload) -> Vec<u8> {
    payload.to_message().body
}
