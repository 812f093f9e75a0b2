//! A bitcoind that exists only in memory: a test tells it what to say.

use super::{Bitcoind, Notice, Notices, NoticesError};
use bitcoind_rpc::{
    BlockTemplate, Chain, Deployments, Header, NodeState, RpcError, TemplateTransaction, merkle,
    node::Identity,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use subjects::{BlockHash, HexBytes};
use tokio::sync::watch;

/// Notices that a fake keeps for a slow listener.
const NOTICE_ROOM: usize = 64;

/// A bitcoind in memory. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Fake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    world: Mutex<World>,
    changes: watch::Sender<u64>,
    notices: tokio::sync::broadcast::Sender<Notice>,
}

#[derive(Debug)]
struct World {
    chain: Vec<BlockHash>,
    stale: BTreeMap<BlockHash, Header>,
    down: bool,
    silent: bool,
    fees_sats: u64,
    identity: Identity,
    calls: BTreeMap<&'static str, u64>,
}

impl Fake {
    /// A signet node with the challenge `51` at height 0.
    pub fn signet() -> Self {
        let genesis = Chain::Signet.genesis();
        let identity = Identity {
            genesis: Some(genesis),
            at_checkpoint: None,
            deployments: Deployments::default(),
        };
        let world = World {
            chain: vec![genesis],
            stale: BTreeMap::new(),
            down: false,
            silent: false,
            fees_sats: 0,
            identity,
            calls: BTreeMap::new(),
        };
        let (changes, notices) =
            (watch::Sender::new(0), tokio::sync::broadcast::Sender::new(NOTICE_ROOM));
        Self { inner: Arc::new(Inner { world: Mutex::new(world), changes, notices }) }
    }

    /// Adds a block and says so; nodes that are given the same fork mine the same blocks.
    pub fn mine(&self, fork: u8) -> BlockHash {
        let hash = self.mine_unheard(fork);
        self.say();
        hash
    }

    /// Adds a block, and the notice of it is lost.
    pub fn mine_unheard(&self, fork: u8) -> BlockHash {
        let mut world = self.world();
        let mut hash = [fork; 32];
        let height = u32::try_from(world.chain.len()).unwrap_or(u32::MAX);
        hash.iter_mut().zip(height.to_le_bytes()).for_each(|(to, from)| *to = from);
        world.chain.push(BlockHash(hash));
        BlockHash(hash)
    }

    /// Takes `depth` blocks off its chain.
    pub fn disconnect(&self, depth: usize) {
        {
            let mut world = self.world();
            for _ in 0..depth {
                let Some(hash) = world.chain.pop() else { break };
                let height = u32::try_from(world.chain.len()).unwrap_or(u32::MAX);
                let parent = world.chain.last().copied();
                world.stale.insert(hash, Header { height, confirmations: -1, parent });
            }
        }
        self.say();
    }

    /// Lets no call through from now on, or lets them through again.
    pub fn set_down(&self, down: bool) {
        self.world().down = down;
        self.say();
    }

    /// Fees of its templates.
    pub fn set_fees(&self, sats: u64) {
        self.world().fees_sats = sats;
    }

    /// Whether blocks are announced without being asked.
    pub fn set_silent(&self, silent: bool) {
        self.world().silent = silent;
        let notice = if silent { Notice::Disconnected } else { Notice::Connected };
        drop(self.inner.notices.send(notice));
    }

    /// What it says about its chain.
    pub fn set_identity(&self, identity: Identity) {
        self.world().identity = identity;
    }

    /// How often a call was made.
    pub fn calls(&self, method: &str) -> u64 {
        self.world().calls.get(method).copied().unwrap_or_default()
    }

