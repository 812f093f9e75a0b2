//! The two roads on which an ingress sends a claim.

use super::desk::Desk;
use crate::{domain::claims::ClaimRefusal, port::Bitcoind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use subjects::{
    BlockHash, Payload,
    blocks::{Claimed, Submitted},
};
use tokio::task::JoinSet;
use worker_runtime::{PublishError, bus::Request, metric::Name, transform::Start};

/// Claims that are looked at at once; the others wait in their subscription or stream.
const MAX_AT_ONCE: usize = 64;

/// What the request `block.submit.{provider}` is answered with, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// What bitcoind said.
    Submitted(Submitted),
    /// The claim is no block of ours.
    Refused {
        /// A short name of the reason.
        reason: String,
        /// The reason in words.
        detail: String,
    },
    /// The block has its outcome already, or this submitter is ending: nothing was asked.
    NotAsked {
        /// The block.
        hash: BlockHash,
    },
}

/// Road 1: answers `block.submit.{provider}` until the process drains.
pub(super) async fn requests<B: Bitcoind>(desk: Arc<Desk<B>>) -> anyhow::Result<()> {
    let mut served = desk.bus.serve(&streams::block_submit(&desk.provider)).await?;
    let stop = desk.ctx.stop.clone();
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    loop {
        tokio::select! {
            request = served.next(), if tasks.len() < MAX_AT_ONCE => {
                let Some(request) = request else { break };
                tasks.spawn(answer(Arc::clone(&desk), request));
            }
            Some(ended) = tasks.join_next() => ended??,
            () = stop.cancelled() => break,
        }
    }
    finish(tasks).await
}

/// Road 2: follows `BLOCK_CLAIMS` until the process drains. It holds an hour, and a block that was
/// handed in before is found done.
pub(super) async fn claims<B: Bitcoind>(desk: Arc<Desk<B>>) -> anyhow::Result<()> {
    let stop = desk.ctx.stop.clone();
    // What was answered before this start is told by BLOCKS, so that it is not asked again.
    let mut caught_up = desk.caught_up.subscribe();
    let ready = caught_up.wait_for(|caught_up| *caught_up);
    if stop.run_until_cancelled(ready).await.is_none() {
        return Ok(());
    }
    let filters = vec![Claimed::FILTER.to_owned()];
    let mut reader = desk.bus.ordered(streams::BLOCK_CLAIMS, filters, Start::First);
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    loop {
        tokio::select! {
            delivery = reader.next(), if tasks.len() < MAX_AT_ONCE => {
                let body = delivery?.body;
                let desk = Arc::clone(&desk);
                tasks.spawn(async move { handle(&desk, &body).await.map(|_| ()) });
            }
            Some(ended) = tasks.join_next() => ended??,
            () = stop.cancelled() => break,
        }
    }
    finish(tasks).await
}

/// An end of the process is no error of a claim: the stream still has it.
pub(super) fn unless_stopped(result: Result<(), PublishError>) -> anyhow::Result<()> {
    match result {
        Err(PublishError::Stopped { .. }) => Ok(()),
        other => Ok(other?),
    }
}

/// Waits for what is in hand.
pub(super) async fn finish(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn answer<B: Bitcoind>(desk: Arc<Desk<B>>, request: Request) -> anyhow::Result<()> {
    let reply = handle(&desk, &request.payload).await?;
    if let Err(error) = request.reply(serde_json::to_vec(&reply)?.into()).await {
        tracing::debug!(%error, "nobody waits for the answer to a claim any more");
    }
    Ok(())
}

/// Checks a claim and, if it holds, hands the block in.
async fn handle<B: Bitcoind>(desk: &Desk<B>, body: &[u8]) -> anyhow::Result<Reply> {
    let heard = desk.ctx.clock().monotonic();
    let claim = match Claimed::decode(body) {
        Ok(claim) => claim,
        Err(error) => return Ok(refuse(desk, &error.into())),
    };
    let hash = claim.hash;
    if desk.book().is_decided(hash) {
        return Ok(Reply::NotAsked { hash });
    }
    let solved = match desk.judge(&claim).await {
        Ok(solved) => solved,
        Err(refusal) => {
            tracing::warn!(node = %claim.node, %hash, %refusal, "a claim is no block of ours");
            return Ok(refuse(desk, &refusal));
        }
    };
    let answer = match desk.solve(&solved, heard).await {
        Err(PublishError::Stopped { .. }) => None,
        other => other?,
    };
    let Some(submitted) = answer else { return Ok(Reply::NotAsked { hash }) };
    unless_stopped(desk.record(&submitted).await)?;
    Ok(Reply::Submitted(submitted))
}

fn refuse<B: Bitcoind>(desk: &Desk<B>, refusal: &ClaimRefusal) -> Reply {
    let reason = refusal.reason();
    let labels = [("reason", reason)];
    desk.ctx.metrics().counter_with(Name::BlockClaimsRefusedTotal, &labels).inc();
    Reply::Refused { reason: reason.to_owned(), detail: refusal.to_string() }
}
