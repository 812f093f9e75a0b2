//! Follows solved blocks to the depth at which their outcome is final.

use super::desk::Desk;
use crate::{domain::outcomes::Chain, port::Bitcoind};
use bitcoind_rpc::RpcError;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use subjects::{
    Payload as _,
    blocks::{BlockResult, Outcome},
};
use tokio::time::sleep;
use worker_runtime::{Publication, PublishError, lease::Held, metric::Name};

/// Looks at the chain again and again while the lease is held.
pub(super) async fn follow<B: Bitcoind>(desk: Arc<Desk<B>>, held: Held) -> anyhow::Result<()> {
    let watching = watch(&desk);
    held.lost.run_until_cancelled(watching).await.unwrap_or(Ok(()))
}

async fn watch<B: Bitcoind>(desk: &Desk<B>) -> anyhow::Result<()> {
    // A block may have its outcome, or an answer, in what was not heard yet.
    desk.caught_up.subscribe().wait_for(|caught_up| *caught_up).await?;
    loop {
        match look(desk).await {
            Ok(Some(chain)) => say(desk, &chain).await?,
            Ok(None) => {}
            Err(error) => {
                let labels = [("provider", desk.provider.as_str()), ("reason", error.reason())];
                desk.ctx.metrics().counter_with(Name::BitcoindErrorsTotal, &labels).inc();
                let cause = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(cause, "the chain cannot be looked at: outcomes wait");
            }
        }
        sleep(Duration::from_millis(desk.ctx.config.load().outcome_poll_ms)).await;
    }
}

/// The chain at the heights that matter; `None` while nothing is due, or the node is not to be
/// believed.
async fn look<B: Bitcoind>(desk: &Desk<B>) -> Result<Option<Chain>, RpcError> {
    let before = desk.bitcoind.state().await?;
    let heights = desk.book().heights(before.blocks);
    if before.initial_block_download || heights.is_empty() || !knows_our_chain(desk).await? {
        return Ok(None);
    }
    let mut blocks = BTreeMap::new();
    for height in heights {
        if let Some(hash) = desk.bitcoind.block_hash(height).await? {
            blocks.insert(height, hash);
        }
    }
    // All of it belongs to one tip, or to none.
    let same = desk.bitcoind.state().await?.best == before.best;
    Ok(same.then_some(Chain { tip_height: before.blocks, blocks }))
}

/// A node on another chain must not call our blocks orphans. It knows what our blocks build on, or
/// it is not on our chain, or not that far.
async fn knows_our_chain<B: Bitcoind>(desk: &Desk<B>) -> Result<bool, RpcError> {
    let parents = desk.book().open_parents();
    for (hash, parent) in parents {
        if desk.bitcoind.header(parent).await?.is_none() {
            tracing::error!(
                %hash, %parent,
                "bitcoind does not know the parent of a block of ours: check that it is on our \
                 chain; outcomes wait"
            );
            return Ok(false);
        }
    }
    Ok(true)
}

async fn say<B: Bitcoind>(desk: &Desk<B>, chain: &Chain) -> anyhow::Result<()> {
    let contradictions = desk.book().compare(chain);
    for contradiction in contradictions {
        desk.ctx.metrics().counter(Name::BlocksOverturnedTotal).inc();
        tracing::error!(%contradiction, "stop payouts and find out why");
    }
    let outcomes = desk.book().decide(chain);
    for outcome in outcomes {
        match desk.bus.publish(Publication::once(&outcome)).await {
            Ok(_) => tell(desk, &outcome),
            Err(PublishError::Stopped { .. }) => break,
            Err(error @ PublishError::Contradiction { .. }) => {
                settle(desk, &outcome, error).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Another provider's submitter was first and says something else. That no bitcoind took a block
/// and that the chain left it may look alike while the last answers come in; nothing is paid
/// either way. Any other difference is one of chains, and for a person.
async fn settle<B: Bitcoind>(
    desk: &Desk<B>,
    ours: &Outcome,
    error: PublishError,
) -> anyhow::Result<()> {
    let there = desk.bus.last(streams::BLOCKS, ours.subject().as_str()).await?;
    let theirs = there.map(|there| Outcome::decode(&there.body)).transpose()?;
    let paid = |outcome: &Outcome| outcome.result == BlockResult::Confirmed;
    if theirs.is_some_and(|theirs| !paid(&theirs) && !paid(ours)) {
        Ok(())
    } else {
        Err(error.into())
    }
}

fn tell<B: Bitcoind>(desk: &Desk<B>, outcome: &Outcome) {
    let result = match outcome.result {
        BlockResult::Confirmed => "confirmed",
        BlockResult::Orphaned => "orphaned",
        BlockResult::Refused => "refused",
    };
    desk.ctx.metrics().counter_with(Name::BlocksOutcomeTotal, &[("outcome", result)]).inc();
    let (hash, height) = (outcome.hash, outcome.height);
    tracing::info!(%hash, height, result, "the outcome of a block of ours is final");
}
