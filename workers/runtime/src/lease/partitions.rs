//! Partitions, spread fairly over the instances that live.

mod share;

use super::{
    Lease, LeaseConfig, LeaseError,
    vacancy::{AGAIN, LATER, Moment},
};
use crate::{
    Bus, Context,
    bus::{Change, ReadError},
};
use share::{Holders, PlanInput, plan};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Which partitions are spread, and where that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionsConfig {
    /// The bucket; its `max_age` is the lease's length.
    pub bucket: String,
    /// Begin of the keys: `<prefix>.p.<number>` for partitions, `<prefix>.m.<holder>` for members.
    pub prefix: String,
    /// How many partitions there are, numbered from 0.
    pub count: u16,
    /// A name that no other process has, such as [`crate::Context::instance`].
    pub holder: String,
    /// The lease's length.
    pub ttl: Duration,
}

/// A partition that this instance holds.
#[derive(Clone, Debug)]
pub struct HeldPartition {
    /// Its number.
    pub partition: u16,
    /// Grows with every holder.
    pub fence: u64,
    /// Cancelled when the partition must be handed over, was lost, or the process drains. What
    /// works on it must finish what it has in hand and end.
    pub stop: CancellationToken,
}

/// Runs `work` for every partition that falls to this instance, until the process drains.
///
/// Every instance writes that it lives; each takes free partitions up to its fair share and hands
/// over what it has beyond that. A partition changes hands only after its `work` has ended.
pub async fn partitions<C, W, F>(
    ctx: &Context<C>,
    bus: &Bus,
    config: &PartitionsConfig,
    work: W,
) -> anyhow::Result<()>
where
    W: Fn(HeldPartition) -> F,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let Some(member) = Lease::acquire(bus, &config.member(), &ctx.stop).await? else {
        return Ok(());
    };
    let spread = Spread {
        bus,
        config,
        holders: Holders::new(config),
        held: BTreeMap::new(),
        running: JoinSet::new(),
        draining: ctx.stop.child_token(),
    };
    let result = spread.run(ctx, &member, work).await;
    member.release().await;
    result
}

impl PartitionsConfig {
    fn member(&self) -> LeaseConfig {
        self.lease(format!("{}.m.{}", self.prefix, self.holder))
    }

    fn partition(&self, partition: u16) -> LeaseConfig {
        self.lease(format!("{}.p.{partition}", self.prefix))
    }

    fn lease(&self, key: String) -> LeaseConfig {
        LeaseConfig { bucket: self.bucket.clone(), key, holder: self.holder.clone(), ttl: self.ttl }
    }
}

/// What one instance knows and holds.
struct Spread<'a> {
    bus: &'a Bus,
    config: &'a PartitionsConfig,
    holders: Holders,
    /// Partitions in hand, each with the way to stop its work.
    held: BTreeMap<u16, CancellationToken>,
    running: JoinSet<(u16, Ended)>,
    draining: CancellationToken,
}

/// How the work on a partition ended.
struct Ended {
    lost: bool,
    result: anyhow::Result<()>,
}

