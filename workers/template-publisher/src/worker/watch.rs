//! Watches one bitcoind.
//!
//! A new tip is heard over ZMQ and read with one round trip; only then the template is asked for.
//! While ZMQ can be heard no long poll is open: at a new tip bitcoind would build its template
//! first, holding its main lock for as long as that takes, before it said what the tip is.

use crate::{
    domain::{
        reorg::{MAX_DEPTH, Reorg},
        selection::{Standing, View},
    },
    port::{Bitcoind, Notice, Notices},
};
use bitcoind_rpc::{
    Backoff, BlockTemplate, NodeState, RpcError,
    node::{Expectation, NodeRefusal},
};
use std::{error::Error, future::Future, pin::Pin, sync::Arc, time::Duration};
use subjects::{BlockHash, ProviderId};
use tokio::{sync::watch as channel, time::sleep};
use worker_runtime::{
    clock::Clock,
    metric::{Metrics, Name},
};

/// First and longest pause after a failed call.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// How often a bitcoind is asked for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Where it stands, if it is not heard.
    pub(super) poll: Duration,
    /// A template on the same tip.
    pub(super) ask: Duration,
    /// Which chain it follows.
    pub(super) identity: Duration,
}

/// Watches one bitcoind and keeps its view up to date.
pub(super) struct Watch<B> {
    pub(super) index: usize,
    pub(super) provider: ProviderId,
    pub(super) node: Arc<B>,
    pub(super) expectation: Expectation,
    pub(super) pace: Pace,
    pub(super) views: Arc<channel::Sender<Vec<View>>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    tip: Option<BlockHash>,
    template: Option<Arc<BlockTemplate>>,
    template_asked_at: Duration,
    /// When and how the chain was judged; none since the last failed call.
    identity: Option<(Duration, Result<(), NodeRefusal>)>,
}

type LongPoll = Pin<Box<dyn Future<Output = Result<BlockTemplate, RpcError>> + Send>>;

