//! What becomes of a share, until the bus has stored it.

use super::{Connection, Outbox, Renumbering, Seat};
use crate::domain::closing::{Closing, Fault};
use ingress::domain::{
    Moment,
    desk::Desk,
    lane::NotTaken,
    miner::Miner,
    reject_run::Remedy,
    space::{Good, Submission},
};
use mining::ShareFields;
use std::{sync::Arc, time::Duration};
use stratum_v1::{Id, Refusal, Submit};
use subjects::{
    sessions::Event,
    shares::{MAX_EXTRANONCE_LENGTH, Reason},
};

/// What a share says, in numbers.
struct Numbers {
    job_id: u32,
    extranonce: [u8; MAX_EXTRANONCE_LENGTH],
    ntime: u32,
    nonce: u32,
    /// Rolled bits of the version.
    bits: u32,
}

impl Connection {
    pub(super) fn share(
        &mut self,
        id: Id,
        submit: &Submit<'_>,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) -> Result<(), Closing> {
        self.sequence = self.sequence.wrapping_add(1);
        let Seat::Working(space) = &mut self.seat else {
            out.tidings.rejected.push((None, Reason::InvalidChannelId));
            out.lines.refuse(&id, missing(&self.seat));
            return Ok(());
        };
        let Some(worker) = self.workers.iter().find(|worker| *worker.user == *submit.user) else {
            out.tidings.rejected.push((None, Reason::InvalidChannelId));
            out.lines.refuse(&id, Refusal::UNAUTHORIZED);
            return self.after_bad_share(moment, out);
        };
        let worker = Arc::clone(&worker.miner);
        let judged = read(submit, self.offer.extranonce2.bytes()).and_then(|numbers| {
            let job = space.jobs().find(numbers.job_id, moment.elapsed)?;
            let rolled = usize::from(self.offer.extranonce2.bytes());
            let fields = ShareFields {
                extranonce: numbers.extranonce.get(..rolled).unwrap_or_default(),
                ntime: numbers.ntime,
                nonce: numbers.nonce,
                version: rolled_version(job.template.version(), job.version_mask, numbers.bits)?,
            };
            let (job_id, sequence) = (numbers.job_id, self.sequence);
            let share = Submission { job_id, sequence, worker: &worker, fields };
            space.submit(&share, &self.rules, &self.work, moment)
        });
        match judged {
            Ok(mut good) => {
                self.bad_shares.good();
                out.tidings.claims.extend(good.claim.take());
                self.hand_in(id, good, moment.elapsed, desk, out);
                self.after_share(moment, desk, out)
            }
            Err(reason) => {
                turn_down(&id, worker, reason, out);
                self.after_bad_share(moment, out)
            }
        }
    }

    fn hand_in(
        &mut self,
        id: Id,
        good: Good,
        read_at: Duration,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) {
        let Good { taken, work, claim } = good;
        let miner = Arc::clone(&taken.miner);
        match desk.offer(taken) {
            Ok(()) => self.ledger.took(id, read_at),
            Err((NotTaken::Full, taken)) => {
                self.stalled = Some((id, Good { taken, work, claim }, read_at));
            }
            Err((NotTaken::TipClosed, _)) => turn_down(&id, miner, Reason::StaleShare, out),
        }
    }

    /// Adjusts the target, and moves a miner on whose proofs can no longer be told apart.
    fn after_share(
        &mut self,
        moment: Moment,
        desk: &mut impl Desk,
        out: &mut Outbox,
    ) -> Result<(), Closing> {
        let Seat::Working(space) = &self.seat else { return Ok(()) };
        if !space.is_exhausted() {
            self.adjust(moment, out);
            return Ok(());
        }
        if self.renumbering == Renumbering::Refused {
            return Err(Fault::Exhausted.into());
        }
        let miner = Arc::clone(space.miner());
        let number = desk.number().ok_or(Fault::Exhausted)?;
        let terms = self.terms(number, miner).ok_or(Fault::Exhausted)?;
        self.tell(Event::Closed, Some(&Fault::Exhausted.to_string()), moment, out);
        let Seat::Working(space) = std::mem::replace(&mut self.seat, Seat::None) else {
            return Ok(());
        };
        let (space, free) = space.succeed(terms, &self.work.tip, moment);
        desk.free(free);
        self.renumber(space, moment, out);
        Ok(())
    }

    /// Does what a run of nothing but bad shares asks for.
    fn after_bad_share(&mut self, moment: Moment, out: &mut Outbox) -> Result<(), Closing> {
        match self.bad_shares.bad(self.rules.reject_patience, moment.elapsed) {
            None => {}
            Some(Remedy::Resend) => self.start(moment, out),
            Some(Remedy::Reconnect) => out.lines.reconnect(),
            Some(Remedy::Drop) => return Err(Fault::OnlyRejects.into()),
        }
        Ok(())
    }

    /// The lane has room again: hands in the share that waited for it.
    pub fn resume(&mut self, desk: &mut impl Desk, out: &mut Outbox) {
        if let Some((id, good, read_at)) = self.stalled.take() {
            self.hand_in(id, good, read_at, desk, out);
        }
    }

    /// The bus has stored the `count` oldest shares that the lane took from this connection.
    pub fn stored(&mut self, count: usize, out: &mut Outbox) {
        let Outbox { lines, tidings } = out;
        self.ledger.stored(count, |owed| {
            lines.done(&owed.answer);
            tidings.acknowledged.push(owed.read_at);
        });
    }
}

/// What a miner without work has not done.
const fn missing(seat: &Seat) -> Refusal {
    match seat {
        Seat::None => Refusal::NOT_SUBSCRIBED,
        Seat::Reserved(_) | Seat::Resumed(_) | Seat::Working(_) => Refusal::UNAUTHORIZED,
    }
}

fn turn_down(id: &Id, miner: Arc<Miner>, reason: Reason, out: &mut Outbox) {
    out.lines.refuse(id, Refusal::of(reason));
    out.tidings.rejected.push((Some(miner), reason));
}

/// Reads a share's numbers. Leading zeros of the nonce may be missing, as `NerdMiner` leaves them
/// out, and trailing ones of extranonce2, as old `AxeOS` always sent four bytes.
fn read(submit: &Submit<'_>, extranonce2: u8) -> Result<Numbers, Reason> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let mut extranonce = [0; MAX_EXTRANONCE_LENGTH];
    let digits = submit.extranonce.len();
    let bytes = extranonce.get_mut(..digits / 2).filter(|_| digits <= 2 * usize::from(extranonce2));
    let bytes = bytes.ok_or(Reason::BadExtranonceSize)?;
    hex::decode_to_slice(submit.extranonce.as_ref(), bytes)
        .map_err(|_| Reason::BadExtranonceSize)?;
    Ok(Numbers {
        job_id: number(&submit.job).ok_or(Reason::InvalidJobId)?,
        extranonce,
        ntime: number(&submit.ntime).ok_or(Reason::InvalidNtime)?,
        nonce: number(&submit.nonce).ok_or(Reason::DifficultyTooLow)?,
        bits: match submit.version.as_deref() {
            None | Some("") => 0,
            Some(bits) => number(bits).ok_or(Reason::InvalidVersion)?,
        },
    })
}

/// The header's version. Jobs of ours have no bit inside the mask, so whether firmware sends the
/// bits, what it exclusive-ored or what it added makes no difference.
const fn rolled_version(version: u32, mask: u32, bits: u32) -> Result<u32, Reason> {
    if bits & !mask != 0 {
        return Err(Reason::InvalidVersion);
    }
    Ok(version | bits)
}