    fn say(&self) {
        self.inner.changes.send_modify(|count| *count += 1);
        if !self.world().silent {
            // Nobody listening is no error.
            drop(self.inner.notices.send(Notice::Block));
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self, method: &'static str) -> Result<MutexGuard<'_, World>, RpcError> {
        let mut world = self.world();
        *world.calls.entry(method).or_default() += 1;
        if world.down {
            let url = "fake".to_owned();
            return Err(RpcError::Deadline { url, method, deadline_ms: 0 });
        }
        Ok(world)
    }
}

impl World {
    fn height(&self) -> u32 {
        u32::try_from(self.chain.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    fn best(&self) -> BlockHash {
        self.chain.last().copied().unwrap_or(BlockHash([0; 32]))
    }

    /// One transaction that pays all the fees, unless there are none.
    fn transactions(&self) -> Vec<TemplateTransaction> {
        if self.fees_sats == 0 {
            return Vec::new();
        }
        let data = format!("{:016x}", self.fees_sats);
        let txid = merkle::sha256d(data.as_bytes());
        vec![TemplateTransaction { data, txid, wtxid: txid, fee: self.fees_sats.try_into().ok() }]
    }

    fn template(&self) -> BlockTemplate {
        let height = self.height().saturating_add(1);
        let subsidy = Chain::Signet.subsidy(height).to_u64();
        BlockTemplate {
            version: 0x2000_0000,
            rules: vec!["csv".to_owned(), "!segwit".to_owned(), "!signet".to_owned()],
            required_version_bits: 0,
            prevhash: self.best(),
            transactions: self.transactions(),
            coinbase_value: subsidy.saturating_add(self.fees_sats),
            longpoll_id: format!("{}", self.best()),
            min_ntime: MEDIAN_TIME.saturating_add(1),
            nbits: NBITS,
            height,
            witness_commitment: None,
        }
    }
}

/// Median time of every block.
const MEDIAN_TIME: u32 = 1_795_265_540;
/// Compact target of every block: the easiest of a signet.
const NBITS: u32 = 0x1e03_77ae;

impl Bitcoind for Fake {
    type Notices = FakeNotices;

    async fn identity(&self, checkpoint: Option<u32>) -> Result<Identity, RpcError> {
        let world = self.called("identity")?;
        let at_checkpoint =
            checkpoint.and_then(|height| world.chain.get(usize::try_from(height).ok()?)).copied();
        Ok(Identity { at_checkpoint, ..world.identity.clone() })
    }

    async fn state(&self) -> Result<NodeState, RpcError> {
        let world = self.called("state")?;
        Ok(NodeState {
            chain: "signet".to_owned(),
            blocks: world.height(),
            headers: world.height(),
            best: world.best(),
            time: MEDIAN_TIME,
            median_time: MEDIAN_TIME,
            initial_block_download: false,
            signet_challenge: Some(HexBytes(vec![0x51])),
            next_nbits: NBITS,
            mempool_transactions: 0,
        })
    }

    async fn template(&self) -> Result<BlockTemplate, RpcError> {
        Ok(self.called("template")?.template())
    }

    async fn template_after(&self, longpoll_id: &str) -> Result<BlockTemplate, RpcError> {
        let mut changes = self.inner.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let template = self.called("template_after")?.template();
            if template.longpoll_id != longpoll_id || changes.changed().await.is_err() {
                return Ok(template);
            }
        }
    }

    async fn header(&self, hash: BlockHash) -> Result<Option<Header>, RpcError> {
        let world = self.called("header")?;
        let Some(position) = world.chain.iter().position(|known| *known == hash) else {
            return Ok(world.stale.get(&hash).cloned());
        };
        let height = u32::try_from(position).unwrap_or(u32::MAX);
        let above = world.height().saturating_sub(height);
        let parent = position.checked_sub(1).and_then(|below| world.chain.get(below)).copied();
        Ok(Some(Header { height, confirmations: i64::from(above).saturating_add(1), parent }))
    }

    fn notices(&self) -> Result<FakeNotices, NoticesError> {
        let mut waiting = Vec::new();
        if !self.world().silent {
            waiting.push(Notice::Connected);
        }
        Ok(FakeNotices { waiting, heard: self.inner.notices.subscribe() })
    }
}

/// What a [`Fake`] says unasked.
#[derive(Debug)]
pub struct FakeNotices {
    waiting: Vec<Notice>,
    heard: tokio::sync::broadcast::Receiver<Notice>,
}

impl Notices for FakeNotices {
    async fn next(&mut self) -> Notice {
        use tokio::sync::broadcast::error::RecvError;
        if let Some(notice) = self.waiting.pop() {
            return notice;
        }
        match self.heard.recv().await {
            Ok(notice) => notice,
            // Some were missed; one look finds out what they were about.
            Err(RecvError::Lagged(_)) => Notice::Block,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
