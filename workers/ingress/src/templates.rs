//! Hears the templates and tips of all providers.

use crate::{
    domain::selection::{NotFollowed, Selection, Work},
    figures::Figures,
};
use anyhow::Context as _;
use std::{sync::Arc, time::Duration};
use subjects::{
    DecodeError, Payload, ProviderId, TemplateId, Timestamp,
    templates::{New, Tip},
};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior},
};
use worker_runtime::{
    Bus, Delivery,
    bus::{BusError, Ordered, ReadError},
    causes,
    clock::Clock,
    transform::Start,
};

/// Messages before the providers' last tips with which reading begins: a tip's template was
/// published after the tip before, so hours of templates are more than enough.
const LOOK_BACK: u64 = 4_096;
/// How much time there is before the process's start, when it comes to how old a tip is.
const PAST: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How often silence is looked for.
const TICK: Duration = Duration::from_secs(1);
/// Pause before the stream is asked for again, on a server that does not have it yet.
const PAUSE: Duration = Duration::from_millis(500);

/// Hears and chooses.
pub(crate) struct Follower {
    reader: Ordered,
    selection: Selection,
    max_tip_age: Duration,
    figures: Figures,
    clock: Arc<dyn Clock>,
    ticks: Interval,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("selection", &self.selection).finish_non_exhaustive()
    }
}

impl Follower {
    /// Begins to read where the providers' last tips need it.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read at all.
    pub(crate) async fn begin(
        bus: &Bus,
        providers: &[ProviderId],
        selection: Selection,
        max_tip_age: Duration,
        figures: Figures,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let start = Start::Sequence(first_needed(bus, providers).await?);
        let filters = vec![New::FILTER.to_owned(), Tip::FILTER.to_owned()];
        let mut reader = bus.ordered(streams::TEMPLATES, filters, start);
        reader.opened().await?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { reader, selection, max_tip_age, figures, clock, ticks })
    }

    /// Reads until there is work on a tip that somebody confirmed lately.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read any more.
    pub(crate) async fn first(&mut self) -> Result<Arc<Work>, ReadError> {
        loop {
            if self.reader.caught_up()
                && !self.is_too_old()
                && let Some(work) = self.selection.work()
            {
                return Ok(Arc::clone(work));
            }
            self.step().await?;
        }
    }

    /// Goes on for ever: tells the work when it changes, and whether it is worth anything.
    ///
    /// # Errors
    ///
    /// When the stream cannot be read any more.
    pub(crate) async fn run(
        mut self,
        work: &watch::Sender<Arc<Work>>,
        fresh: impl Fn(bool) + Send + Sync,
    ) -> Result<(), ReadError> {
        loop {
            self.step().await?;
            fresh(!self.is_too_old());
            if let Some(now) = self.selection.work() {
                work.send_if_modified(|told| {
                    let other = !Arc::ptr_eq(told, now);
                    if other {
                        *told = Arc::clone(now);
                    }
                    other
                });
            }
        }
    }

    fn is_too_old(&self) -> bool {
        let silence = self.selection.unconfirmed_for(self.now());
        self.figures.tip_silence(silence.unwrap_or_default());
        silence.is_none_or(|silence| silence >= self.max_tip_age)
    }

    async fn step(&mut self) -> Result<(), ReadError> {
        let live = self.reader.caught_up();
        tokio::select! {
            delivery = self.reader.next() => {
                let delivery = delivery?;
                let heard_at = if live { self.now() } else { self.then(delivery.position.stored_at) };
                self.hear(&delivery, heard_at);
            }
            _ = self.ticks.tick() => {
                let now = self.now();
                self.selection.tick(now);
            }
        }
        Ok(())
    }

    /// Now, counted so that there is a past before the process's start.
    fn now(&self) -> Duration {
        PAST.saturating_add(self.clock.monotonic())
    }

    /// When a message was said that we hear late, while catching up: as long ago as the stream
    /// says. It compares two hosts' clocks, but only to tell old from new.
    fn then(&self, stored_at: Timestamp) -> Duration {
        let ago = self.clock.now().millis_since(stored_at);
        self.now().saturating_sub(Duration::from_millis(ago))
    }

    fn hear(&mut self, delivery: &Delivery, heard_at: Duration) {
        let heard = match delivery.kind.as_str() {
            New::TYPE => New::decode(&delivery.body).map(|new| {
                self.selection.template(heard_at, TemplateId::of_payload(&delivery.body), &new)
            }),
            Tip::TYPE => Tip::decode(&delivery.body).map(|tip| self.selection.tip(heard_at, &tip)),
            other => Err(DecodeError::field("type", format!("`{other}` is no template"))),
        };
        let sequence = delivery.position.sequence;
        match heard {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(sequence, cause = %causes(&error), "work that cannot be followed");
                self.figures.work_refused(reason(&error));
            }
            Err(error) => {
                tracing::error!(sequence, cause = %causes(&error), "a template that cannot be read");
                self.figures.work_refused("unreadable");
            }
        }
    }
}

const fn reason(error: &NotFollowed) -> &'static str {
    match error {
        NotFollowed::UnknownProvider(_) => "unknown-provider",
        NotFollowed::Template { .. } => "template",
        NotFollowed::Nbits { .. } => "nbits",
        NotFollowed::UnknownTemplate { .. } => "unknown-template",
        NotFollowed::Unfit { .. } => "unfit",
    }
}

/// The sequence from which the stream has to be read.
async fn first_needed(bus: &Bus, providers: &[ProviderId]) -> anyhow::Result<u64> {
    let info = patiently(|| bus.stream_info(streams::TEMPLATES)).await?;
    let mut first = u64::MAX;
    for provider in providers {
        let subject = format!("templates.tip.{provider}");
        let last = patiently(|| bus.last(streams::TEMPLATES, &subject)).await?;
        first = last.map_or(first, |last| first.min(last.position.sequence));
    }
    let looked_back = if first == u64::MAX { 1 } else { first.saturating_sub(LOOK_BACK) };
    Ok(looked_back.max(info.first_sequence).max(1))
}

/// Asks until somebody answers.
async fn patiently<T, F>(ask: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, BusError>>,
{
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_transient() || matches!(error, BusError::NoSuchStream(_)) => {
                tracing::warn!(%error, "cannot read the templates yet");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error).context("the templates cannot be read"),
        }
    }
}
