//! A CPU miner: real hashes at a limited rate, over Stratum V2, that remembers every
//! acknowledgement it was given.

mod acknowledgements;

pub(crate) mod backoff;

mod channel;

mod event;

mod hasher;

mod pace;

mod record;

mod search;

mod session;

mod work;

pub use event::{Event, Figures};
pub use record::Record;

use anyhow::Context as _;
use backoff::Backoff;
use hasher::Hashers;
use session::Session;
use std::{num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};
use stratum_v2::{Endpoint, client::Device};
use subjects::shares::JobKind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker_runtime::clock::{Clock, SystemClock};

/// What a miner is to do.
#[derive(Clone, Debug)]
pub struct MinerConfig {
    /// The pool.
    pub endpoint: Endpoint,
    /// `<address>[.<worker>]`.
    pub user_identity: String,
    /// Extended or standard channel.
    pub kind: JobKind,
    /// Most hashes per second, of all threads together; also what the pool is told.
    pub hashes_per_second: u64,
    /// Threads that hash.
    pub threads: NonZeroU32,
    /// File that every acknowledged share is appended to, one [`crate::ShareKey`] a line.
    pub acknowledged: Option<PathBuf>,
    /// What the miner says it is.
    pub device: Device,
}

/// How long a stopping miner waits for the acknowledgements that are still due.
const DRAIN: Duration = Duration::from_secs(5);

/// Mines until `stop`: connects, opens a channel, hashes, submits, and after every break connects
/// again with jittered back-off. When stopped it waits a moment for what is still due.
///
/// `events` says what happens; a receiver that is slow slows the miner, one that is gone is
/// ignored.
///
/// # Errors
///
/// When the file of acknowledged shares cannot be written, or a hashing thread dies.
pub async fn run(
    config: MinerConfig,
    stop: CancellationToken,
    events: mpsc::Sender<Event>,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut record = match &config.acknowledged {
        Some(path) => Some(Record::append_to(path).await.with_context(|| {
            format!("cannot open the file of acknowledged shares {}", path.display())
        })?),
        None => None,
    };
    let mut hashers = Hashers::start(&config, Arc::clone(&clock));
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let mut session = Session::new(&config, &clock, &mut hashers, record.as_mut(), &events);
        let ended = session.run(&stop).await?;
        if stop.is_cancelled() {
            break;
        }
        if ended.was_useful {
            backoff = Backoff::default();
        }
        let pause = backoff.next(rand::random());
        let why = format!("{:#}", anyhow::Error::from(ended.error));
        tracing::warn!(pause_ms = pause.as_millis(), why, "the pool is gone; connecting again");
        event::say(&events, Event::Disconnected { why, pause }).await;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
    hashers.stop().await
}
