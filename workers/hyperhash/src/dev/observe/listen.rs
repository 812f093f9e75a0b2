//! Listens to the network's public facts, as any data user may.

use super::tally::{Heard, Tally};
use crate::dev::narrator::Narrator;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use streams::{BLOCKS, PAYOUTS, ROUNDS, SHARES, TEMPLATES};
use subjects::{Payload as _, payouts, rounds, templates};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_runtime::{Bus, BusConfig, Context, transform::Start};

/// The user of the public record; also the name of the program's connection.
pub const USER: &str = "data-reader";

/// Pause before listening anew when a stream could not be read.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the connection may take to close.
const GRACE: Duration = Duration::from_secs(1);

/// Keeps `tally` up to date until `stop`. When a stream cannot be read any more, e.g. because it
/// was made anew, counting begins again.
pub async fn listen(
    config: BusConfig,
    tally: Arc<Mutex<Tally>>,
    narrator: Arc<Narrator>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        let ended = tokio::select! {
            ended = listen_once(&config, &tally) => ended,
            () = stop.cancelled() => return,
        };
        if let Err(error) = ended {
            narrator.warn("status", &format!("counting begins again: {error:#}"));
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

async fn listen_once(config: &BusConfig, tally: &Arc<Mutex<Tally>>) -> anyhow::Result<()> {
    let context = Context::detached(USER, ());
    let bus = context.connect(config).await?;
    *tally.lock().unwrap_or_else(PoisonError::into_inner) = Tally::default();
    let all = |filter: &str| vec![filter.to_owned()];
    let closed = vec![rounds::SliceClosed::FILTER.into(), rounds::Closed::FILTER.into()];
    let readers = [
        (TEMPLATES, all(templates::Tip::FILTER), Start::LastPerSubject),
        (SHARES, Vec::new(), Start::First),
        (BLOCKS, Vec::new(), Start::First),
        (ROUNDS, closed, Start::First),
        (PAYOUTS, all(payouts::Statement::FILTER), Start::First),
    ];
    let mut tasks = JoinSet::new();
    for (stream, filters, start) in readers {
        tasks.spawn(read(bus.clone(), stream, filters, start, Arc::clone(tally)));
    }
    // None of them ends but with an error; then all begin again.
    let ended = tasks.join_next().await;
    tasks.shutdown().await;
    context.finish(GRACE).await?;
    ended.unwrap_or(Ok(Ok(())))?
}

async fn read(
    bus: Bus,
    stream: &'static str,
    filters: Vec<String>,
    start: Start,
    tally: Arc<Mutex<Tally>>,
) -> anyhow::Result<()> {
    let mut messages = bus.ordered(stream, filters, start);
    loop {
        let delivery = messages.next().await?;
        let heard = Heard { kind: &delivery.kind, body: &delivery.body, at: delivery.stored_at };
        tally.lock().unwrap_or_else(PoisonError::into_inner).hear(heard)?;
    }
}
