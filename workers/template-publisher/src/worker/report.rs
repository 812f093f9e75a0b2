//! Health, figures and alarms of one session.

use super::CHECK;
use crate::{
    config::Config,
    domain::{
        reorg::Reorg,
        selection::{Verdict, View},
        template::TemplateRefusal,
    },
};
use std::time::Duration;
use subjects::{ProviderId, Timestamp, templates::Health};
use tokio::sync::watch;
use worker_runtime::{Context, metric::Name};

/// Tells people and programs how the providers are.
pub(super) struct Report<'a> {
    ctx: &'a Context<Config>,
    known: Vec<Known>,
    healths: watch::Sender<Vec<Health>>,
}

/// What was told of one provider already.
struct Known {
    provider: ProviderId,
    problem: Option<&'static str>,
    reorg: Option<Reorg>,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        ctx: &'a Context<Config>,
        providers: Vec<ProviderId>,
        healths: watch::Sender<Vec<Health>>,
    ) -> Self {
        let known = |provider| Known { provider, problem: None, reorg: None };
        Self { ctx, known: providers.into_iter().map(known).collect(), healths }
    }

    /// A template of bitcoind must not be mined on.
    pub(super) fn refused(&self, refusal: &TemplateRefusal) {
        let labels = [("reason", refusal.reason())];
        self.ctx.metrics().counter_with(Name::TemplatesRefusedTotal, &labels).inc();
        tracing::error!(%refusal, "a template of bitcoind is not published");
    }

    /// The transactions of a template could not be stored.
    pub(super) fn not_stored(&self, error: &anyhow::Error) {
        let labels = [("reason", "not-stored")];
        self.ctx.metrics().counter_with(Name::TemplatesRefusedTotal, &labels).inc();
        tracing::error!(
            cause = format!("{error:#}"),
            "a template is not published, because its transactions cannot be stored: check the \
             object store TEMPLATE_TXS"
        );
    }

    /// Templates come from another provider than before.
    pub(super) fn switched(&self, followed: Option<usize>) {
        if let Some(Known { provider, .. }) = followed.and_then(|index| self.known.get(index)) {
            self.ctx.ready(CHECK, true, provider.as_str());
            tracing::info!(%provider, "templates come from this provider");
        } else {
            self.ctx.ready(CHECK, false, "no bitcoind can be used");
            tracing::error!(
                "no bitcoind can be used: miners keep the last tip's work; see the other messages"
            );
        }
    }

    /// All providers were looked at.
    pub(super) fn look(&mut self, views: &[View], verdicts: &[Verdict]) {
        let at = self.ctx.now();
        let mut healths = Vec::with_capacity(views.len());
        for ((known, view), verdict) in self.known.iter_mut().zip(views).zip(verdicts) {
            known.hear_problem(verdict);
            known.hear_reorg(self.ctx, view.reorg);
            let health = health(&known.provider, at, view, verdict);
            let labels = [("provider", known.provider.as_str())];
            let metrics = self.ctx.metrics();
            metrics.gauge_with(Name::BitcoindUp, &labels).set(i64::from(health.usable));
            metrics.gauge_with(Name::TipLagBlocks, &labels).set(health.tip_lag_blocks.into());
            let mempool = i64::try_from(health.mempool_transactions).unwrap_or(i64::MAX);
            metrics.gauge_with(Name::MempoolTransactions, &labels).set(mempool);
            healths.push(health);
        }
        self.healths.send_replace(healths);
    }
}

impl Known {
    /// Logs a change, not every look: the words of a problem count its seconds.
    fn hear_problem(&mut self, verdict: &Verdict) {
        let reason = verdict.problem.as_ref().map(|problem| problem.reason());
        if reason == self.problem {
            return;
        }
        self.problem = reason;
        let provider = &self.provider;
        match &verdict.problem {
            Some(problem) => tracing::warn!(%provider, %problem, "bitcoind cannot be used"),
            None => tracing::info!(%provider, "bitcoind can be used"),
        }
    }

    fn hear_reorg(&mut self, ctx: &Context<Config>, reorg: Option<Reorg>) {
        let Some(reorg) = reorg.filter(|reorg| self.reorg != Some(*reorg)) else { return };
        self.reorg = Some(reorg);
        let labels = [("depth", reorg.depth_label())];
        ctx.metrics().counter_with(Name::ChainReorgsTotal, &labels).inc();
        let (provider, Reorg { old_tip, new_tip, depth }) = (&self.provider, reorg);
        if reorg.is_alarming() {
            tracing::error!(
                %provider, depth, %old_tip, %new_tip,
                "the chain was reorganised: find out why, and watch the outcome of our blocks"
            );
        } else {
            tracing::warn!(%provider, depth, %old_tip, %new_tip, "one block left the chain");
        }
    }
}

fn health(provider: &ProviderId, at: Timestamp, view: &View, verdict: &Verdict) -> Health {
    let state = view.state.as_ref();
    let made = view.template.as_ref();
    Health {
        provider: provider.clone(),
        at,
        usable: verdict.problem.is_none(),
        problem: verdict.problem.as_ref().map(ToString::to_string),
        tip_height: state.map_or(0, |state| state.blocks),
        tip_lag_blocks: verdict.lag_blocks,
        template_latency_ms: whole_millis(view.template_took),
        mempool_transactions: state.map_or(0, |state| state.mempool_transactions),
        template_transactions: made
            .map_or(0, |made| u32::try_from(made.transactions.len()).unwrap_or(u32::MAX)),
        rpc_errors_total: view.rpc_errors_total,
    }
}

fn whole_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
