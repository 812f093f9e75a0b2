//! A bitcoind, as far as this worker needs one.

use bitcoind_rpc::{Header, NodeState, Rpc, RpcError, SubmitAnswer};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subjects::BlockHash;

/// The calls that this worker makes.
pub trait Bitcoind: Send + Sync + 'static {
    /// Where it stands.
    fn state(&self) -> impl Future<Output = Result<NodeState, RpcError>> + Send;

    /// The block at a height of its best chain; `None` above the tip.
    fn block_hash(
        &self,
        height: u32,
    ) -> impl Future<Output = Result<Option<BlockHash>, RpcError>> + Send;

    /// A block's header; `None` when it has never heard of it.
    fn header(
        &self,
        hash: BlockHash,
    ) -> impl Future<Output = Result<Option<Header>, RpcError>> + Send;

    /// Hands in a whole block.
    fn submit_block(
        &self,
        block: &[u8],
    ) -> impl Future<Output = Result<SubmitAnswer, RpcError>> + Send;
}

impl Bitcoind for Rpc {
    async fn state(&self) -> Result<NodeState, RpcError> {
        Self::state(self).await
    }

    async fn block_hash(&self, height: u32) -> Result<Option<BlockHash>, RpcError> {
        Self::block_hash(self, height).await
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<Header>, RpcError> {
        Self::header(self, hash).await
    }

    async fn submit_block(&self, block: &[u8]) -> Result<SubmitAnswer, RpcError> {
        Self::submit_block(self, block).await
    }
}

/// A bitcoind in memory: a chain of hashes, and words for blocks that are handed in.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    inner: Arc<Mutex<FakeChain>>,
}

#[derive(Debug, Default)]
struct FakeChain {
    blocks: BTreeMap<u32, BlockHash>,
    submitted: Vec<Vec<u8>>,
    words: Option<String>,
    down: bool,
    foreign: bool,
    looks: u64,
}

impl Fake {
    /// Sets the block at a height; the highest one is the tip.
    pub fn set_block(&self, height: u32, hash: BlockHash) {
        self.lock().blocks.insert(height, hash);
    }

    /// What it says to the next blocks.
    pub fn answer_with(&self, words: Option<&str>) {
        self.lock().words = words.map(str::to_owned);
    }

    /// Whether it answers at all.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// Whether it is on a chain of which nobody else knows a block.
    pub fn set_foreign(&self, foreign: bool) {
        self.lock().foreign = foreign;
    }

    /// The blocks that it was handed.
    pub fn submitted(&self) -> Vec<Vec<u8>> {
        self.lock().submitted.clone()
    }

    /// How often it was asked where it stands.
    pub fn looks(&self) -> u64 {
        self.lock().looks
    }

    fn lock(&self) -> MutexGuard<'_, FakeChain> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self, method: &'static str) -> Result<MutexGuard<'_, FakeChain>, RpcError> {
        let chain = self.lock();
        if chain.down {
            let url = "fake".to_owned();
            return Err(RpcError::Deadline { url, method, deadline_ms: 0 });
        }
        Ok(chain)
    }
}

impl Bitcoind for Fake {
    async fn state(&self) -> Result<NodeState, RpcError> {
        let mut chain = self.called("state")?;
        chain.looks += 1;
        let tip = chain.blocks.last_key_value();
        let (height, best) = tip.map_or((0, BlockHash([0; 32])), |(height, hash)| (*height, *hash));
        Ok(NodeState {
            chain: "signet".to_owned(),
            blocks: height,
            headers: height,
            best,
            time: 0,
            median_time: 0,
            initial_block_download: false,
            signet_challenge: None,
            next_nbits: 0x1d00_ffff,
            mempool_transactions: 0,
        })
    }

    async fn block_hash(&self, height: u32) -> Result<Option<BlockHash>, RpcError> {
        Ok(self.called("block_hash")?.blocks.get(&height).copied())
    }

    async fn header(&self, _hash: BlockHash) -> Result<Option<Header>, RpcError> {
        let header = Header { height: 0, confirmations: 1, parent: None };
        Ok((!self.called("header")?.foreign).then_some(header))
    }

    async fn submit_block(&self, block: &[u8]) -> Result<SubmitAnswer, RpcError> {
        let mut chain = self.called("submit_block")?;
        chain.submitted.push(block.to_vec());
        Ok(SubmitAnswer(chain.words.clone()))
    }
}
