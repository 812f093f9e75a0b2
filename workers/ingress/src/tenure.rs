//! A worker around a lane, and what happens while it is held: one boot epoch, from listening to the last acknowledgement.

use crate::{
    blocks,
    config::{Deadlines, Keyed, Keys},
    domain::{
        closing::Leaving,
        lane::Lane,
        numbers::Numbers,
        parking::Parking,
        rejections::Rejections,
        selection::{Selection, Work},
    },
    facts,
    figures::Figures,
    lease,
    publisher::{self, LaneError, Queue},
    server::{Gate, Protocol, Server},
    shared::{Shared, Standing, Thinning, handshakes_at_once},
    templates::Follower,
};
use anyhow::Context as _;
use arc_swap::ArcSwap;
use std::{
    future::Future,
    sync::{Arc, Mutex, Weak, atomic::AtomicU32},
    time::Duration,
};
use subjects::{BootEpoch, Lane as LaneNumber, NodeId, blocks::Claimed, sessions::Changed};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use worker_runtime::{Bus, Context, PublishError, lease::Lease};

/// How often readiness is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long connections have to end after the lease was lost. Its holder notices at two thirds of
/// the lease; nothing may be acknowledged after the last third, because the lane is another's then.
const LOST_DRAIN: Duration = Duration::from_millis(1_500);

/// Serves miners on one leased lane after the other until the process ends: on the first that is
/// free, and on another when that is lost.
///
/// # Errors
///
/// When the bus, a lane or the listener will never work.
pub async fn run<C: Keyed, P: Protocol>(ctx: &Context<C>, protocol: P) -> anyhow::Result<()> {
    let config = ctx.config.load_full();
    let Keys { bus, node, lanes, .. } = config.keys();
    let bus = routed(ctx.connect(bus).await?, node);
    let protocol = Arc::new(protocol);
    ctx.ready("lane", false, "no lane is leased yet");
    ctx.ready("listen", false, "miners cannot connect yet");
    while !ctx.handed_over().is_cancelled() {
        let taken = tokio::select! {
            taken = lease::take(&bus, lanes, ctx.instance(), &ctx.stop) => taken?,
            () = ctx.handed_over().cancelled() => None,
        };
        let Some((lane, lease)) = taken else { break };
        ctx.ready("lane", true, "leased");
        Tenure { ctx, bus: &bus, protocol: &protocol, lane }.run(&lease).await?;
        ctx.ready("lane", false, "the lane was given up");
        lease.release().await;
    }
    Ok(())
}

/// Says which stream must take what this node's ingress publishes.
fn routed(bus: Bus, node: &NodeId) -> Bus {
    if *node == NodeId::core() {
        return bus.routes(streams::routes());
    }
    bus.routes(streams::leaf_routes(node))
}

/// A held lane.
struct Tenure<'a, C, P> {
    ctx: &'a Context<C>,
    bus: &'a Bus,
    protocol: &'a Arc<P>,
    lane: LaneNumber,
}

/// Tokens of the tasks of a tenure, each cancelled when its tasks have nothing left to do.
struct Ends {
    /// No further connection or job.
    stop: CancellationToken,
    /// No further share: store what waits.
    done: CancellationToken,
    /// The lane is another's: store nothing.
    abandon: CancellationToken,
    /// The lane's shares are stored or abandoned.
    published: CancellationToken,
}

/// The receiving ends of what connections tell.
struct Told {
    claims: mpsc::Receiver<Claimed>,
    facts: mpsc::Receiver<Changed>,
}

