//! When a batch leaves for the bus.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ingress::testing::shares::{job, lane, miner, taken};
use ingress::{
    Figures,
    port::fake::Fake,
    publisher::{self, Queue, Reply},
};
use std::{sync::Arc, time::Duration};
use subjects::shares::{MAX_SHARES, Submitted};
use tokio::{
    task::JoinSet,
    time::{Instant, advance},
};
use tokio_util::sync::CancellationToken;
use worker_runtime::metric::Metrics;

/// A lane on its way to a bus, on a clock that stands still while anything can happen.
struct Road {
    queue: Arc<Queue>,
    bus: Fake,
    done: CancellationToken,
    task: JoinSet<()>,
    offered: u32,
}

impl Road {
    fn to(bus: Fake) -> Self {
        let queue = Arc::new(Queue::new(lane(4_096), 4_096));
        let (done, mut task) = (CancellationToken::new(), JoinSet::new());
        let (shares, port, until) = (Arc::clone(&queue), bus.clone(), done.clone());
        task.spawn(async move {
            let figures = Figures::new(&Metrics::default());
            publisher::run(&shares, &port, &figures, &until).await.unwrap();
        });
        Self { queue, bus, done, task, offered: 0 }
    }

    fn offer(&mut self, shares: usize) {
        let (job, miner, reply) = (job(), miner("rig"), Arc::<Reply>::default());
        for _ in 0..shares {
            self.offered += 1;
            self.queue.offer(&reply, taken(&job, &miner, self.offered, 0)).unwrap();
        }
    }

    async fn offers(&self, batches: usize) {
        self.bus.until(|bus| bus.offered::<Submitted>().len() == batches).await;
    }

    /// Ends it: the sizes of all batches.
    async fn sizes(mut self) -> Vec<usize> {
        self.done.cancel();
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
        self.bus.stored::<Submitted>().iter().map(|batch| batch.shares.len()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_share_after_a_pause_is_sent_at_once() {
    let mut road = Road::to(Fake::open());
    for batches in 1..=3 {
        advance(Duration::from_millis(20)).await;
        let began = Instant::now();
        road.offer(1);
        road.offers(batches).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
    assert_eq!(road.sizes().await, [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn shares_that_follow_closely_travel_together_and_none_waits_long() {
    let mut road = Road::to(Fake::open());
    let began = Instant::now();
    for _ in 0..100 {
        road.offer(1);
        advance(Duration::from_millis(1)).await;
    }
    road.bus
        .until(|bus| {
            bus.stored::<Submitted>().iter().map(|batch| batch.shares.len()).sum::<usize>() == 100
        })
        .await;
    assert!(began.elapsed() <= Duration::from_millis(106), "{:?}", began.elapsed());
    let sizes = road.sizes().await;
    assert!((20..=22).contains(&sizes.len()), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_waits_for_nothing() {
    let mut road = Road::to(Fake::closed());
    road.offer(1);
    road.offers(1).await;
    let began = Instant::now();
    road.offer(3 * MAX_SHARES);
    road.bus.let_batches(4);
    road.offers(4).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(road.sizes().await, [1, MAX_SHARES, MAX_SHARES, MAX_SHARES]);
}

#[tokio::test(start_paused = true)]
async fn the_last_shares_are_stored_before_the_end() {
    let mut road = Road::to(Fake::open());
    road.offer(1);
    road.offers(1).await;
    road.offer(7);
    assert_eq!(road.sizes().await, [1, 7]);
}
