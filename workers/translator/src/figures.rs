//! The figures of a translator.

use crate::domain::verdict::Rejection;
use std::time::Duration;
use worker_runtime::metric::{Counter, Gauge, Histogram, Metrics, Name};

/// Handles of what is counted often, and the registry for what is counted rarely.
#[derive(Clone)]
pub(crate) struct Figures {
    metrics: Metrics,
    sessions: Gauge,
    sessions_total: Counter,
    channels_open: Gauge,
    upstream_up: Gauge,
    rtt_ms: Histogram,
    share_ack_ms: Histogram,
    shares_valid: Gauge,
    shares_local: Counter,
    agg_channel_on: Gauge,
    vardiff_on: Gauge,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures")
    }
}

impl Figures {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            sessions: metrics.gauge(Name::TranslatorSessions),
            sessions_total: metrics.counter(Name::SessionsTotal),
            channels_open: metrics.gauge(Name::ChannelsOpen),
            upstream_up: metrics.gauge(Name::UpstreamUp),
            rtt_ms: metrics.histogram(Name::RttMs),
            share_ack_ms: metrics.histogram(Name::ShareAckMs),
            shares_valid: metrics.gauge(Name::SharesValid),
            shares_local: metrics.counter(Name::TranslatorSharesLocalTotal),
            agg_channel_on: metrics.gauge(Name::AggChannelOn),
            vardiff_on: metrics.gauge(Name::VardiffOn),
        }
    }

    /// What the configuration says.
    pub(crate) fn configured(&self, aggregated: bool, vardiff: bool) {
        self.agg_channel_on.set(aggregated.into());
        self.vardiff_on.set(vardiff.into());
    }

    pub(crate) fn session_began(&self) {
        self.sessions_total.inc();
        self.sessions.inc();
    }

    /// A connection ended, for a reason of this code.
    pub(crate) fn session_ended(&self, code: &'static str) {
        self.sessions.dec();
        self.metrics.counter_with(Name::SessionsClosedTotal, &[("reason", code)]).inc();
    }

    /// A connection ended for what its miner sent.
    pub(crate) fn line_invalid(&self, code: &'static str) {
        self.metrics.counter_with(Name::FramesInvalidTotal, &[("reason", code)]).inc();
    }

    /// A connection or a user name was turned away.
    pub(crate) fn refused(&self, code: &'static str) {
        self.metrics.counter_with(Name::SessionsRefusedTotal, &[("reason", code)]).inc();
    }

    /// The pool has stored shares.
    pub(crate) fn stored(&self, shares: usize) {
        self.shares_valid.inc_by(signed(shares));
    }

    /// Shares were good enough for their miner alone.
    pub(crate) fn local(&self, shares: usize) {
        self.shares_local.inc_by(u64::try_from(shares).unwrap_or(u64::MAX));
    }

    /// A share does not count.
    pub(crate) fn rejected(&self, rejection: Rejection) {
        self.metrics.gauge_with(Name::SharesRejected, &[("reason", rejection.code())]).inc();
    }

    /// The pool answered what it answers at once.
    pub(crate) fn round_trip(&self, took: Duration) {
        self.rtt_ms.observe(took.as_secs_f64() * 1_000.0);
    }

    /// The pool stored a share.
    pub(crate) fn acknowledged(&self, after: Duration) {
        self.share_ack_ms.observe(after.as_secs_f64() * 1_000.0);
    }

    /// A connection's channels are so many now instead of so many.
    pub(crate) fn channels(&self, before: usize, now: usize) {
        self.channels_open.inc_by(signed(now));
        self.channels_open.dec_by(signed(before));
    }

    pub(crate) fn upstream_came(&self) {
        self.upstream_up.inc();
        self.connection("up");
    }

    pub(crate) fn upstream_went(&self) {
        self.upstream_up.dec();
        self.connection("lost");
    }

    pub(crate) fn upstream_failed(&self) {
        self.connection("failed");
    }

    fn connection(&self, result: &'static str) {
        self.metrics.counter_with(Name::UpstreamConnectionsTotal, &[("result", result)]).inc();
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
