//! What becomes of a share, until the bus has stored it.

use super::{Connection, Outbox};
use crate::{
    domain::{
        channel::Telling,
        codes::{ONLY_REJECTS, PROOFS_EXHAUSTED, share_error},
        ledger::{Answer, acknowledge},
    },
    wire::Submit,
};
use ingress::domain::{
    Moment, desk::Desk, lane::NotTaken, miner::Miner, numbers::Number, reject_run::Remedy,
    space::Good,
};
use std::{sync::Arc, time::Duration};
use subjects::{
    sessions::Event,
    shares::{Extranonce, Reason},
};

impl Connection {
    pub(super) fn share(
        &mut self,
        share: &Submit<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let id = share.channel_id;
        let room = self.names_workers && self.named() < self.rules.max_channels;
        let Some(channel) = self.channels.get_mut(&id) else {
            let reason = Reason::InvalidChannelId;
            out.frames.share_error(id, share.sequence_number, share_error(reason));
            out.tidings.rejected.push((None, reason));
            return;
        };
        let worker = match channel.worker_of(share, room) {
            Ok(worker) => worker,
            Err(reason) => {
                let miner = Arc::clone(channel.space().miner());
                turn_down(id, share.sequence_number, miner, reason, out);
                return self.after_bad_share(id, moment, desk, out);
            }
        };
        match channel.submit(share, &worker, &self.rules, &self.work, moment) {
            Ok(mut good) => {
                channel.good_share();
                out.tidings.claims.extend(good.claim.take());
                self.hand_in(id, good, moment.elapsed, desk, out);
                self.after_share(id, moment, desk, out);
            }
            Err(reason) => {
                turn_down(id, share.sequence_number, worker, reason, out);
                self.after_bad_share(id, moment, desk, out);
            }
        }
    }

    /// Does what a run of nothing but bad shares asks for. A connection is asked to come again only
    /// if it has no other channel: a proxy's good miners are not to blame.
    fn after_bad_share(&mut self, id: u32, moment: Moment, desk: &mut impl Desk, out: &mut Outbox) {
        let Self { channels, work, jobs, rules, client, .. } = self;
        let alone = channels.len() == 1;
        let survives = client.as_ref().is_some_and(|client| client.maker.takes_reconnect());
        let Some(channel) = channels.get_mut(&id) else { return };
        match channel.bad_share(rules, moment.elapsed) {
            Some(Remedy::Resend) => {
                channel.resend(&mut Telling { work, moment, jobs, frames: &mut out.frames });
            }
            Some(Remedy::Reconnect) if alone && survives => out.frames.reconnect(),
            None | Some(Remedy::Reconnect) => {}
            Some(Remedy::Drop) => {
                out.frames.close_channel(id, ONLY_REJECTS);
                self.end_channel(id, ONLY_REJECTS, moment, desk, out);
            }
        }
    }

    /// Names of workers that the connection's channels remember.
    fn named(&self) -> usize {
        self.channels.values().map(|channel| channel.workers().len()).sum()
    }

    fn hand_in(
        &mut self,
        id: u32,
        good: Good,
        read_at: Duration,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let Good { taken, work, claim } = good;
        let (sequence, miner) = (taken.sequence, Arc::clone(&taken.miner));
        match desk.offer(taken) {
            Ok(()) => self.ledger.took(Answer { channel_id: id, sequence, work }, read_at),
            Err((NotTaken::Full, taken)) => {
                self.stalled = Some((id, Good { taken, work, claim }, read_at));
            }
            Err((NotTaken::TipClosed, _)) => {
                turn_down(id, sequence, miner, Reason::StaleShare, out);
            }
        }
    }

    /// Adjusts the target, and moves a channel on whose proofs can no longer be told apart.
    fn after_share(&mut self, id: u32, moment: Moment, desk: &mut impl Desk, out: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.space().is_exhausted() {
            self.renumber(id, moment, desk, out);
        } else if let Some(exponent) = channel.adjusted(&self.rules, moment.elapsed) {
            self.retarget(id, exponent, moment, out);
            self.look_in_on(id, moment.elapsed);
            self.tell(id, Event::Renegotiated, None, moment, out);
        }
    }

    /// Gives a channel other headers to search. It is closed when there are none, or when its client
    /// would go on with the old ones.
    fn renumber(&mut self, id: u32, moment: Moment, desk: &mut impl Desk, out: &mut Outbox) {
        let takes_it = self.client.as_ref().is_some_and(|client| client.maker.takes_prefix());
        let other = takes_it.then(|| self.other_headers(id, desk)).flatten();
        let Some((number, prefix)) = other else {
            out.frames.close_channel(id, PROOFS_EXHAUSTED);
            return self.end_channel(id, PROOFS_EXHAUSTED, moment, desk, out);
        };
        self.tell(id, Event::Closed, Some(PROOFS_EXHAUSTED), moment, out);
        let Self { channels, groups, work, jobs, .. } = self;
        let Some(channel) = channels.get_mut(&id) else { return desk.free(number) };
        let mut to = Telling { work, moment, jobs, frames: &mut out.frames };
        desk.free(channel.renumber(number, prefix, &mut to));
        // It waits with a job of its own now, the others of its group with the one before.
        groups.forget_future(channel.group);
        self.look_in_on(id, moment.elapsed);
        self.tell(id, Event::Opened, None, moment, out);
    }

    fn other_headers(&self, id: u32, desk: &mut impl Desk) -> Option<(Number, Extranonce)> {
        let channel = self.channels.get(&id)?;
        let number = desk.number()?;
        match channel.prefix_of(&number, &self.rules) {
            Some(prefix) => Some((number, prefix)),
            None => {
                desk.free(number);
                None
            }
        }
    }

    /// The lane has room again: hands in the share that waited for it.
    pub fn resume(&mut self, desk: &mut impl Desk, out: &mut Outbox) {
        if let Some((id, good, read_at)) = self.stalled.take() {
            self.hand_in(id, good, read_at, desk, out);
        }
    }

    /// The bus has stored the `count` oldest shares that the lane took from this connection.
    pub fn stored(&mut self, count: usize, out: &mut Outbox) {
        let channels = &self.channels;
        let is_open = |id| channels.contains_key(&id);
        let Outbox { frames, tidings } = out;
        acknowledge(&mut self.ledger, count, is_open, frames, &mut tidings.acknowledged);
    }
}

fn turn_down(id: u32, sequence: u32, miner: Arc<Miner>, reason: Reason, out: &mut Outbox) {
    out.frames.share_error(id, sequence, share_error(reason));
    out.tidings.rejected.push((Some(miner), reason));
}
