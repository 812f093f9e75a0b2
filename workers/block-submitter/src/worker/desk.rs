//! Where blocks are handed in: each one once, however many roads it comes on.

use super::archive::{Archive, RebuildError};
use crate::{
    Config,
    domain::{
        answer::{has_taken, is_early, label, meaning},
        claims::{ClaimRefusal, Judgement, Known},
        outcomes::Book,
    },
    port::Bitcoind,
};
use bitcoind_rpc::{Backoff, RpcError, SubmitAnswer};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use subjects::{
    BlockHash, ProviderId,
    blocks::{Claimed, Solved, Submitted},
};
use tokio::{
    sync::{OnceCell, Semaphore, watch},
    time::{sleep, timeout},
};
use worker_runtime::{Bus, Context, Publication, PublishError, metric::Name};

/// How long a claim may wait for a template or tip that Core has published and this process has
/// not heard of yet.
const PATIENCE: Duration = Duration::from_secs(5);

/// Claims that may wait so at once.
const MAX_WAITING: usize = 32;

/// How long a block's parent may take to reach this bitcoind before the answer counts.
const PARENT_PATIENCE: Duration = Duration::from_secs(120);

/// First and longest pause before a block is handed in again after bitcoind did not answer.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// All that the roads share.
pub(super) struct Desk<B> {
    pub(super) ctx: Context<Config>,
    pub(super) bus: Bus,
    pub(super) bitcoind: Arc<B>,
    pub(super) provider: ProviderId,
    pub(super) archive: Archive,
    /// Templates and tips; a change wakes the claims that wait for one.
    pub(super) known: watch::Sender<Known>,
    /// Whether everything that `BLOCKS` held at the start was heard.
    pub(super) caught_up: watch::Sender<bool>,
    book: Mutex<Book>,
    in_hand: Mutex<BTreeMap<BlockHash, Arc<OnceCell<Submitted>>>>,
    waiting: Semaphore,
}