impl<C: Keyed, P: Protocol> Tenure<'_, C, P> {
    /// Serves miners until the process drains or the lease is lost, and hands over cleanly.
    async fn run(&self, lease: &Lease) -> anyhow::Result<()> {
        let ends = Ends {
            stop: self.ctx.stop.child_token(),
            done: CancellationToken::new(),
            abandon: CancellationToken::new(),
            published: CancellationToken::new(),
        };
        let served = async {
            let Some(epoch) = lease::advance_epoch(self.bus, self.lane, &ends.stop).await? else {
                return Ok(());
            };
            tracing::info!(lane = %self.lane, %epoch, "the lane is ours");
            self.serve(epoch, &ends, lease).await
        };
        let lost = async {
            lease.lost().cancelled().await;
            ends.stop.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = served => served,
            () = lost => Ok(()),
        }
    }

    async fn serve(&self, epoch: BootEpoch, ends: &Ends, lease: &Lease) -> anyhow::Result<()> {
        let config = self.ctx.config.load_full();
        let keys = config.keys();
        let figures = Figures::new(self.ctx.metrics());
        let Some((follower, work)) = self.first_work(&keys, &figures, &ends.stop).await? else {
            return Ok(());
        };
        let (work, told_work) = watch::channel(work);
        let (standing, told_standing) = watch::channel(Standing::Serving);
        let standing = Arc::new(standing);
        let gates = self.listen().await?;
        let (shared, told) = self.share(&keys, epoch, told_work, told_standing, figures);
        self.spawn_follower(follower, work, Arc::clone(&standing), ends.stop.clone());
        self.spawn_tasks(&shared, told, ends);
        let capacity = keys.capacity();
        let mut server = Server::new(gates, Arc::clone(self.protocol), capacity, shared);
        self.ctx.ready("listen", true, "miners may connect");
        tokio::select! {
            () = server.accept(&ends.stop) => {}
            () = self.ctx.handed_over().cancelled() => {
                let over = Duration::from_secs(keys.deadlines.handover_secs);
                let since = self.ctx.clock().monotonic();
                tracing::info!(lane = %self.lane, ?over, "miners go to the successor");
                standing.send_if_modified(|standing| thin_out(standing, Thinning { since, over }));
                server.thin_out(over, &ends.stop).await;
                ends.stop.cancel();
            }
        }
        self.ctx.ready("listen", false, "miners cannot connect any more");
        standing.send_replace(Standing::Leaving(Leaving::Draining));
        server.drain(patience(keys.deadlines, lease)).await;
        let end = if lease.lost().is_cancelled() { &ends.abandon } else { &ends.done };
        end.cancel();
        ends.published.cancelled().await;
        Ok(())
    }

    /// Waits for something to work on.
    async fn first_work(
        &self,
        keys: &Keys<'_>,
        figures: &Figures,
        stop: &CancellationToken,
    ) -> anyhow::Result<Option<(Follower, Arc<Work>)>> {
        self.ctx.ready("work", false, "no template on a tip that somebody confirmed was heard of");
        let Deadlines { provider_silence_secs, max_tip_age_secs, .. } = *keys.deadlines;
        let silence = Duration::from_secs(provider_silence_secs);
        let first = async {
            let mut follower = Follower::begin(
                self.bus,
                keys.providers,
                Selection::new(keys.providers, silence),
                Duration::from_secs(max_tip_age_secs),
                figures.clone(),
                Arc::clone(self.ctx.clock()),
            )
            .await?;
            let work = follower.first().await.context("there are no templates")?;
            anyhow::Ok(Some((follower, work)))
        };
        tokio::select! {
            first = first => first,
            () = stop.cancelled() => Ok(None),
        }
    }

    /// Opens the ports, and tells where miners connect.
    async fn listen(&self) -> anyhow::Result<Vec<Gate<P::Port>>> {
        let mut gates = Vec::new();
        for (port, address) in self.protocol.ports() {
            let gate = Gate::open(port, address, P::SPEAKS).await.with_context(|| {
                format!(
                    "cannot listen on {address}: stop what does, or change `listen` (port 0 takes \
                     a free one)"
                )
            })?;
            let address = gate.address().context("the listener has no address")?;
            for (key, url) in self.protocol.urls(port, address) {
                tracing::info!(lane = %self.lane, url, "miners may connect");
                self.ctx.announce(key, &url);
            }
            gates.push(gate);
        }
        Ok(gates)
    }

    fn share(
        &self,
        keys: &Keys<'_>,
        epoch: BootEpoch,
        work: watch::Receiver<Arc<Work>>,
        standing: watch::Receiver<Standing>,
        figures: Figures,
    ) -> (Arc<Shared>, Told) {
        let (claims, told_claims) = mpsc::channel(blocks::MAX_WAITING);
        let (facts, told_facts) = mpsc::channel(facts::MAX_WAITING);
        let (node, lane) = (keys.node.clone(), self.lane);
        let capacity = keys.limits.max_unacknowledged;
        let queue = Queue::new(Lane::new(node.clone(), lane, epoch, capacity), capacity);
        let shared = Shared {
            rules: ArcSwap::from_pointee(keys.rules(lane, epoch)),
            work,
            standing,
            queue: Arc::new(queue),
            numbers: Mutex::new(Numbers::default()),
            parking: Mutex::new(Parking::new(keys.limits.max_connections)),
            rejections: Arc::new(Mutex::new(Rejections::new(node, lane, epoch))),
            claims,
            facts,
            figures,
            handshakes: Semaphore::new(handshakes_at_once()),
            connections: AtomicU32::new(0),
            clock: Arc::clone(self.ctx.clock()),
            handshake_deadline: Duration::from_secs(keys.deadlines.handshake_secs),
            unread_deadline: Duration::from_secs(keys.deadlines.unread_secs),
            message_rate: keys.limits.message_rate(),
            max_unsent_bytes: keys.limits.max_unsent_bytes,
        };
        (Arc::new(shared), Told { claims: told_claims, facts: told_facts })
    }

    fn spawn_follower(
        &self,
        follower: Follower,
        work: watch::Sender<Arc<Work>>,
        standing: Arc<watch::Sender<Standing>>,
        stop: CancellationToken,
    ) {
        let ctx = self.ctx.clone();
        ctx.clone().spawn("templates", async move {
            let fresh = |fresh: bool| {
                ctx.ready("work", fresh, "no provider has said for long what the tip is");
                standing.send_if_modified(|standing| follow(standing, fresh));
            };
            tokio::select! {
                ended = follower.run(&work, fresh) => ended.context("there are no templates any more"),
                () = stop.cancelled() => Ok(()),
            }
        });
    }

    fn spawn_tasks(&self, shared: &Arc<Shared>, told: Told, ends: &Ends) {
        let (ctx, bus) = (self.ctx, self.bus);
        ctx.spawn("lane", publish(Arc::clone(&shared.queue), bus.clone(), &shared.figures, ends));
        let claims = blocks::run(told.claims, bus.clone());
        ctx.spawn("claims", async move {
            claims.await;
            Ok(())
        });
        let sessions = facts::run_sessions(told.facts, bus.clone(), ends.published.clone());
        let figures = shared.figures.clone();
        ctx.spawn("sessions", async move {
            match sessions.await {
                Ok(0) => Ok(()),
                Ok(left) => {
                    tracing::warn!(left, "session facts were not told before the end");
                    (0..left).for_each(|_| figures.dropped("session"));
                    Ok(())
                }
                Err(error) => unless_stopped(Err(error)),
            }
        });
        let (rejections, clock) = (Arc::clone(&shared.rejections), Arc::clone(&shared.clock));
        let counts = facts::run_rejections(rejections, clock, bus.clone(), ends.published.clone());
        ctx.spawn("rejections", async move { unless_stopped(counts.await) });
        ctx.spawn("readiness", watch_readiness(ctx.clone(), Arc::downgrade(shared), self.lane));
    }
}