impl Spread<'_> {
    async fn run<C, W, F>(mut self, ctx: &Context<C>, member: &Lease, work: W) -> anyhow::Result<()>
    where
        W: Fn(HeldPartition) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let filter = format!("{}.>", self.config.prefix);
        let bucket = self.bus.bucket(&self.config.bucket);
        let begun = Moment::ask(&bucket).await.ok();
        let mut watch = bucket.watch(&filter);
        watch.opened().await?;
        let result = loop {
            // Done before the clock is waited for, which would cut it off again and again.
            tokio::select! {
                opened = watch.opened() => if let Err(error) = opened { break Err(error.into()) },
                () = ctx.stop.cancelled() => break Ok(()),
                () = member.lost().cancelled() => break Err(lost()),
            }
            let was_there = begun.filter(|_| !watch.caught_up());
            let next_end = self.holders.next_end();
            tokio::select! {
                () = ctx.stop.cancelled() => break Ok(()),
                () = member.lost().cancelled() => {
                    break Err(lost());
                }
                Some(ended) = self.running.join_next() => {
                    if let Err(error) = self.ended(ended) {
                        break Err(error);
                    }
                }
                change = watch.next() => {
                    if let Err(error) = self.note(change, was_there) {
                        break Err(error.into());
                    }
                    if !watch.caught_up() {
                        continue;
                    }
                }
                // A key that ages out says nothing.
                () = until(next_end) => {}
            }
            if let Err(error) = self.follow_plan(ctx, &work).await {
                break Err(error.into());
            }
        };
        watch.close().await;
        self.let_go(result).await
    }

    /// Notes a change, which is older than now if it `was_there` when the watch began.
    fn note(
        &mut self,
        change: Result<Change, ReadError>,
        was_there: Option<Moment>,
    ) -> Result<(), ReadError> {
        match change? {
            Change::Put(entry) => {
                let own_time = |begun: Moment| begun.own_time_of(entry.created_at);
                let set = was_there.map_or_else(Instant::now, own_time);
                self.holders.set(&entry.key, &entry.value, set);
            }
            Change::Removed { key, .. } => self.holders.remove(&key),
        }
        Ok(())
    }

    async fn follow_plan<C, W, F>(&mut self, ctx: &Context<C>, work: &W) -> Result<(), LeaseError>
    where
        W: Fn(HeldPartition) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.holders.forget_aged(Instant::now());
        let held: Vec<u16> = self.held.keys().copied().collect();
        let plan = plan(&PlanInput {
            count: self.config.count,
            me: &self.config.holder,
            members: self.holders.members(),
            taken: self.holders.taken(),
            held: &held,
        });
        for partition in plan.hand_over {
            if let Some(stop) = self.held.get(&partition) {
                stop.cancel();
            }
        }
        for partition in plan.take {
            match Lease::try_acquire(self.bus, &self.config.partition(partition)).await {
                Ok(Some(lease)) => self.begin(partition, lease, work),
                // Another was faster, which the watch will tell; or it will be free in a moment.
                Ok(None) => self.holders.still_taken(partition, Instant::now(), AGAIN),
                Err(error) if error.is_final() => return Err(error),
                Err(error) => {
                    tracing::warn!(partition, %error, "cannot take a partition yet");
                    self.holders.still_taken(partition, Instant::now(), LATER);
                }
            }
        }
        let mine = self.held.len();
        ctx.ready("partitions", true, &format!("{mine} of {} partitions", self.config.count));
        Ok(())
    }

    fn begin<W, F>(&mut self, partition: u16, lease: Lease, work: &W)
    where
        W: Fn(HeldPartition) -> F,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let stop = self.draining.child_token();
        let held = HeldPartition { partition, fence: lease.fence(), stop: stop.clone() };
        let working = work(held);
        self.held.insert(partition, stop.clone());
        let supervised = async move {
            let mut working = std::pin::pin!(working);
            let result = tokio::select! {
                result = &mut working => result,
                () = lease.lost().cancelled() => {
                    stop.cancel();
                    working.await
                }
            };
            let lost = lease.lost().is_cancelled();
            lease.release().await;
            (partition, Ended { lost, result })
        };
        self.running.spawn(supervised.in_current_span());
    }

    fn ended(&mut self, ended: Result<(u16, Ended), tokio::task::JoinError>) -> anyhow::Result<()> {
        let (partition, Ended { lost, result }) = ended?;
        self.held.remove(&partition);
        self.holders.remove(&self.config.partition(partition).key);
        match result {
            // What failed because another took over is no error of the process.
            Err(error) if lost => {
                tracing::warn!(
                    partition,
                    cause = format!("{error:#}"),
                    "stopped after losing the lease"
                );
                Ok(())
            }
            result => result,
        }
    }

    /// Ends all work and gives all partitions back.
    async fn let_go(mut self, result: anyhow::Result<()>) -> anyhow::Result<()> {
        self.draining.cancel();
        let mut result = result;
        while let Some(ended) = self.running.join_next().await {
            result = result.and(self.ended(ended));
        }
        result
    }
}

fn lost() -> anyhow::Error {
    anyhow::anyhow!("this instance could not say in time that it lives")
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
