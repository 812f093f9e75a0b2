//! Jobs and targets.

use super::{Connection, Outbox, Seat};
use ingress::domain::{Moment, selection::Work, space::SearchSpace};
use mining::prefix;
use std::sync::Arc;
use stratum_v1::{Clean, Notify};
use subjects::{Exponent, sessions::Event};

impl Connection {
    /// Other work is current.
    pub fn follow(&mut self, work: Arc<Work>, moment: Moment, out: &mut Outbox) {
        let before = std::mem::replace(&mut self.work, work);
        let Seat::Working(space) = &self.seat else { return };
        if space.tip().prevhash() != self.work.tip.prevhash() {
            self.enter(moment, out);
        } else if before.template.id() != self.work.template.id() {
            self.notify(Clean::Keep, moment, out);
        }
    }

    /// The first job, and its target.
    pub(super) fn start(&mut self, moment: Moment, out: &mut Outbox) {
        let Seat::Working(space) = &self.seat else { return };
        out.lines.difficulty(space.exponent());
        self.notify(Clean::Drop, moment, out);
        self.look_again(moment);
    }

    /// The first job of a session that goes on: what was told before is still taken, unless the tip
    /// is another one.
    pub(super) fn go_on(&mut self, moment: Moment, out: &mut Outbox) {
        let Seat::Working(space) = &self.seat else { return };
        out.lines.difficulty(space.exponent());
        if space.tip().prevhash() == self.work.tip.prevhash() {
            self.notify(Clean::Keep, moment, out);
        } else {
            self.enter(moment, out);
        }
        self.look_again(moment);
    }

    /// The first job on a tip.
    fn enter(&mut self, moment: Moment, out: &mut Outbox) {
        let (easiest, hardest) = self.bounds();
        let Seat::Working(space) = &mut self.seat else { return };
        space.enter(&self.work.tip);
        space.set_hardest(hardest);
        let exponent = space.renegotiated(easiest, None, moment.elapsed);
        if exponent != space.exponent() {
            space.set_exponent(exponent);
            out.lines.difficulty(exponent);
        }
        self.notify(Clean::Drop, moment, out);
    }

    /// The same work again, with the time of now: miners take silence for a dead pool.
    pub(super) fn renew(&mut self, moment: Moment, out: &mut Outbox) {
        self.notify(Clean::Keep, moment, out);
    }

    fn notify(&mut self, clean: Clean, moment: Moment, out: &mut Outbox) {
        let Seat::Working(space) = &mut self.seat else { return };
        let job = space.job_on(&self.work.template);
        let ntime = space.least_ntime(moment.at);
        space.told_ntime(ntime);
        let (template, payee) = (&job.template, &space.miner().payee);
        let extranonce_length = prefix::SV1_LENGTH + self.offer.extranonce2.bytes();
        let mut coinbase_prefix = Vec::with_capacity(template.coinbase_prefix_length());
        // Extranonces of ours have lengths that templates are made for.
        template.write_coinbase_prefix(&mut coinbase_prefix, job.exponent, extranonce_length);
        let (before, _) = self.offer.extranonce1.split(space.prefix());
        coinbase_prefix.extend_from_slice(before);
        let mut coinbase_suffix = Vec::with_capacity(template.coinbase_suffix_length(payee));
        template.write_coinbase_suffix(&mut coinbase_suffix, payee);
        out.lines.notify(&Notify {
            job_id: job.id,
            prevhash: &space.tip().prevhash().0,
            coinbase_prefix: &coinbase_prefix,
            coinbase_suffix: &coinbase_suffix,
            merkle_path: template.merkle_path(),
            version: template.version(),
            nbits: space.tip().nbits(),
            ntime,
            clean,
        });
        match clean {
            Clean::Keep => space.start(job, moment.elapsed),
            Clean::Drop => {
                space.wait(job);
                space.activate(moment.elapsed);
            }
        }
        self.told_at = moment.elapsed;
    }

    /// Adjusts the target to the shares that came.
    pub(super) fn adjust(&mut self, moment: Moment, out: &mut Outbox) {
        let Seat::Working(space) = &mut self.seat else { return };
        let next = space.decide(&self.rules, moment.elapsed);
        if next != space.exponent() {
            space.set_exponent(next);
            self.retarget(moment, out);
        }
    }

    /// Follows what the miner asks for; `start` is the target that it newly suggests. Says whether
    /// that is another target, which came with a job.
    pub(super) fn follow_wishes(
        &mut self,
        start: Option<Exponent>,
        moment: Moment,
        out: &mut Outbox,
    ) -> bool {
        let (easiest, hardest) = self.bounds();
        let Seat::Working(space) = &mut self.seat else { return false };
        space.set_hardest(hardest);
        let next = space.renegotiated(easiest, start, moment.elapsed);
        let is_other = next != space.exponent();
        if is_other {
            out.tidings.asked();
            space.set_exponent(next);
            self.retarget(moment, out);
        }
        is_other
    }

    /// Tells the target, and gives a job that commits to it: a target counts from the next job on.
    fn retarget(&mut self, moment: Moment, out: &mut Outbox) {
        let Seat::Working(space) = &self.seat else { return };
        out.lines.difficulty(space.exponent());
        self.notify(Clean::Keep, moment, out);
        self.look_again(moment);
        self.tell(Event::Renegotiated, None, moment, out);
    }

    /// Sets when the target is looked at without a share.
    pub(super) fn look_again(&mut self, moment: Moment) {
        let Seat::Working(space) = &self.seat else { return };
        let wait = space.next_check(self.rules.shares_per_minute, moment.elapsed);
        self.check_at = wait.map(|wait| moment.elapsed.saturating_add(wait));
    }

    /// Asks for a sign of life, of firmware that has one.
    pub(super) fn ping(&mut self, moment: Moment, out: &mut Outbox) {
        if self.firmware.answers_pings() {
            self.pinged_at = Some(moment.elapsed);
            out.lines.ping(PING_ID);
        }
    }

    /// Gives the miner other headers to search: it has handed in as many proofs on this tip as are
    /// remembered.
    pub(super) fn renumber(&mut self, space: SearchSpace, moment: Moment, out: &mut Outbox) {
        let (_, own) = self.offer.extranonce1.split(space.prefix());
        out.lines.extranonce(own, self.offer.extranonce2.bytes());
        self.seat = Seat::Working(Box::new(space));
        self.start(moment, out);
        self.tell(Event::Opened, None, moment, out);
    }
}

/// The id of our only request. cgminer's answer names it.
const PING_ID: u32 = 1;
