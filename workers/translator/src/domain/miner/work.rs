//! Jobs and difficulties.

use super::{EXTRANONCE1_BYTES, Miner, Outbox, Request, SHARES_PER_MINUTE};
use crate::domain::job::{Clean, Job};
use ingress::domain::vardiff::Limits;
use mining::{Hashrate, Target, target};
use std::{sync::Arc, time::Duration};
use stratum_v1::{Firmware, Notify};
use subjects::Exponent;

/// Jobs whose shares still count, while the tip stays.
const MAX_JOBS: usize = 8;

/// A job as the miner was told it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: u32,
    pub(super) job: Arc<Job>,
    /// What the miner was asked for.
    pub(super) target: Target,
    /// Bits of the version that it may roll.
    pub(super) mask: u32,
}

/// What is known of the miner's difficulty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tuning {
    /// What it is taken to do when it says nothing.
    default: Hashrate,
    /// The difficulty that it wished last.
    wished: Option<Exponent>,
    /// The difficulty that suits it.
    start: Option<Exponent>,
    /// The least that it works with.
    pub(super) least: Option<Exponent>,
    /// What the pool was told.
    said: Option<Exponent>,
    /// Its own difficulty on a shared channel.
    own: Option<Exponent>,
    /// The target that it was told last.
    told: Option<Target>,
}

/// The hashrate whose shares of this exponent come as often as they should.
fn hashrate_of(exponent: Exponent) -> Hashrate {
    let hashes = exponent.work().to_u128();
    Hashrate::new(hashes.saturating_mul(SHARES_PER_MINUTE.get().into()).div_ceil(60))
}

impl Tuning {
    pub(super) const fn new(default: Hashrate) -> Self {
        Self { default, wished: None, start: None, least: None, said: None, own: None, told: None }
    }

    /// Takes what a password asks for.
    pub(super) fn wish(&mut self, password: &str) {
        let asked = stratum_v1::options(password);
        let start = asked.fixed.or(asked.start).map(stratum_v1::Difficulty::nearest);
        if let Some(start) = start {
            self.suggest(start);
        }
        self.least = asked.least.map(stratum_v1::Difficulty::at_least).or(self.least);
    }

    /// Takes a wish. `NerdMiner` repeats its own as a sign of life, when the target has long been
    /// adjusted to its shares.
    pub(super) fn suggest(&mut self, exponent: Exponent) {
        if self.wished != Some(exponent) {
            self.wished = Some(exponent);
            self.start = Some(exponent);
        }
    }

    /// What the pool is told that the miner does.
    pub(super) fn hashrate(&self) -> Hashrate {
        self.start.map_or(self.default, hashrate_of)
    }

    /// The easiest target that the miner works with.
    pub(super) fn easiest(&self, firmware: Firmware) -> Target {
        match self.least.map_or(firmware.easiest(), |least| least.max(firmware.easiest())) {
            Exponent::MIN => Target::from_le_bytes([0xff; 32]),
            exponent => Target::of(exponent),
        }
    }

    /// The pool was told what the miner wishes.
    pub(super) const fn stated(&mut self) {
        self.said = self.start;
    }

    /// The hashrate, if the pool was told another one.
    pub(super) fn news(&mut self) -> Option<Hashrate> {
        if self.said == self.start {
            return None;
        }
        self.said = self.start;
        self.start.map(hashrate_of)
    }
}

/// The exponent whose target is nearest to another pool's target, on the easy side.
fn exponent_of(target: Target) -> Exponent {
    target::hardest_on(target)
}

impl Miner {
    /// Tells the job that is due, if any.
    pub fn tell(&mut self, now: Duration, out: &mut Outbox) {
        if let Some(job) = self.due.take() {
            let clean = job.clean;
            self.notify(job, clean, now, out);
        }
    }

    /// The same work again, with the time of now: miners take silence for a dead pool.
    pub(super) fn renew(&mut self, now: Duration, out: &mut Outbox) {
        if let Some(told) = self.jobs.back() {
            self.notify(Arc::clone(&told.job), Clean::Keep, now, out);
        }
    }

