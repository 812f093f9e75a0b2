//! A chain of a bench's own making: templates as mainnet has them, tips when the bench wants one,
//! and a difficulty at which no share ever solves a block.

use super::Lab;
use crate::network::Connection;
use anyhow::Context as _;
use mining::{VERSION_MASK, coinbase::bip34_push};
use subjects::{
    BlockHash, HexBytes, Payload, Sats, Timestamp,
    templates::{CoinbaseRule, MerkleHash, New, Output, Tip},
};
use worker_runtime::{
    Publication,
    clock::{Clock as _, SystemClock},
};

/// The development network's only provider.
const PROVIDER: &str = "dev";
/// The user that may publish templates.
const USER: &str = "template-publisher";
/// Compact target of mainnet in 2024: a share at the easiest target solves a block once in 2^78.
const NBITS: u32 = 0x1703_4219;
/// Levels of a full block's tree of transactions.
const LEVELS: u8 = 12;
/// Height of the first block to be mined.
const HEIGHT: u32 = 840_000;
/// The first tip.
pub const TIP: BlockHash = BlockHash([0x11; 32]);
/// How a witness commitment's script begins (BIP 141).
const COMMITMENT: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// The chain, and the bus that hears of it.
#[derive(Debug)]
pub struct Chain {
    hub: Connection,
    clock: SystemClock,
    session: Timestamp,
    number: u64,
    height: u32,
    tip: BlockHash,
    prepared: Option<New>,
}

impl Chain {
    /// Publishes a first template and its tip, and prepares the next.
    ///
    /// # Errors
    ///
    /// When the bus does not take them.
    pub async fn begin(lab: &Lab) -> anyhow::Result<Self> {
        let mut hub = lab.network.bus_of(USER).await?;
        hub.bus = hub.bus.routes(streams::routes());
        let clock = SystemClock::new();
        let session = clock.now();
        let mut chain =
            Self { hub, clock, session, number: 0, height: HEIGHT, tip: TIP, prepared: None };
        let first = chain.template(Some(TIP))?;
        chain.publish(&first).await?;
        chain.activate(&first).await?;
        chain.prepare().await?;
        Ok(chain)
    }

    /// A fuller template on the tip.
    ///
    /// # Errors
    ///
    /// When the bus does not take it.
    pub async fn refresh(&mut self) -> anyhow::Result<()> {
        let full = self.template(Some(self.tip))?;
        self.publish(&full).await
    }

    /// A template for the block after the tip's: a job that miners have before they need it.
    ///
    /// # Errors
    ///
    /// When the bus does not take it.
    pub async fn prepare(&mut self) -> anyhow::Result<()> {
        self.height += 1;
        let prepared = self.template(None);
        self.height -= 1;
        let prepared = prepared?;
        self.publish(&prepared).await?;
        self.prepared = Some(prepared);
        Ok(())
    }

    /// A new tip, which activates the prepared template and nothing else.
    ///
    /// # Errors
    ///
    /// When none is prepared, or the bus does not take it.
    pub async fn advance(&mut self) -> anyhow::Result<()> {
        let prepared = self.prepared.take().context("no template is prepared")?;
        self.height += 1;
        let mut tip = TIP.0;
        tip.split_at_mut(4).0.copy_from_slice(&self.height.to_be_bytes());
        self.tip = BlockHash(tip);
        self.activate(&prepared).await
    }

    /// Closes the connection.
    ///
    /// # Errors
    ///
    /// When a task of it failed.
    pub async fn end(self) -> anyhow::Result<()> {
        self.hub.finish().await
    }

    async fn publish<P: Payload>(&self, fact: &P) -> anyhow::Result<()> {
        self.hub.bus.publish(Publication::any(fact)).await.context("the bus takes no template")?;
        Ok(())
    }

    async fn activate(&self, template: &New) -> anyhow::Result<()> {
        let now = u32::try_from(self.clock.now().0 / 1_000).unwrap_or(u32::MAX);
        self.publish(&tip(template, self.tip, now)).await
    }

    fn template(&mut self, prevhash: Option<BlockHash>) -> anyhow::Result<New> {
        self.number += 1;
        template(self.number, self.session, self.height, prevhash)
    }
}

/// A tip that activates `template`, whose headers are not older than `now`, in seconds since 1970.
pub fn tip(template: &New, prevhash: BlockHash, now: u32) -> Tip {
    Tip {
        provider: template.provider.clone(),
        session: template.session,
        prevhash,
        height: template.height,
        nbits: NBITS,
        min_ntime: now,
        template: template.id(),
    }
}

/// A full block's template; one without transactions when it is for a tip not yet known.
///
/// # Errors
///
/// Never: what it is made of is good.
pub fn template(
    number: u64,
    session: Timestamp,
    height: u32,
    prevhash: Option<BlockHash>,
) -> anyhow::Result<New> {
    let sats = |value| Sats::new(value).context("more than the supply");
    let levels = if prevhash.is_some() { LEVELS } else { 0 };
    Ok(New {
        provider: PROVIDER.parse()?,
        session,
        template: number,
        height,
        prevhash,
        subsidy: sats(312_500_000)?,
        fees: sats(if prevhash.is_some() { 4_321_987 + number } else { 0 })?,
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(bip34_push(height)),
        tx_version: 2,
        input_sequence: 0xffff_fffe,
        locktime: height.saturating_sub(1),
        coinbase_outputs: vec![Output {
            value: Sats::ZERO,
            script: HexBytes([COMMITMENT.as_slice(), &[0xc0; 32]].concat()),
        }],
        merkle_path: (0..levels).map(|level| MerkleHash([level; 32])).collect(),
        coinbase_rule: CoinbaseRule {
            rules_version: mining::RULES_VERSION,
            treasury_script: HexBytes([[0x51, 0x20].as_slice(), &[0x7e; 32]].concat()),
            tag: "/hyperhash/".to_owned(),
            version_mask: VERSION_MASK,
        },
    })
}
