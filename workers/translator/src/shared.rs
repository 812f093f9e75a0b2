//! What all connections of the process share.

use crate::{
    config::Config,
    domain::{MinerId, miner::Rules},
    figures::Figures,
};
use ingress::domain::numbers::{Number, Numbers};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;
use worker_runtime::Context;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ctx: Context<Config>,
    pub(crate) figures: Figures,
    /// What miners' connections go by; a reload changes it.
    pub(crate) rules: watch::Sender<Arc<Rules>>,
    numbers: Mutex<Numbers>,
    /// Tips that the pools have told of: numbers of miners rest until others came.
    tips: AtomicU64,
    miners: AtomicU64,
}

/// A number of one miner: its extranonce1.
#[derive(Debug)]
pub(crate) struct Extranonce1 {
    shared: Arc<Shared>,
    /// `None` only while it is given back.
    number: Option<Number>,
}

impl Shared {
    pub(crate) fn new(ctx: Context<Config>) -> Arc<Self> {
        let config = ctx.config.load_full();
        let figures = Figures::new(ctx.metrics());
        figures.configured(config.aggregate.is_some(), config.vardiff);
        Arc::new(Self {
            figures,
            rules: watch::Sender::new(Arc::new(config.rules())),
            numbers: Mutex::default(),
            tips: AtomicU64::new(0),
            miners: AtomicU64::new(0),
            ctx,
        })
    }

    /// The time that decides.
    pub(crate) fn now(&self) -> Duration {
        self.ctx.clock().monotonic()
    }

    /// A connection's number.
    pub(crate) fn next_miner(&self) -> MinerId {
        MinerId(self.miners.fetch_add(1, Ordering::Relaxed))
    }

    /// An extranonce1 that nobody has had on this tip or the one before; `None` when all are taken.
    pub(crate) fn extranonce1(self: &Arc<Self>) -> Option<Extranonce1> {
        let tips = self.tips.load(Ordering::Relaxed);
        let number = self.numbers.lock().unwrap_or_else(PoisonError::into_inner).take(tips)?;
        Some(Extranonce1 { shared: Arc::clone(self), number: Some(number) })
    }

    /// The pool has told of so many tips.
    pub(crate) fn tips(&self, count: u64) {
        self.tips.fetch_add(count, Ordering::Relaxed);
    }

    /// The configuration was read again.
    pub(crate) fn reloaded(&self) {
        let config = self.ctx.config.load();
        self.figures.configured(config.aggregate.is_some(), config.vardiff);
        self.rules.send_replace(Arc::new(config.rules()));
    }
}

impl Extranonce1 {
    pub(crate) fn value(&self) -> u32 {
        self.number.as_ref().map_or(0, Number::value)
    }
}

impl Drop for Extranonce1 {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            let tips = self.shared.tips.load(Ordering::Relaxed);
            self.shared.numbers.lock().unwrap_or_else(PoisonError::into_inner).free(number, tips);
        }
    }
}
