//! What the stream `BLOCKS` says of our blocks.

use crate::network::{Connection, Network, PATIENCE};
use anyhow::{Context as _, ensure};
use mining::Header;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use streams::BLOCKS;
use subjects::{
    BlockHash, Payload as _,
    blocks::{Answer, BlockResult, Outcome, Solved, Submitted},
};
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// Pause between two looks at the stream.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// All that was said of our blocks up to a moment.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Blocks of ours.
    pub(super) solved: BTreeMap<BlockHash, Solved>,
    submitted: BTreeMap<(BlockHash, String), Submitted>,
    outcomes: BTreeMap<BlockHash, Vec<BlockResult>>,
}

impl Ledger {
    /// Reads the stream up to its end as it is now.
    pub(super) async fn read(core: &Connection) -> anyhow::Result<Self> {
        let mut ledger = Self::default();
        // What follows from a block is read before the blocks, so that its block is there.
        for outcome in core.all::<Outcome>(BLOCKS, Outcome::FILTER).await? {
            ledger.outcomes.entry(outcome.hash).or_default().push(outcome.result);
        }
        for answer in core.all::<Submitted>(BLOCKS, Submitted::FILTER).await? {
            ledger.submitted.insert((answer.hash, answer.provider.to_string()), answer);
        }
        for solved in core.all::<Solved>(BLOCKS, Solved::FILTER).await? {
            ledger.solved.insert(solved.hash, solved);
        }
        Ok(ledger)
    }

    /// Reads again and again until `find` finds something.
    ///
    /// # Errors
    ///
    /// When it does not within [`PATIENCE`].
    pub(super) async fn until<T>(
        network: &Network,
        core: &Connection,
        what: &str,
        find: impl Fn(&Self) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = network.clock().monotonic() + PATIENCE;
        loop {
            let ledger = Self::read(core).await?;
            if let Some(found) = find(&ledger) {
                return Ok(found);
            }
            ensure!(network.clock().monotonic() < deadline, "no {what} within {PATIENCE:?}");
            sleep(BETWEEN_LOOKS).await; // polls
        }
    }

    /// The hashes of all blocks.
    pub(super) fn hashes(&self) -> BTreeSet<BlockHash> {
        self.solved.keys().copied().collect()
    }

    /// Blocks that are not among these.
    pub(super) fn besides(&self, known: &BTreeSet<BlockHash>) -> impl Iterator<Item = &Solved> {
        self.solved.values().filter(|solved| !known.contains(&solved.hash))
    }

    /// What a provider's bitcoind said to a block.
    pub(super) fn answer(&self, hash: BlockHash, provider: &str) -> Option<(Answer, &str)> {
        let Submitted { answer, detail, .. } = self.submitted.get(&(hash, provider.to_owned()))?;
        Some((*answer, detail.as_deref().unwrap_or_default()))
    }

    /// How a block ended, once that is final.
    ///
    /// # Errors
    ///
    /// When the stream says so more than once.
    pub(super) fn outcome(&self, hash: BlockHash) -> anyhow::Result<Option<BlockResult>> {
        let outcomes = self.outcomes.get(&hash).map(Vec::as_slice).unwrap_or_default();
        ensure!(outcomes.len() <= 1, "block {hash} has {} outcomes", outcomes.len());
        Ok(outcomes.first().copied())
    }

    /// Waits until all of these blocks have their outcomes.
    ///
    /// # Errors
    ///
    /// When one has none in time, or more than one.
    pub(super) async fn outcomes(
        network: &Network,
        core: &Connection,
        hashes: &[BlockHash],
    ) -> anyhow::Result<BTreeMap<BlockHash, BlockResult>> {
        let found = Self::until(network, core, "outcome of every block", |ledger| {
            let of = |hash: &BlockHash| match ledger.outcome(*hash) {
                Ok(outcome) => outcome.map(|outcome| Ok((*hash, outcome))),
                Err(error) => Some(Err(error)),
            };
            hashes.iter().map(of).collect::<Option<Vec<_>>>()
        });
        found.await?.into_iter().collect()
    }
}

/// The block that a block builds on.
pub(super) fn parent(solved: &Solved) -> anyhow::Result<BlockHash> {
    let header = Header::parse(solved.header.as_slice());
    Ok(header.with_context(|| format!("block {} has no header", solved.hash))?.prevhash)
}
