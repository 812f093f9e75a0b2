//! Templates and tips as a provider publishes them.

use crate::domain::{
    Moment,
    reject_run::Patience,
    rules::Rules,
    selection::{Selection, Work},
};
use mining::{Hashrate, Network, Policy, coinbase::bip34_push};
use std::{num::NonZeroU32, sync::Arc, time::Duration};
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, NodeId, Payload, ProviderId, Sats, TemplateId,
    Timestamp,
    templates::{CoinbaseRule, MerkleHash, New, Output, Tip},
};

/// An address of the signet.
pub const ADDRESS: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// Another one.
pub const OTHER_ADDRESS: &str = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";

/// Difficulty 1: no test ever solves a block by accident.
pub const HARD: u32 = 0x1d00_ffff;
/// Every second hash is a block.
pub const TRIVIAL: u32 = 0x207f_ffff;

/// A provider of this name.
pub fn provider(name: &str) -> ProviderId {
    name.parse().unwrap()
}

/// A tip whose bytes are all `byte`.
pub const fn hash(byte: u8) -> BlockHash {
    BlockHash([byte; 32])
}

/// The `number`th template of provider `main` for a height; on a tip, or prepared for one.
pub fn template(number: u64, height: u32, prevhash: Option<BlockHash>) -> New {
    let path = (1..=3).map(|node| MerkleHash([node; 32])).collect();
    New {
        provider: provider("main"),
        session: Timestamp(1_000),
        template: number,
        height,
        prevhash,
        subsidy: Sats::new(312_500_000).unwrap(),
        fees: Sats::new(1_000 * number).unwrap(),
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(bip34_push(height)),
        tx_version: 2,
        input_sequence: u32::MAX,
        locktime: 0,
        coinbase_outputs: vec![Output {
            value: Sats::ZERO,
            script: HexBytes([[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed].as_slice(), &[7; 32]].concat()),
        }],
        merkle_path: if prevhash.is_none() { Vec::new() } else { path },
        coinbase_rule: CoinbaseRule {
            rules_version: 1,
            treasury_script: HexBytes([[0x51, 0x20].as_slice(), &[3; 32]].concat()),
            tag: "Hyper Hash".to_owned(),
            version_mask: mining::VERSION_MASK,
        },
    }
}

/// A tip of provider `main` that activates `template`.
pub fn tip(prevhash: BlockHash, height: u32, nbits: u32, template: &New) -> Tip {
    Tip {
        provider: template.provider.clone(),
        session: Timestamp(1_000),
        prevhash,
        height,
        nbits,
        min_ntime: 1_790_000_000,
        template: template.id(),
    }
}

/// A provider, and what an ingress makes of it.
#[derive(Debug)]
pub struct Chain {
    selection: Selection,
    nbits: u32,
    number: u64,
    tip: u8,
    height: u32,
}

impl Chain {
    /// A chain with a template on its tip, of this difficulty.
    pub fn new(nbits: u32) -> Self {
        let selection = Selection::new(&[provider("main")], Duration::from_secs(120));
        let mut chain = Self { selection, nbits, number: 0, tip: 0, height: 100 };
        chain.next_block();
        chain
    }

    /// The next tip has this difficulty.
    pub fn set_nbits(&mut self, nbits: u32) {
        self.nbits = nbits;
    }

    /// What an ingress makes of it.
    pub fn work(&self) -> Arc<Work> {
        Arc::clone(self.selection.work().unwrap())
    }

    fn hear(&mut self, new: &New) {
        let id = TemplateId::of_payload(&new.encode());
        self.selection.template(Duration::ZERO, id, new).unwrap();
    }

    /// A fuller template on the tip.
    pub fn refresh(&mut self) -> Arc<Work> {
        self.number += 1;
        self.hear(&template(self.number, self.height, Some(hash(self.tip))));
        self.work()
    }

    /// A template for the next block.
    pub fn prepare(&mut self) -> Arc<Work> {
        self.number += 1;
        self.hear(&template(self.number, self.height + 1, None));
        self.work()
    }

    /// A new tip, on the prepared template if there is one.
    pub fn next_block(&mut self) -> Arc<Work> {
        self.tip += 1;
        self.height += 1;
        let prepared = self.selection.work().and_then(|work| work.prepared.clone());
        let id = match prepared {
            Some(prepared) => prepared.id(),
            None => {
                self.number += 1;
                let new = template(self.number, self.height, Some(hash(self.tip)));
                self.hear(&new);
                new.id()
            }
        };
        let any = template(1, self.height, None);
        let tip = Tip { template: id, ..tip(hash(self.tip), self.height, self.nbits, &any) };
        self.selection.tip(Duration::ZERO, &tip).unwrap();
        self.work()
    }
}

/// An ingress of node `n1` on lane 300 in boot epoch 2. A miner of 2^(k + 32) / 5 H/s gets
/// exponent k.
pub fn rules() -> Rules {
    Rules {
        node: NodeId::core().as_str().replace("core", "n1").parse().unwrap(),
        lane: Lane(300),
        boot_epoch: BootEpoch(2),
        network: Network::Signet,
        policy: Policy::addresses_only(),
        shares_per_minute: NonZeroU32::new(12).unwrap(),
        floor: Exponent::MIN,
        starting_hashrate: Hashrate::new(1),
        max_channels: 3,
        max_unacknowledged: 4,
        setup_deadline: Duration::from_secs(10),
        channel_deadline: Duration::from_secs(60),
        idle_deadline: Duration::from_secs(900),
        reject_patience: Patience {
            resend: Duration::from_secs(60),
            reconnect: Duration::from_secs(120),
            drop: Duration::from_secs(180),
        },
    }
}

/// So many seconds after the start.
pub const fn at(secs: u64) -> Moment {
    Moment { elapsed: Duration::from_secs(secs), at: Timestamp(1_790_000_100_000 + 1_000 * secs) }
}