    fn notify(&mut self, job: Arc<Job>, clean: Clean, now: Duration, out: &mut Outbox) {
        // Reopened channels have nothing in common with what was mined before.
        let clean = if self.jobs.is_empty() { Clean::Drop } else { clean };
        let mask = self.asked_mask & job.mask();
        if mask != self.told_mask {
            self.told_mask = mask;
            out.lines.version_mask(mask);
        }
        let target = self.target_on(&job, now);
        if self.tuning.told != Some(target) {
            self.tuning.told = Some(target);
            out.lines.difficulty_of(target);
        }
        if clean == Clean::Drop {
            self.jobs.clear();
        } else if self.jobs.len() >= MAX_JOBS {
            self.jobs.pop_front();
        }
        let id = self.next_job;
        self.next_job = self.next_job.wrapping_add(1);
        let mut coinbase_prefix = job.coinbase_prefix.clone();
        coinbase_prefix.resize(coinbase_prefix.len() + self.padding(&job), 0);
        out.lines.notify(&Notify {
            job_id: id,
            prevhash: &job.prevhash,
            coinbase_prefix: &coinbase_prefix,
            coinbase_suffix: &job.coinbase_suffix,
            merkle_path: &job.merkle_path,
            version: job.told_version(),
            nbits: job.nbits,
            ntime: job.least_ntime(now),
            clean,
        });
        self.jobs.push_back(Told { id, job, target, mask });
        self.told_at = now;
        if self.check_at.is_none() {
            self.look_again(now);
        }
    }

    /// Bytes of the extranonce before extranonce1 that nobody rolls.
    pub(super) fn padding(&self, job: &Job) -> usize {
        let rolled = EXTRANONCE1_BYTES + usize::from(self.rules.extranonce2_bytes);
        job.rolled.saturating_sub(rolled)
    }

    /// What the miner is asked for on a job: the pool's target, or on a shared channel an easier one
    /// of its own.
    fn target_on(&mut self, job: &Job, now: Duration) -> Target {
        if !(self.rules.aggregated && self.rules.vardiff) {
            return job.target;
        }
        let limits = self.limits(job.target);
        let own = self.tuning.own.unwrap_or_else(|| {
            let start = self.tuning.hashrate().exponent(SHARES_PER_MINUTE);
            limits.clamp(start)
        });
        let own = self.vardiff.decide(now, SHARES_PER_MINUTE, own, limits);
        self.tuning.own = Some(own);
        Target::of(own).max(job.target)
    }

    fn limits(&self, pool: Target) -> Limits {
        let least = self.tuning.least.unwrap_or(Exponent::MIN).max(self.firmware.easiest());
        let hardest = exponent_of(pool);
        // A NerdMiner (50 kH/s) still finds a share every 20 s.
        Limits { easiest: least.max(Exponent::clamped(-12)).min(hardest), hardest }
    }

    /// A good share came: the difficulty may have to follow.
    pub(super) fn note_share(&mut self, now: Duration, out: &mut Outbox) {
        if self.rules.vardiff {
            self.vardiff.share(now, SHARES_PER_MINUTE);
            self.adjust(now, out);
        }
    }

    /// Sets when a silent miner's difficulty is looked at.
    pub(super) fn look_again(&mut self, now: Duration) {
        let Some(told) = self.jobs.back().filter(|_| self.rules.vardiff) else {
            self.check_at = None;
            return;
        };
        let (current, limits) = self.current(told.job.target);
        let wait = self.vardiff.next_check(now, SHARES_PER_MINUTE, current, limits);
        self.check_at = wait.map(|wait| now.saturating_add(wait));
    }

    fn current(&self, pool: Target) -> (Exponent, Limits) {
        if self.rules.aggregated {
            let limits = self.limits(pool);
            (self.tuning.own.map_or(limits.hardest, |own| limits.clamp(own)), limits)
        } else {
            // The pool may go as far as it likes.
            (exponent_of(pool), self.limits(Target::of(Exponent::MAX)))
        }
    }

    /// Adjusts the difficulty to the shares that came: on a shared channel by itself, otherwise by
    /// telling the pool what the miner does.
    pub(super) fn adjust(&mut self, now: Duration, out: &mut Outbox) {
        let Some(told) = self.jobs.back() else { return };
        let (job, pool) = (Arc::clone(&told.job), told.job.target);
        let (current, limits) = self.current(pool);
        let next = self.vardiff.decide(now, SHARES_PER_MINUTE, current, limits);
        if next == current {
            return;
        }
        if self.rules.aggregated {
            self.tuning.own = Some(next);
            self.notify(job, Clean::Keep, now, out);
        } else {
            self.tuning.start = Some(next);
            if let Some(hashrate) = self.tuning.news() {
                out.requests.push_back(Request::Rate(hashrate));
            }
        }
    }
}
