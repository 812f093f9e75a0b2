//! What Core says of shares from some moment on.

use crate::{
    ShareKey,
    audit::acknowledged,
    network::{self, Network},
};
use anyhow::Context as _;
use std::collections::BTreeSet;
use subjects::{
    Payload as _,
    shares::{Accepted, Refused},
};
use tokio::time::timeout;
use worker_runtime::{bus::Ordered, transform::Start};

/// Hears what Core accepts and refuses from now on.
pub(super) struct Hearing {
    core: network::Connection,
    accepted: Ordered,
    refused: Ordered,
    /// Shares that were acknowledged before.
    before: BTreeSet<ShareKey>,
}

/// What became of the shares that were acknowledged meanwhile.
pub(super) struct Heard {
    /// How many Core accepted.
    pub(super) accepted: usize,
    /// How many it refused; why, is the audit's question.
    pub(super) refused: usize,
}

impl Hearing {
    pub(super) async fn begin(network: &Network) -> anyhow::Result<Self> {
        let core = network.bus("operator").await?;
        let from_now =
            |stream, filter: &str| core.bus.ordered(stream, vec![filter.to_owned()], Start::New);
        let mut accepted = from_now(streams::SHARES, Accepted::FILTER);
        let mut refused = from_now(streams::SHARES_REFUSED, Refused::FILTER);
        accepted.opened().await?;
        refused.opened().await?;
        let before = keys(network).await?;
        Ok(Self { core, accepted, refused, before })
    }

    /// Waits until Core has said something of each share that was acknowledged since the beginning
    /// and until now.
    pub(super) async fn until_all(mut self, network: &Network) -> anyhow::Result<Heard> {
        let during: BTreeSet<_> = keys(network).await?.difference(&self.before).copied().collect();
        let (mut accepted, mut refused) = (BTreeSet::<ShareKey>::new(), BTreeSet::new());
        let all = async {
            while accepted.union(&refused).count() < during.len() {
                let (good, bad) = self.next().await?;
                accepted.extend(good.intersection(&during));
                refused.extend(bad.intersection(&during));
            }
            anyhow::Ok(())
        };
        let heard = timeout(network::PATIENCE, all).await;
        heard.with_context(|| {
            let missing = during.len().saturating_sub(accepted.union(&refused).count());
            format!("{missing} of {} shares do not arrive", during.len())
        })??;
        self.core.finish().await?;
        Ok(Heard { accepted: accepted.len(), refused: refused.len() })
    }

    /// The shares that were accepted, and those that were refused, in the next message.
    async fn next(&mut self) -> anyhow::Result<(BTreeSet<ShareKey>, BTreeSet<ShareKey>)> {
        Ok(tokio::select! {
            said = self.accepted.next() => {
                (ShareKey::of_accepted(&Accepted::decode(&said?.body)?).collect(), BTreeSet::new())
            }
            said = self.refused.next() => {
                (BTreeSet::new(), ShareKey::of_refused(&Refused::decode(&said?.body)?).collect())
            }
        })
    }
}

async fn keys(network: &Network) -> anyhow::Result<BTreeSet<ShareKey>> {
    Ok(acknowledged(&network.acknowledged()?).await?.into_iter().collect())
}