/// A block could not be handed in.
#[derive(Debug, thiserror::Error)]
enum SubmitError {
    #[error("the block cannot be rebuilt")]
    Rebuild(#[from] RebuildError),
    #[error("bitcoind did not take a position")]
    Rpc(#[from] RpcError),
}

impl<B: Bitcoind> Desk<B> {
    pub(super) fn new(ctx: &Context<Config>, bus: &Bus, bitcoind: Arc<B>) -> Self {
        let config = ctx.config.load();
        Self {
            ctx: ctx.clone(),
            bus: bus.clone(),
            bitcoind,
            provider: config.provider.clone(),
            archive: Archive::new(bus),
            known: watch::Sender::new(Known::default()),
            caught_up: watch::Sender::new(false),
            book: Mutex::new(Book::new(config.payout_confirmations)),
            in_hand: Mutex::new(BTreeMap::new()),
            waiting: Semaphore::new(MAX_WAITING),
        }
    }

    /// The book of blocks. Never held across a wait.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges a claim, waiting a moment for what is on its way.
    pub(super) async fn judge(&self, claim: &Claimed) -> Result<Solved, ClaimRefusal> {
        let mut changes = self.known.subscribe();
        let first = match self.known.borrow().judge(claim) {
            Judgement::Good(solved) => return Ok(*solved),
            Judgement::Bad(refusal) => return Err(refusal),
            Judgement::TooEarly(missing) => missing,
        };
        let _place = self.waiting.try_acquire().map_err(|_| ClaimRefusal::Crowded)?;
        let later = async {
            loop {
                match self.known.borrow().judge(claim) {
                    Judgement::Good(solved) => return Ok(*solved),
                    Judgement::Bad(refusal) => return Err(refusal),
                    Judgement::TooEarly(_) => {}
                }
                if changes.changed().await.is_err() {
                    return Err(ClaimRefusal::Unknown(first));
                }
            }
        };
        timeout(PATIENCE, later).await.unwrap_or(Err(ClaimRefusal::Unknown(first)))
    }

    /// Says that a block is solved and, at the same time, hands it in. Returns bitcoind's answer;
    /// `None` when the process drains or the block has its outcome already.
    ///
    /// # Errors
    ///
    /// When somebody else says something else of the same block: a person must look.
    pub(super) async fn solve(
        &self,
        solved: &Solved,
        heard: Duration,
    ) -> Result<Option<Submitted>, PublishError> {
        let fact = Publication::once(solved);
        let handing_in = self.hand_in(solved, heard);
        let (said, answer) = tokio::join!(self.bus.publish(fact), handing_in);
        if !said?.duplicate {
            self.ctx.metrics().counter(Name::BlocksSolvedTotal).inc();
        }
        Ok(answer)
    }

    /// Hands a block in, unless that was done; asks again until bitcoind answers.
    pub(super) async fn hand_in(&self, solved: &Solved, heard: Duration) -> Option<Submitted> {
        let cell = Arc::clone(self.in_hand().entry(solved.hash).or_default());
        let submit = || async {
            let asking = self.ask(solved, heard);
            self.ctx.stop.run_until_cancelled(asking).await.flatten().ok_or(())
        };
        cell.get_or_try_init(submit).await.ok().cloned()
    }

    /// Records what bitcoind said.
    pub(super) async fn record(&self, submitted: &Submitted) -> Result<(), PublishError> {
        self.bus.publish(Publication::any(submitted)).await.map(|_| ())
    }

    /// Lets go of a block that has its outcome.
    pub(super) fn forget(&self, hash: BlockHash) {
        self.in_hand().remove(&hash);
    }

    async fn ask(&self, solved: &Solved, heard: Duration) -> Option<Submitted> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match self.ask_once(solved).await {
                Ok(words) if is_early(&words) && self.since(heard) < PARENT_PATIENCE => {
                    tracing::debug!(hash = %solved.hash, "bitcoind waits for the block's parent");
                }
                Ok(words) => return Some(self.answered(solved, words, heard)),
                Err(error) => {
                    let cause = format!("{:#}", anyhow::Error::from(error));
                    let (hash, provider) = (solved.hash, &solved.provider);
                    tracing::error!(%hash, %provider, cause, "a block of ours is not handed in yet");
                }
            }
            sleep(backoff.next_wait()).await;
            if self.book().is_decided(solved.hash) {
                return None;
            }
        }
    }

    async fn ask_once(&self, solved: &Solved) -> Result<SubmitAnswer, SubmitError> {
        // Looked up at each attempt: after a start, blocks may be heard of before templates.
        let work = self.known.borrow().template(solved.template).map(Arc::clone);
        let block = self.archive.rebuild(solved, work.as_deref()).await?;
        Ok(self.bitcoind.submit_block(&block).await?)
    }

    fn answered(&self, solved: &Solved, words: SubmitAnswer, heard: Duration) -> Submitted {
        let (answer, detail) = meaning(words);
        let took = self.since(heard);
        let latency_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        let (metrics, provider) = (self.ctx.metrics(), self.provider.as_str());
        let took_ms = took.as_secs_f64() * 1_000.0;
        metrics.histogram_with(Name::BlockSubmitMs, &[("provider", provider)]).observe(took_ms);
        let labels = [("provider", provider), ("answer", label(answer))];
        metrics.counter_with(Name::BlocksSubmittedTotal, &labels).inc();
        let (hash, height) = (solved.hash, solved.height);
        if has_taken(answer) {
            tracing::info!(
                %hash, height, answer = label(answer), detail, took_ms,
                "bitcoind answered to a block of ours"
            );
        } else {
            tracing::error!(
                %hash, height, answer = label(answer), detail, took_ms,
                "bitcoind refuses a block of ours: its subsidy is lost unless another one takes it; \
                 find out why"
            );
        }
        let (provider, at) = (self.provider.clone(), self.ctx.now());
        Submitted { hash, provider, answer, detail, at, latency_ms }
    }

    fn since(&self, earlier: Duration) -> Duration {
        self.ctx.clock().monotonic().saturating_sub(earlier)
    }

    fn in_hand(&self) -> MutexGuard<'_, BTreeMap<BlockHash, Arc<OnceCell<Submitted>>>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
