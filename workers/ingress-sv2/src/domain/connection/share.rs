//! What becomes of a share, until the bus has stored it.

use super::{Connection, Outbox};
use crate::{
    domain::{
        codes::{PROOFS_EXHAUSTED, share_error},
        ledger::{Answer, acknowledge},
    },
    wire::Submit,
};
use ingress::domain::{Moment, desk::Desk, lane::NotTaken, miner::Miner, space::Good};
use std::{sync::Arc, time::Duration};
use subjects::{sessions::Event, shares::Reason};

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
                return turn_down(id, share.sequence_number, miner, reason, out);
            }
        };
        match channel.submit(share, &worker, &self.rules, &self.work, moment) {
            Ok(mut good) => {
                out.tidings.claims.extend(good.claim.take());
                self.hand_in(id, good, moment.elapsed, desk, out);
                self.after_share(id, moment, desk, out);
            }
            Err(reason) => turn_down(id, share.sequence_number, worker, reason, out),
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

    /// Adjusts the target, and closes a channel whose proofs can no longer be told apart.
    fn after_share(&mut self, id: u32, moment: Moment, desk: &mut impl Desk, out: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.space().is_exhausted() {
            out.frames.close_channel(id, PROOFS_EXHAUSTED);
            self.end_channel(id, PROOFS_EXHAUSTED, moment, desk, out);
        } else if let Some(exponent) = channel.adjusted(&self.rules, moment.elapsed) {
            self.retarget(id, exponent, moment, out);
            self.look_in_on(id, moment.elapsed);
            self.tell(id, Event::Renegotiated, None, moment, out);
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
