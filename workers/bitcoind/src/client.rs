//! The calls that we make.

use crate::{
    BlockTemplate, Deployments, Header, NodeState, RpcConfig, RpcError, SubmitAnswer,
    answers::{ChainInfo, MiningInfo},
    node::Identity,
    transport::{Ask, Response, Transport, request},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;
use subjects::BlockHash;

/// How long `submitblock` may take: a full block is validated before the answer.
const SUBMIT_DEADLINE: Duration = Duration::from_secs(60);

/// How long a long poll may stay open. bitcoind answers at the next tip or, after a minute, at the
/// next change of its mempool; a new call after this time costs nothing.
const LONGPOLL_DEADLINE: Duration = Duration::from_secs(600);

/// How often the state is read again when the tip moves in between.
const STATE_ATTEMPTS: u32 = 5;

/// `RPC_INVALID_ADDRESS_OR_KEY` of bitcoind's `rpc/protocol.h`: no such block.
const NO_SUCH_BLOCK: i64 = -5;
/// `RPC_INVALID_PARAMETER`: no such height.
const NO_SUCH_HEIGHT: i64 = -8;
/// `RPC_DESERIALIZATION_ERROR`: not a block.
const NOT_A_BLOCK: i64 = -22;

/// A client of one bitcoind. Calls may run at the same time; connections are kept.
///
/// Every call fails with an [`RpcError`] that says where and what to check.
#[derive(Debug)]
pub struct Rpc {
    transport: Transport,
}

impl Rpc {
    /// A client; connects with the first call.
    ///
    /// # Errors
    ///
    /// When the address is not one of a bitcoind.
    pub fn new(config: RpcConfig) -> Result<Self, RpcError> {
        Ok(Self { transport: Transport::new(config)? })
    }

    /// Where the node stands. The tip is read before and after everything else, so that all parts
    /// belong to one tip.
    pub async fn state(&self) -> Result<NodeState, RpcError> {
        for _ in 0..STATE_ATTEMPTS {
            if let Some(state) = self.state_once().await? {
                return Ok(state);
            }
        }
        Err(RpcError::Unsettled { url: self.transport.url(), attempts: STATE_ATTEMPTS })
    }

    /// A template of the next block. `signet` says that blocks of a signet are understood.
    pub async fn template(&self, signet: bool) -> Result<BlockTemplate, RpcError> {
        let params = json!([{ "rules": rules(signet) }]);
        self.call("getblocktemplate", params, self.deadline()).await
    }

    /// Waits for a template that differs from the one with this long-poll id (BIP 22).
    pub async fn template_after(
        &self,
        longpoll_id: &str,
        signet: bool,
    ) -> Result<BlockTemplate, RpcError> {
        let params = json!([{ "rules": rules(signet), "longpollid": longpoll_id }]);
        self.call("getblocktemplate", params, LONGPOLL_DEADLINE).await
    }

    /// What the node says about its chain; `checkpoint` is a height to look at.
    pub async fn identity(&self, checkpoint: Option<u32>) -> Result<Identity, RpcError> {
        let at_checkpoint = match checkpoint {
            Some(height) => self.block_hash(height).await?,
            None => None,
        };
        let genesis = self.block_hash(0).await?;
        Ok(Identity { genesis, at_checkpoint, deployments: self.deployments().await? })
    }

    /// The consensus changes that the node knows of.
    pub async fn deployments(&self) -> Result<Deployments, RpcError> {
        self.call("getdeploymentinfo", json!([]), self.deadline()).await
    }

    /// The block at a height of the best chain; `None` above the tip.
    pub async fn block_hash(&self, height: u32) -> Result<Option<BlockHash>, RpcError> {
        let answer = self.call("getblockhash", json!([height]), self.deadline()).await;
        unless(answer, NO_SUCH_HEIGHT)
    }

    /// A block's header; `None` when the node has never heard of it.
    pub async fn header(&self, hash: BlockHash) -> Result<Option<Header>, RpcError> {
        let answer = self.call("getblockheader", json!([hash]), self.deadline()).await;
        unless(answer, NO_SUCH_BLOCK)
    }

    /// Hands in a whole block.
    pub async fn submit_block(&self, block: &[u8]) -> Result<SubmitAnswer, RpcError> {
        let params = json!([hex::encode(block)]);
        match self.call_nullable("submitblock", params, SUBMIT_DEADLINE).await {
            Ok(words) => Ok(SubmitAnswer(words)),
            Err(RpcError::Answer { code: NOT_A_BLOCK, message, .. }) => {
                Ok(SubmitAnswer(Some(message)))
            }
            Err(error) => Err(error),
        }
    }

    /// Calls any method; an answer of `null` is an error.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
        deadline: Duration,
    ) -> Result<T, RpcError> {
        let ask = Ask { method, deadline };
        self.transport.present(ask, self.ask(ask, params).await?)
    }

    /// Calls any method that may answer `null`.
    pub async fn call_nullable<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
        deadline: Duration,
    ) -> Result<Option<T>, RpcError> {
        let ask = Ask { method, deadline };
        self.transport.result(ask, self.ask(ask, params).await?)
    }

    /// The ordinary deadline of a call.
    pub const fn deadline(&self) -> Duration {
        self.transport.deadline()
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        ask: Ask,
        params: Value,
    ) -> Result<Response<T>, RpcError> {
        let body = self.transport.exchange(ask, &request(0, ask.method, &params)).await?;
        serde_json::from_slice(&body).map_err(|source| self.transport.garbled(ask, source))
    }

    /// One HTTP request, worked off in order: one round trip on the way to every new tip. `None`
    /// when the tip moved in between.
    async fn state_once(&self) -> Result<Option<NodeState>, RpcError> {
        let transport = &self.transport;
        let ask = Ask { method: "getblockchaininfo and others", deadline: self.deadline() };
        let none = json!([]);
        let batch = json!([
            request(0, "getblockchaininfo", &none),
            request(1, "getmininginfo", &none),
            request(2, "getbestblockhash", &none),
        ]);
        let body = transport.exchange(ask, &batch).await?;
        let (chain, mining, best): Batch = serde_json::from_slice(&body)
            .map_err(|source| transport.batch_error(ask, &body, source))?;
        let chain = transport.present(ask, chain)?;
        let mining = transport.present(ask, mining)?;
        let best = transport.present(ask, best)?;
        self.state_of(chain, mining, best)
    }

    fn state_of(
        &self,
        chain: ChainInfo,
        mining: MiningInfo,
        best: BlockHash,
    ) -> Result<Option<NodeState>, RpcError> {
        let too_old = || RpcError::TooOld { url: self.transport.url() };
        let next = mining.next.ok_or_else(too_old)?;
        if best != chain.bestblockhash || next.height != chain.blocks.saturating_add(1) {
            return Ok(None);
        }
        Ok(Some(NodeState {
            chain: chain.chain,
            blocks: chain.blocks,
            headers: chain.headers,
            best,
            time: chain.time,
            median_time: chain.mediantime,
            initial_block_download: chain.initialblockdownload,
            signet_challenge: chain.signet_challenge,
            next_nbits: next.bits,
            mempool_transactions: mining.pooledtx,
        }))
    }
}

type Batch = (Response<ChainInfo>, Response<MiningInfo>, Response<BlockHash>);

const fn rules(signet: bool) -> &'static [&'static str] {
    if signet { &["segwit", "signet"] } else { &["segwit"] }
}

/// Turns the error with this code into "there is none".
fn unless<T>(answer: Result<T, RpcError>, absent: i64) -> Result<Option<T>, RpcError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(RpcError::Answer { code, .. }) if code == absent => Ok(None),
        Err(error) => Err(error),
    }
}