impl<B: Bitcoind> Watch<B> {
    /// Watches until it is dropped; ends only if it cannot listen.
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut notices = self.node.notices()?;
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        let mut seen = Seen::default();
        let mut heard = false;
        let mut long_poll: Option<LongPoll> = None;
        let mut notified_at = self.clock.monotonic();
        loop {
            let pause = match self.look(&mut seen, notified_at).await {
                Ok(()) => {
                    backoff.reset();
                    self.pace.poll
                }
                Err(error) => {
                    self.note_failure(&error);
                    seen.identity = None;
                    long_poll = None;
                    backoff.next_wait()
                }
            };
            if heard {
                long_poll = None;
            } else if long_poll.is_none() && seen.identity.is_some() {
                long_poll = self.open_long_poll(&seen);
            }
            let wake = wait(&mut notices, &mut long_poll, pause).await;
            notified_at = self.clock.monotonic();
            match wake {
                Wake::Notice(Notice::Connected) => heard = true,
                Wake::Notice(Notice::Disconnected) => heard = false,
                Wake::Notice(Notice::Block) | Wake::Time => {}
                Wake::Polled(Ok(made)) => {
                    long_poll = None;
                    self.show_template(&mut seen, made, notified_at);
                }
                Wake::Polled(Err(error)) => {
                    long_poll = None;
                    self.note_failure(&error);
                    sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    async fn look(&self, seen: &mut Seen, notified_at: Duration) -> Result<(), RpcError> {
        let state = self.node.state().await?;
        let best = state.best;
        let judged = self.judge(seen, &state).await?;
        let is_new = seen.tip != Some(best);
        let before = if is_new { seen.tip.replace(best) } else { None };
        let refused = judged.is_err();
        self.show(|view| {
            view.standing = judged.map_or_else(Standing::Refused, |()| Standing::Good);
            view.state = Some(state);
            if is_new {
                view.notified_at = notified_at;
            }
        });
        if !refused {
            self.renew_template(seen, best).await?;
            if let Some(old) = before {
                self.look_for_reorg(old, best).await?;
            }
        }
        self.show(|view| view.answered_at = self.clock.monotonic());
        Ok(())
    }

    async fn judge(
        &self,
        seen: &mut Seen,
        state: &NodeState,
    ) -> Result<Result<(), NodeRefusal>, RpcError> {
        if let Err(refusal) = self.expectation.check_state(state) {
            return Ok(Err(refusal));
        }
        let now = self.clock.monotonic();
        if let Some((at, judged)) = &seen.identity
            && now.saturating_sub(*at) < self.pace.identity
            && judged.is_ok()
        {
            return Ok(judged.clone());
        }
        let checkpoint = self.expectation.checkpoint.map(|checkpoint| checkpoint.height);
        let identity = self.node.identity(checkpoint).await?;
        let judged = self.expectation.check_identity(&identity);
        seen.identity = Some((now, judged.clone()));
        Ok(judged)
    }

    async fn renew_template(&self, seen: &mut Seen, best: BlockHash) -> Result<(), RpcError> {
        let asked_at = self.clock.monotonic();
        let current = seen.template.as_ref().is_some_and(|made| made.prevhash == best);
        if current && asked_at.saturating_sub(seen.template_asked_at) < self.pace.ask {
            return Ok(());
        }
        let made = self.node.template().await?;
        self.show_template(seen, made, asked_at);
        Ok(())
    }

    fn show_template(&self, seen: &mut Seen, made: BlockTemplate, asked_at: Duration) {
        let made = Arc::new(made);
        seen.template = Some(Arc::clone(&made));
        seen.template_asked_at = asked_at;
        let took = self.clock.monotonic().saturating_sub(asked_at);
        self.show(|view| {
            view.template = Some(made);
            view.template_asked_at = asked_at;
            view.template_took = took;
        });
    }

    /// Counts the blocks between the old tip and the chain. After the tip was shown, because
    /// nobody waits for it.
    async fn look_for_reorg(&self, old_tip: BlockHash, new_tip: BlockHash) -> Result<(), RpcError> {
        let depth = reorg_depth(self.node.as_ref(), old_tip).await?;
        if depth > 0 {
            self.show(|view| view.reorg = Some(Reorg { old_tip, new_tip, depth }));
        }
        Ok(())
    }

    fn open_long_poll(&self, seen: &Seen) -> Option<LongPoll> {
        let id = seen.template.as_ref()?.longpoll_id.clone();
        let node = Arc::clone(&self.node);
        Some(Box::pin(async move { node.template_after(&id).await }))
    }

    fn note_failure(&self, error: &RpcError) {
        let labels = [("provider", self.provider.as_str()), ("reason", error.reason())];
        self.metrics.counter_with(Name::BitcoindErrorsTotal, &labels).inc();
        let words = in_full(error);
        self.show(|view| {
            view.rpc_errors_total = view.rpc_errors_total.saturating_add(1);
            view.standing = Standing::Failed(words);
        });
    }

    fn show(&self, change: impl FnOnce(&mut View)) {
        self.views.send_modify(|views| {
            if let Some(view) = views.get_mut(self.index) {
                change(view);
            }
        });
    }
}

enum Wake {
    Notice(Notice),
    Polled(Result<BlockTemplate, RpcError>),
    Time,
}

async fn wait<N: Notices>(
    notices: &mut N,
    long_poll: &mut Option<LongPoll>,
    pause: Duration,
) -> Wake {
    let polled = async {
        match long_poll {
            Some(long_poll) => long_poll.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        notice = notices.next() => Wake::Notice(notice),
        made = polled => Wake::Polled(made),
        () = sleep(pause) => Wake::Time,
    }
}

/// Blocks of the old tip's branch that are off the best chain, up to [`MAX_DEPTH`].
pub(super) async fn reorg_depth<B: Bitcoind>(
    node: &B,
    old_tip: BlockHash,
) -> Result<u32, RpcError> {
    let (mut depth, mut hash) = (0, old_tip);
    while depth < MAX_DEPTH {
        match node.header(hash).await? {
            Some(header) if header.confirmations < 0 => {
                depth += 1;
                let Some(parent) = header.parent else { break };
                hash = parent;
            }
            Some(_) | None => break,
        }
    }
    Ok(depth)
}

/// An error with all that caused it, on one line.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
