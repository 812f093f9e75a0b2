//! The figures of an ingress.

use crate::domain::admission::TurnedAway;
use std::time::Duration;
use subjects::shares::Reason;
use worker_runtime::metric::{Counter, Gauge, Histogram, Metrics, Name};

/// Handles of what is counted often, and the registry for what is counted rarely.
#[derive(Clone)]
pub struct Figures {
    metrics: Metrics,
    /// Connections of miners.
    pub sessions_open: Gauge,
    sessions_total: Counter,
    channels_open: Gauge,
    rtt_ms: Histogram,
    shares_valid: Gauge,
    shares_unacknowledged: Gauge,
    share_ack_ms: Histogram,
    lane_batches_total: Counter,
    lane_batch_shares: Gauge,
    blocks_claimed_total: Counter,
    tip_silence_secs: Gauge,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Figures")
    }
}

impl Figures {
    /// Takes the handles.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            metrics: metrics.clone(),
            sessions_open: metrics.gauge(Name::SessionsOpen),
            sessions_total: metrics.counter(Name::SessionsTotal),
            channels_open: metrics.gauge(Name::ChannelsOpen),
            rtt_ms: metrics.histogram(Name::RttMs),
            shares_valid: metrics.gauge(Name::SharesValid),
            shares_unacknowledged: metrics.gauge(Name::SharesUnacknowledged),
            share_ack_ms: metrics.histogram(Name::ShareAckMs),
            lane_batches_total: metrics.counter(Name::LaneBatchesTotal),
            lane_batch_shares: metrics.gauge(Name::LaneBatchShares),
            blocks_claimed_total: metrics.counter(Name::BlocksClaimedTotal),
            tip_silence_secs: metrics.gauge(Name::TipSilenceSecs),
        }
    }

    /// A connection was taken.
    pub fn session_began(&self) {
        self.sessions_total.inc();
        self.sessions_open.inc();
    }

    /// A connection ended before its miner had said what it speaks.
    pub fn session_silent(&self, code: &'static str) {
        self.session_began();
        self.session_ended(code);
    }

    /// A connection ended, for a reason of this code.
    pub fn session_ended(&self, code: &'static str) {
        self.sessions_open.dec();
        self.metrics.counter_with(Name::SessionsClosedTotal, &[("reason", code)]).inc();
    }

    /// What a peer sent could not be understood, for a reason of this code.
    pub fn frame_invalid(&self, code: &'static str) {
        self.metrics.counter_with(Name::FramesInvalidTotal, &[("reason", code)]).inc();
    }

    /// A connection was turned away.
    pub fn turned_away(&self, reason: TurnedAway) {
        self.refused(reason.code());
    }

    /// A miner was refused, by SV2's code.
    pub fn refused(&self, code: &str) {
        self.metrics.counter_with(Name::SessionsRefusedTotal, &[("reason", code)]).inc();
    }

    /// A connection's channels are so many now instead of so many.
    pub fn channels(&self, before: usize, now: usize) {
        self.channels_open.inc_by(signed(now));
        self.channels_open.dec_by(signed(before));
    }

    /// The first answer of a client took so long.
    pub fn rtt(&self, millis: u32) {
        self.rtt_ms.observe(f64::from(millis));
    }

    /// A share was turned away.
    pub fn rejected(&self, reason: Reason) {
        self.metrics.gauge_with(Name::SharesRejected, &[("reason", reason.code())]).inc();
    }

    /// Good shares that wait for the bus.
    pub fn unacknowledged(&self, shares: usize) {
        self.shares_unacknowledged.set(signed(shares));
    }

    /// The bus has stored a batch.
    pub fn batch_stored(&self, shares: usize) {
        self.lane_batches_total.inc();
        self.lane_batch_shares.set(signed(shares));
        self.shares_valid.inc_by(signed(shares));
    }

    /// A share was acknowledged so long after it was read.
    pub fn acknowledged(&self, after: Duration) {
        self.share_ack_ms.observe(after.as_secs_f64() * 1_000.0);
    }

    /// A block was claimed.
    pub fn block_claimed(&self) {
        self.blocks_claimed_total.inc();
    }

    /// A full queue turned something away.
    pub fn dropped(&self, what: &'static str) {
        self.metrics.counter_with(Name::IngressDroppedTotal, &[("what", what)]).inc();
    }

    /// A template or a tip could not be followed.
    pub fn work_refused(&self, reason: &'static str) {
        self.metrics.counter_with(Name::WorkRefusedTotal, &[("reason", reason)]).inc();
    }

    /// Nobody has confirmed the tip for so long.
    pub fn tip_silence(&self, silence: Duration) {
        self.tip_silence_secs.set(i64::try_from(silence.as_secs()).unwrap_or(i64::MAX));
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
