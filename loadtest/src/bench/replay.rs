//! The round tracker after its state was lost: all shares once more, from the stream.

use super::{
    Bench, Lab, Setting, feed,
    figure::{Figure, Goal},
    meter::{float, memory, processor_time},
    page,
    premined::{self, Ground, Miners},
    verify,
};
use anyhow::{Context as _, ensure};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use round_tracker::{
    domain::{Place, Tracker},
    entry::Entry,
};
use std::{sync::Arc, time::Duration};
use subjects::{BootEpoch, Payload as _, shares::Accepted};
use tokio::time::sleep;
use worker_runtime::{
    Publication,
    clock::{Clock as _, SystemClock},
};

/// Shares per second that a replay counts.
pub(super) const BENCH: Bench = Bench {
    name: "replay",
    what: "Shares per second that the round tracker counts again, from memory and from the stream.",
    measure: |setting| measure(setting).boxed(),
};

/// Miners: all shares of a message have jobs of their own.
const MINERS: u32 = 1_000;
/// Different messages; the stream holds them again and again under new numbers.
const DIFFERENT: usize = 256;
/// Messages that wait for their acknowledgement at once, while the stream is filled.
const IN_FLIGHT: usize = 64;
/// Pause between two looks at the tracker.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// How long a replay may take.
const PATIENCE: Duration = Duration::from_secs(300);

async fn measure(setting: &Setting) -> anyhow::Result<Vec<Figure>> {
    let messages = messages().await?;
    let count = u64::from(setting.times(4_000, 39_063));
    let (mut from_memory, mut replays) = (Vec::new(), Vec::new());
    for _ in 0..setting.times(1, 5) {
        from_memory.push(count_in_memory(&messages, count)?);
    }
    let lab = Lab::of_servers(setting).await?;
    fill(&lab, &messages, count).await?;
    for _ in 0..setting.times(1, 5) {
        replays.push(replay(&lab, count).await?);
    }
    lab.end().await?;
    let of = |value: fn(&Replay) -> f64| replays.iter().map(value).collect::<Vec<_>>();
    let many = format!("{} shares", super::figure::Rounded(feed::shares_of(count)));
    Ok(vec![
        Figure::median("replay: from memory", "shares/s", Goal::AtLeast(1_000_000.0), &from_memory)
            .with("one core"),
        Figure::median(
            "replay: from the stream",
            "shares/s",
            Goal::AtLeast(1_000_000.0),
            &of(|replay| replay.shares_per_second),
        )
        .with(many),
        Figure::median(
            "replay: processor time of round-tracker",
            "us/share",
            Goal::None,
            &of(|replay| replay.micros_per_share),
        ),
        Figure::median(
            "replay: most memory of round-tracker",
            "MiB",
            Goal::AtMost(256.0),
            &of(|replay| replay.peak_mib),
        ),
    ])
}

/// Accepted messages of full batches, as a verifier says them.
pub(super) async fn messages() -> anyhow::Result<Vec<Accepted>> {
    let ground = Arc::new(Ground::new(SystemClock::new().now())?);
    let miners = Arc::new(Miners::new(MINERS)?);
    let lanes = premined::lanes(4);
    let per_lane = DIFFERENT.div_ceil(lanes.len());
    let batches = premined::batches(&ground, &miners, &lanes, BootEpoch(1), per_lane).await?;
    let mut verifier = verify::verifier(&ground)?;
    let mut messages = Vec::with_capacity(DIFFERENT);
    for batch in batches.iter().flatten() {
        let outcome = verify::accepted(&mut verifier, batch, 1)?;
        let said = outcome.publish.first().context("nothing was said")?;
        messages.push(Accepted::decode(&said.message.body)?);
    }
    Ok(messages)
}

/// Shares per second of processor time that the tracker's decision alone counts.
fn count_in_memory(messages: &[Accepted], count: u64) -> anyhow::Result<f64> {
    let bodies: Vec<_> = messages.iter().map(Accepted::encode).collect();
    let mut tracker = Tracker::new();
    let began = verify::own_time()?;
    for (sequence, body) in (1..=count).zip(bodies.iter().cycle()) {
        let said = tracker.count(&Entry::read(body), Place { incarnation: 1, sequence })?;
        ensure!(said.is_empty(), "a slice was closed");
    }
    Ok(feed::shares_of(count) / (verify::own_time()? - began))
}

/// Writes the record that is replayed.
async fn fill(lab: &Lab, messages: &[Accepted], count: u64) -> anyhow::Result<()> {
    let hub = lab.network.bus_of("share-verifier").await?;
    let bus = hub.bus.clone().route(Accepted::FILTER, streams::SHARES);
    let numbered = (0..count).zip(messages.iter().cloned().cycle());
    let publications =
        numbered.map(|(batch, message)| Publication::any(&Accepted { batch, ..message }));
    stream::iter(publications)
        .map(|publication| bus.publish(publication))
        .buffer_unordered(IN_FLIGHT)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    hub.finish().await
}

struct Replay {
    shares_per_second: f64,
    micros_per_share: f64,
    peak_mib: f64,
}

/// Starts a tracker that knows nothing, and lets it count the whole record.
async fn replay(lab: &Lab, count: u64) -> anyhow::Result<Replay> {
    let clock = lab.network.clock();
    let url = lab.network.status().await?.text("/endpoints/metrics/round-tracker")?;
    let tracker = lab.start("round-tracker", &[])?;
    let pid = tracker.pid()?;
    let deadline = clock.monotonic() + PATIENCE;
    let mut began = None;
    let (first, spent) = loop {
        sleep(BETWEEN_LOOKS).await; // polls
        let handled = handled(&url).await;
        let now = clock.monotonic();
        ensure!(now < deadline, "only {handled} of {count} messages are counted");
        if handled > 0 && began.is_none() {
            began = Some((now, handled, processor_time(pid)?));
        }
        if handled >= count {
            let (at, first, spent) = began.context("it was over before it was seen to begin")?;
            break ((now - at, first), processor_time(pid)? - spent);
        }
    };
    let (took, before) = first;
    let shares = feed::shares_of(count - before);
    let peak = memory(pid)?.peak;
    tracker.end().await?;
    Ok(Replay {
        shares_per_second: shares / took.as_secs_f64(),
        micros_per_share: spent.as_secs_f64() * 1e6 / shares,
        peak_mib: float(peak >> 10) / 1_024.0,
    })
}

/// Messages that the tracker has counted; none while it does not answer.
pub(super) async fn handled(url: &str) -> u64 {
    let page = page::read(url).await.unwrap_or_default();
    page::count(&page, "stream_handled_total{stream=\"SHARES\",result=\"handled\"}")
}
