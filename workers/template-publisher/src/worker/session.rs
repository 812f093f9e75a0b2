//! One session of publishing.

use super::{Source, report::Report};
use crate::{
    config::Config,
    domain::{
        announcer::{Candidate, Said},
        publisher::{Next, Publisher},
        selection::View,
    },
};
use bitcoind_rpc::transactions::{Object, Packer};
use std::{sync::Arc, time::Duration};
use subjects::{ProviderId, Timestamp, templates::Health};
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};
use worker_runtime::{Bus, Context, bus::Objects, metric::Name};

/// How often the views are looked at when none changes: patience runs out in silence.
const TICK: Duration = Duration::from_millis(500);

/// A candidate after the attempt to store its transactions.
type Attempt = (Box<Candidate>, anyhow::Result<()>);

/// Looks at the views and says what follows.
pub(super) struct Session<'a> {
    ctx: &'a Context<Config>,
    bus: &'a Bus,
    objects: Objects,
    publisher: Publisher,
    packers: Vec<(ProviderId, Arc<Mutex<Packer>>)>,
    /// At most one candidate is being stored; a newer one takes its place.
    storing: JoinSet<Attempt>,
    /// When the template of that candidate was asked for.
    asked_at: Duration,
    report: Report<'a>,
}

impl<'a> Session<'a> {
    pub(super) fn new<B>(
        ctx: &'a Context<Config>,
        bus: &'a Bus,
        publisher: Publisher,
        nodes: &[Source<B>],
        healths: watch::Sender<Vec<Health>>,
    ) -> Self {
        let providers: Vec<ProviderId> = nodes.iter().map(|(id, _)| id.clone()).collect();
        let packer = |id: &ProviderId| (id.clone(), Arc::new(Mutex::new(Packer::new(id.clone()))));
        Self {
            ctx,
            bus,
            objects: bus.objects(streams::TEMPLATE_TXS),
            publisher,
            packers: providers.iter().map(packer).collect(),
            storing: JoinSet::new(),
            asked_at: Duration::ZERO,
            report: Report::new(ctx, providers, healths),
        }
    }

    /// Works until it is dropped, or cannot go on.
    pub(super) async fn run(mut self, views: &watch::Sender<Vec<View>>) -> anyhow::Result<()> {
        let mut changes = views.subscribe();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                changed = changes.changed() => changed?,
                Some(attempt) = self.storing.join_next() => self.finish(attempt?).await?,
                _ = ticks.tick() => {}
            }
            self.ctx.writable().await;
            let latest = changes.borrow_and_update().clone();
            self.look(&latest).await?;
        }
    }

    async fn look(&mut self, views: &[View]) -> anyhow::Result<()> {
        let Next { say, store, refused, switched } = self.publisher.look(self.now(), views);
        let followed = self.publisher.active().and_then(|index| views.get(index));
        // A tip that is said because another provider is followed tells nothing about speed.
        let notified_at = followed.filter(|_| switched.is_none()).map(|view| view.notified_at);
        self.say(say, notified_at).await?;
        if let (Some(candidate), Some(view)) = (store, followed) {
            self.asked_at = view.template_asked_at;
            self.store(candidate).await?;
        }
        if let Some(refusal) = refused {
            self.report.refused(&refusal);
        }
        if let Some(followed) = switched {
            self.report.switched(followed);
        }
        self.report.look(views, self.publisher.verdicts());
        Ok(())
    }

    fn now(&self) -> Duration {
        self.ctx.clock().monotonic()
    }

    /// Publishes one after another, because their order is what readers rely on.
    async fn say(&self, said: Vec<Said>, notified_at: Option<Duration>) -> anyhow::Result<()> {
        for one in said {
            self.bus.publish(one.publication()).await?;
            self.said(&one, notified_at);
        }
        Ok(())
    }

    fn said(&self, one: &Said, notified_at: Option<Duration>) {
        match one {
            Said::Empty(new) => {
                self.published(if new.prevhash.is_none() { "prepared" } else { "empty" });
            }
            Said::Full(new) => {
                self.published("full");
                let took_ms = self.millis_since(self.asked_at);
                let labels = [("kind", "full")];
                self.ctx
                    .metrics()
                    .histogram_with(Name::TemplateLatencyMs, &labels)
                    .observe(took_ms);
                tracing::debug!(height = new.height, fees = %new.fees, took_ms, "template");
            }
            Said::Tip(tip) => {
                let took_ms = notified_at.map(|at| self.millis_since(at));
                if let Some(took_ms) = took_ms {
                    self.ctx.metrics().histogram(Name::TipLatencyMs).observe(took_ms);
                }
                let (provider, height) = (&tip.provider, tip.height);
                tracing::info!(%provider, height, prevhash = %tip.prevhash, took_ms, "tip");
            }
        }
    }

    fn published(&self, kind: &str) {
        let labels = [("kind", kind)];
        self.ctx.metrics().counter_with(Name::TemplatesPublishedTotal, &labels).inc();
    }

    fn millis_since(&self, earlier: Duration) -> f64 {
        self.now().saturating_sub(earlier).as_secs_f64() * 1_000.0
    }

    /// Stores a candidate's transactions in the background: meanwhile a tip may come.
    async fn store(&mut self, candidate: Box<Candidate>) -> anyhow::Result<()> {
        if candidate.made.transactions.is_empty() {
            return self.finish((candidate, Ok(()))).await;
        }
        let provider = &candidate.new.provider;
        let Some((_, packer)) = self.packers.iter().find(|(id, _)| id == provider) else {
            return Ok(());
        };
        let (objects, packer, now) = (self.objects.clone(), Arc::clone(packer), self.ctx.now());
        // Dropping the set ends what is still being stored for an older template.
        self.storing = JoinSet::new();
        self.storing.spawn(async move {
            let stored = store(&objects, &packer, now, &candidate).await;
            (candidate, stored)
        });
        Ok(())
    }

    async fn finish(&mut self, (candidate, stored): Attempt) -> anyhow::Result<()> {
        match stored {
            Ok(()) => {
                let said = self.publisher.stored(self.now(), *candidate);
                self.say(said, None).await
            }
            Err(error) => {
                // The next template of bitcoind is the next attempt.
                self.report.not_stored(&error);
                Ok(())
            }
        }
    }
}

async fn store(
    objects: &Objects,
    packer: &Mutex<Packer>,
    now: Timestamp,
    candidate: &Candidate,
) -> anyhow::Result<()> {
    let mut packer = packer.lock().await;
    let packed = packer.pack(now, candidate.id, &candidate.made.transactions)?;
    for Object { name, bytes } in &packed.objects {
        objects.put(name, bytes).await?;
    }
    packer.stored(now, packed);
    Ok(())
}
