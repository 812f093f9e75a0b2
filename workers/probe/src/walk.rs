//! The steps as they are taken.

use crate::{
    judge::{self, Difficulty, Told},
    report::{Finding, Name, Report, Step},
};
use std::time::Duration;
use worker_runtime::clock::Clock;

/// A report that grows, and who hears of every step.
pub(crate) struct Walk<'a> {
    pub(crate) clock: &'a dyn Clock,
    pub(crate) report: Report,
    tell: &'a mut (dyn FnMut(&Step) + Send),
    since: Duration,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        url: String,
        clock: &'a dyn Clock,
        tell: &'a mut (dyn FnMut(&Step) + Send),
    ) -> Self {
        Self { clock, report: Report::new(url), tell, since: clock.monotonic() }
    }

    /// Our time, in seconds since 1970.
    pub(crate) fn now_secs(&self) -> u64 {
        self.clock.now().0 / 1_000
    }

    /// A step ended, which began when the one before it ended.
    pub(crate) fn step(&mut self, step: Name, finding: Finding) {
        let now = self.clock.monotonic();
        self.took(step, now.saturating_sub(self.since), finding);
        self.since = self.clock.monotonic();
    }

    /// A step that took so long.
    pub(crate) fn took(&mut self, step: Name, took: Duration, finding: Finding) {
        let step = Step { step, took, finding };
        (self.tell)(&step);
        self.report.verdict = self.report.verdict.max(step.finding.verdict);
        self.report.steps.push(step);
    }

    /// What a share must meet, on a chain with this compact target.
    pub(crate) fn difficulty(&mut self, share: Difficulty, nbits: u32, hashrate: Option<u64>) {
        self.report.difficulty = Some(share.decimal());
        self.report.hashes_per_share = Some(share.hashes().to_string());
        self.step(Name::Difficulty, judge::difficulty(share, nbits, hashrate));
    }

    /// A job that came just now starts at `theirs`, in seconds since 1970.
    pub(crate) fn clock(&mut self, told: Told, theirs: u32) {
        let (skew, finding) = judge::clock(told, theirs, self.now_secs());
        self.report.clock_skew_secs = Some(skew);
        self.step(Name::Clock, finding);
    }

    /// Round trips of `of`, of which so many were tried.
    pub(crate) fn latency(&mut self, times: &[Duration], asked: usize, of: &str) {
        let (latency, finding) = judge::latency(times, asked, of);
        self.report.latency = latency;
        self.step(Name::Latency, finding);
    }
}
