//! A connection of either protocol, and what its miner does when it is lost.

use super::{FleetError, Plan, Pool, WhenLost, miner::Miner, orders::Orders, v1::LineMiner};
use crate::miner::backoff::Backoff;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::sleep;

/// Longer than any pool leaves a port closed: more attempts would hide that it stays so.
const MOST_ATTEMPTS: u32 = 64;

/// The pools of a plan, and where they are.
type Pools = Arc<[(Pool, SocketAddr)]>;

enum Miners {
    V1(LineMiner),
    V2(Miner),
}

/// A miner of a fleet.
pub(super) struct Hand {
    plan: Arc<Plan>,
    pools: Pools,
    number: usize,
    orders: Orders,
    miner: Box<Miners>,
}

impl Hand {
    /// Connects to the first pool.
    pub(super) async fn open(
        plan: Arc<Plan>,
        pools: Pools,
        number: usize,
        orders: Orders,
    ) -> Result<Self, FleetError> {
        let miner = connect(&plan, &pools, 0, number, &orders).await?;
        Ok(Self { plan, pools, number, orders, miner })
    }

    /// Mines until the fleet is closed; connects again when that is the plan.
    pub(super) async fn run(self) -> Result<(), FleetError> {
        let Self { plan, pools, number, orders, mut miner } = self;
        loop {
            let (ended, unanswered) = match &mut *miner {
                Miners::V1(miner) => (Box::pin(miner.run()).await, miner.owed()),
                Miners::V2(miner) => (Box::pin(miner.run()).await, miner.owed()),
            };
            let Err(error) = ended else { return Ok(()) };
            orders.tally.broke(unanswered);
            // Its socket is closed before it comes back.
            drop(miner);
            if plan.when_lost == WhenLost::Fail {
                return Err(error);
            }
            let Some(next) = Box::pin(again(&plan, &pools, number, &orders)).await? else {
                return Ok(());
            };
            miner = next;
        }
    }
}

/// Connects again, with growing pauses, to one pool after the other. `None` when the fleet is
/// closed meanwhile.
async fn again(
    plan: &Plan,
    pools: &Pools,
    number: usize,
    orders: &Orders,
) -> Result<Option<Box<Miners>>, FleetError> {
    let (lost, mut backoff) = (orders.now(), Backoff::default());
    let mut attempt = 0;
    loop {
        let mut closed = orders.clone();
        let pause: Duration = backoff.next(rand::random());
        tokio::select! {
            () = sleep(pause) => {} // time itself: miners that lost one pool come back one by one
            () = async { while closed.changed().await {} } => return Ok(None),
        }
        attempt += 1;
        // The pool that it has lost is tried last.
        let place = usize::try_from(attempt).unwrap_or(0);
        match connect(plan, pools, place, number, orders).await {
            Ok(miner) => {
                orders.tally.breaks.note(orders.now().saturating_sub(lost), 1);
                return Ok(Some(miner));
            }
            Err(error) if attempt >= MOST_ATTEMPTS => return Err(error),
            Err(error) => tracing::debug!(%error, number, "not served yet"),
        }
    }
}

async fn connect(
    plan: &Plan,
    pools: &Pools,
    place: usize,
    number: usize,
    orders: &Orders,
) -> Result<Box<Miners>, FleetError> {
    // Half of the miners have the second pool as their first.
    let place = (place + number).checked_rem(pools.len()).unwrap_or(0);
    let Some((pool, address)) = pools.get(place) else { return Err(FleetError::NoPool) };
    Ok(Box::new(match pool {
        Pool::V1(_) => Miners::V1(LineMiner::open(plan, *address, number, orders.clone()).await?),
        Pool::V2(endpoint) => {
            Miners::V2(Miner::open(plan, endpoint, *address, number, orders.clone()).await?)
        }
    }))
}
