//! An attack on an ingress beside honest miners, who must hardly feel it.

use super::{
    Field,
    honest::{Honest, Waits},
    outpost::{Outpost, Terms},
};
use crate::fleet::raise_file_limit;
use anyhow::{Context as _, ensure};
use futures_util::future::BoxFuture;
use rustix::process::setpriority_process;
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use stratum_v2::Endpoint;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

/// What the p99 may always be, as it is the goal of the figure: on a machine whose processors do
/// everything else too, twice a few milliseconds is noise.
const UNNOTICED: Duration = Duration::from_millis(30);
/// How much longer than undisturbed honest miners may wait.
const MOST_TIMES: u32 = 2;
/// Parts before the attack, beside it and after it.
const BEFORE: u32 = 3;
const DURING: u32 = 5;
const AFTER: u32 = 2;
/// What an attack may take of the ingress's memory, in MiB: its connections' buffers.
const MOST_MEMORY: u64 = 128;
/// Files that an attack may open.
const FILES: u64 = 8_192;
/// The least urgent of all: attackers have machines of their own.
const LEAST_URGENT: i32 = 19;

/// Bounds and deadlines that an attack of seconds reaches.
const TERMS: Terms = Terms {
    lanes: [21, 22],
    limits: &[("max_connections", 3_000), ("max_connections_per_address", 300)],
    deadlines: &[
        ("handshake_secs", 2),
        ("setup_secs", 2),
        ("channel_secs", 4),
        ("idle_secs", 30),
        ("unread_secs", 4),
    ],
    newer_deadlines: &[
        ("reject_resend_secs", 1),
        ("reject_reconnect_secs", 2),
        ("reject_drop_secs", 3),
    ],
};

/// Where an attack goes.
#[derive(Clone, Debug)]
pub(super) struct Aim {
    pub(super) address: SocketAddr,
    pub(super) endpoint: Endpoint,
    /// Where its chances come from.
    pub(super) seed: u64,
    /// What it does and what becomes of it.
    pub(super) counts: Arc<Counts>,
    /// When it is over.
    pub(super) stop: CancellationToken,
}

/// What an attack did.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Connections that were made.
    pub(super) connected: AtomicU64,
    /// Connections that were not taken.
    pub(super) refused: AtomicU64,
    /// Connections that the ingress ended.
    pub(super) closed: AtomicU64,
    /// Messages, or pieces of some, that were sent.
    pub(super) sent: AtomicU64,
}

impl Counts {
    pub(super) fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }

    /// How often the ingress ended a connection.
    pub(super) fn closed(&self) -> u64 {
        self.closed.load(Ordering::Relaxed)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [connected, refused, closed, sent] =
            [&self.connected, &self.refused, &self.closed, &self.sent]
                .map(|count| count.load(Ordering::Relaxed));
        write!(
            f,
            "{connected} connections, {refused} not taken, {closed} ended by the ingress, {sent} \
             messages"
        )
    }
}

/// What is done to the ingress until it is over.
pub(super) type Attack = fn(Aim) -> BoxFuture<'static, anyhow::Result<()>>;

/// What must be true afterwards of an ingress that knows the newer deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Nothing more.
    Nothing,
    /// It has ended connections.
    Closed,
    /// It has ended connections, if it knows how: see [`Terms::newer_deadlines`].
    ClosedWhenKnown,
}