/// Follows the age of the tip, unless the ingress drains; whether anything changed.
fn follow(standing: &mut Standing, fresh: bool) -> bool {
    let next = match *standing {
        Standing::Leaving(Leaving::Draining) => return false,
        Standing::Thinning(_) if fresh => return false,
        Standing::Serving | Standing::Thinning(_) | Standing::Leaving(Leaving::NoTip) if fresh => {
            Standing::Serving
        }
        Standing::Serving | Standing::Thinning(_) | Standing::Leaving(Leaving::NoTip) => {
            Standing::Leaving(Leaving::NoTip)
        }
    };
    let changed = *standing != next;
    *standing = next;
    changed
}

/// Miners go in their turns, unless they all go already; whether anything changed.
fn thin_out(standing: &mut Standing, thinning: Thinning) -> bool {
    let serves = *standing == Standing::Serving;
    if serves {
        *standing = Standing::Thinning(thinning);
    }
    serves
}

fn patience(deadlines: &Deadlines, lease: &Lease) -> Duration {
    let drain = Duration::from_secs(deadlines.drain_secs);
    if lease.lost().is_cancelled() { drain.min(LOST_DRAIN) } else { drain }
}

/// Stores the lane's shares to the end of the tenure.
fn publish(
    queue: Arc<Queue>,
    bus: Bus,
    figures: &Figures,
    ends: &Ends,
) -> impl Future<Output = anyhow::Result<()>> + Send + use<> {
    let (figures, done) = (figures.clone(), ends.done.clone());
    let (abandon, published) = (ends.abandon.clone(), ends.published.clone());
    async move {
        let _published = published.drop_guard();
        let ended = tokio::select! {
            ended = publisher::run(&queue, &bus, &figures, &done) => ended,
            () = abandon.cancelled() => Ok(()),
        };
        match ended {
            // Whoever sent those shares was not told that they count.
            Err(LaneError::Publish(PublishError::Stopped { .. })) => {
                tracing::warn!(shares = queue.len(), "shares were not stored before the end");
                Ok(())
            }
            ended => ended.context("the lane's way to the bus is broken"),
        }
    }
}

fn unless_stopped(ended: Result<(), PublishError>) -> anyhow::Result<()> {
    match ended {
        Err(PublishError::Stopped { .. }) => Ok(()),
        ended => Ok(ended?),
    }
}

/// Tells whether miners can be taken, and takes a changed configuration over, as long as anybody
/// is connected or may be.
async fn watch_readiness<C: Keyed>(
    ctx: Context<C>,
    shared: Weak<Shared>,
    lane: LaneNumber,
) -> anyhow::Result<()> {
    let mut reloads = ctx.reloads();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = reloads.changed() => {}
            () = ctx.stop.cancelled() => return Ok(()),
        }
        let Some(shared) = shared.upgrade() else { return Ok(()) };
        let free = !shared.queue.is_backed_up();
        shared.sweep_parking();
        ctx.ready("shares", free, "too many shares wait for the bus");
        if reloads.has_changed().is_ok() {
            let epoch = shared.rules.load().boot_epoch;
            shared.rules.store(Arc::new(ctx.config.load().keys().rules(lane, epoch)));
        }
    }
}
