//! `hyperhash dev miner`: one of the dev network's own miners.

use super::say;
use anyhow::Context as _;
use loadtest::miner::{self, Event, Figures, MinerConfig};
use std::{num::NonZeroU32, path::PathBuf, time::Duration};
use stratum_v2::{Endpoint, client::Device};
use subjects::shares::JobKind;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// Events that may wait to be told.
const EVENTS: usize = 1_024;
/// How often the figures are told.
const REPORT: Duration = Duration::from_secs(60);

/// Mine at a limited rate on one thread, until told to stop
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The pool: stratum2+tcp://host:port/<authority key>
    #[arg(long)]
    pool: Endpoint,
    /// Who mines: <address>[.<worker>]
    #[arg(long)]
    user: String,
    /// Most hashes per second
    #[arg(long)]
    hashrate: u64,
    /// File that every acknowledged share is appended to, for the audit
    #[arg(long)]
    acknowledged: PathBuf,
}

impl Args {
    /// Mines.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let config = MinerConfig {
            endpoint: self.pool,
            user_identity: self.user,
            kind: JobKind::Extended,
            hashes_per_second: self.hashrate,
            threads: NonZeroU32::MIN,
            acknowledged: Some(self.acknowledged),
            device: Device::default(),
        };
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = CancellationToken::new();
        let (events, mut heard) = mpsc::channel(EVENTS);
        let mut miner = JoinSet::new();
        miner.spawn(miner::run(config, stop.clone(), events));
        let mut figures = Figures::default();
        let mut report = tokio::time::interval(REPORT);
        loop {
            tokio::select! {
                event = heard.recv() => match event {
                    Some(event) => tell(&mut figures, &event)?,
                    None => break,
                },
                _ = report.tick() => say(&serde_json::to_string(&figures)?)?,
                _ = terminate.recv() => stop.cancel(),
            }
        }
        say(&serde_json::to_string(&figures)?)?;
        let ended = miner.join_next().await.context("the miner never began")?;
        ended.context("the miner died")?
    }
}

fn tell(figures: &mut Figures, event: &Event) -> anyhow::Result<()> {
    figures.note(event);
    match event {
        Event::Opened { .. } => say("a channel is open")?,
        Event::Violation(what) => say(&format!("the pool breaks the protocol: {what}"))?,
        Event::Refused { sequence, code } => say(&format!("share {sequence} refused: {code}"))?,
        Event::Disconnected { why, pause } => {
            say(&format!("the pool is gone ({why}); connecting again in {pause:?}"))?;
        }
        Event::Draining { .. }
        | Event::Job { .. }
        | Event::TargetSet(_)
        | Event::Submitted { .. }
        | Event::Acknowledged { .. }
        | Event::Hashed { .. } => {}
    }
    Ok(())
}