/// Honest miners work undisturbed, then beside the attack, then undisturbed again. Of each the
/// median of several parts counts: timings on a shared machine are noise.
pub(super) async fn beside(
    field: &mut Field<'_>,
    name: &str,
    attack: Attack,
    expected: Expected,
) -> anyhow::Result<()> {
    raise_file_limit(FILES)?;
    let outpost = Outpost::open(field, TERMS).await?;
    let mut honest = Honest::begin(field, &outpost, name).await?;
    let part = field.secs(1, 20);
    honest.waits(1, part).await?;
    let mut undisturbed = honest.waits(BEFORE, part).await?;
    let (memory, used) = (outpost.memory()?.resident, outpost.processor_time()?);
    let aim = Aim {
        address: outpost.address,
        endpoint: outpost.endpoint.clone(),
        seed: field.seed(),
        counts: Arc::default(),
        stop: CancellationToken::new(),
    };
    // Whatever fails here, the attack ends.
    let _over = aim.stop.clone().drop_guard();
    let attackers = Attackers::march(attack, aim.clone())?;
    let during = honest.waits(DURING, part).await.context("an honest miner was lost beside it");
    let used = outpost.processor_time()?.saturating_sub(used);
    aim.stop.cancel();
    attackers.end().await?;
    let during = Waits::median(&during?);
    undisturbed.extend(honest.waits(AFTER, part).await?);
    let undisturbed = Waits::median(&undisturbed);
    let grown = outpost.memory()?.peak.saturating_sub(memory) >> 20;
    let [good, bad] = honest.shares();
    let said = format!(
        "undisturbed {undisturbed}; beside it {during}; {}; the ingress used {used:?} of {:?} and \
         grew by {grown} MiB at most; {good} shares of honest miners acknowledged, {bad} refused",
        aim.counts,
        part * DURING
    );
    honest.end().await?;
    let closes = match expected {
        Expected::Nothing => false,
        Expected::Closed => true,
        Expected::ClosedWhenKnown => outpost.knows_newer,
    };
    judge(undisturbed, during).with_context(|| said.clone())?;
    ensure!(grown <= MOST_MEMORY, "the ingress grew by {grown} MiB: {said}");
    ensure!(!closes || aim.counts.closed() > 0, "the ingress ended no connection: {said}");
    let ended = outpost.end().await;
    ended.with_context(|| format!("the ingress does not end well after it: {said}"))?;
    field.note(said);
    Ok(())
}

/// Whether honest miners hardly feel it.
fn judge(undisturbed: Waits, during: Waits) -> anyhow::Result<()> {
    for ((name, calm), wait) in ["V1", "V2"].iter().zip(undisturbed.p99).zip(during.p99) {
        let most = calm.saturating_mul(MOST_TIMES).max(UNNOTICED);
        ensure!(
            wait <= most,
            "honest miners of {name} wait {wait:?} (p99) instead of {calm:?}: more than {most:?}"
        );
    }
    Ok(())
}

/// Who attacks, on a thread that is less urgent than all that it shares the machine with.
struct Attackers(JoinHandle<anyhow::Result<()>>);

impl Attackers {
    fn march(attack: Attack, aim: Aim) -> anyhow::Result<Self> {
        let run = move || {
            // Of this thread alone, on Linux.
            setpriority_process(None, LEAST_URGENT).context("cannot be less urgent")?;
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let stop = aim.stop.clone();
                tokio::select! {
                    ended = attack(aim) => ended,
                    () = stop.cancelled() => Ok(()),
                }
            })
        };
        let thread = thread::Builder::new().name("attack".to_owned()).spawn(run)?;
        Ok(Self(thread))
    }

    async fn end(self) -> anyhow::Result<()> {
        let ended = tokio::task::spawn_blocking(move || self.0.join()).await?;
        ended.map_err(|_| anyhow::anyhow!("the attack died"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_wait_is_felt_once_anybody_can_feel_it() {
        let waits = |millis| {
            let wait = Duration::from_millis(millis);
            Waits { p50: [wait; 2], p99: [wait; 2] }
        };
        assert!(judge(waits(3), waits(30)).is_ok());
        assert!(judge(waits(20), waits(40)).is_ok());
        let felt = judge(waits(20), waits(41)).unwrap_err().to_string();
        assert!(felt.contains("41ms (p99) instead of 20ms"), "{felt}");
        let one = Waits { p99: [Duration::from_millis(9), Duration::from_millis(80)], ..waits(9) };
        assert!(judge(waits(9), one).is_err());
    }
}
