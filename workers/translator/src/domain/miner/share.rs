//! What becomes of a share, until the pool has stored it.

use super::{Miner, Outbox, Request, Seat, turn_down};
use crate::domain::{
    job::{Fields, Job, Reach},
    link::Share,
    verdict::Rejection,
};
use std::{sync::Arc, time::Duration};
use stratum_v1::{Id, Submit};
use subjects::shares::Reason;

/// What a share says, in numbers.
struct Numbers {
    /// All that was rolled of the pool's extranonce.
    extranonce: Vec<u8>,
    ntime: u32,
    nonce: u32,
    version: u32,
}

impl Miner {
    pub(super) fn share(&mut self, id: Id, submit: &Submit<'_>, now: Duration, out: &mut Outbox) {
        self.shares = self.shares.saturating_add(1);
        match self.judge(submit) {
            Ok((Reach::Pool, job, numbers)) => {
                let Numbers { extranonce, ntime, nonce, version } = numbers;
                let number = self.shares;
                let share = Share { number, job, extranonce, ntime, nonce, version };
                self.owed.insert(number, id);
                out.requests.push_back(Request::Share(share));
                self.note_share(now, out);
            }
            Ok((Reach::Miner, ..)) => {
                out.lines.done(&id);
                out.local += 1;
                self.note_share(now, out);
            }
            Ok((Reach::Nothing, ..)) => {
                turn_down(&id, Rejection::Judged(Reason::DifficultyTooLow), out);
            }
            Err(rejection) => turn_down(&id, rejection, out),
        }
    }

    fn judge(&self, submit: &Submit<'_>) -> Result<(Reach, Arc<Job>, Numbers), Rejection> {
        match self.seat {
            Seat::None if !self.subscribed => return Err(Rejection::NotSubscribed),
            Seat::None | Seat::Asked => return Err(Rejection::Unauthorized),
            Seat::Away => return Err(Rejection::Away),
            Seat::Open => {}
        }
        if self.workers.iter().all(|worker| **worker != *submit.user) {
            return Err(Rejection::Unauthorized);
        }
        let number = |text: &str, reason| {
            u32::from_str_radix(text, 16).map_err(|_| Rejection::Judged(reason))
        };
        let job_id = number(&submit.job, Reason::InvalidJobId)?;
        let told = self.jobs.iter().find(|told| told.id == job_id);
        let told = told.ok_or(Rejection::Judged(Reason::InvalidJobId))?;
        let bits = match submit.version.as_deref() {
            None | Some("") => 0,
            Some(bits) => number(bits, Reason::InvalidVersion)?,
        };
        if bits & !told.mask != 0 {
            return Err(Rejection::Judged(Reason::InvalidVersion));
        }
        let numbers = Numbers {
            extranonce: self.extranonce(&submit.extranonce, &told.job)?,
            ntime: number(&submit.ntime, Reason::InvalidNtime)?,
            nonce: number(&submit.nonce, Reason::DifficultyTooLow)?,
            version: told.job.told_version() | bits,
        };
        let Numbers { ntime, nonce, version, .. } = numbers;
        let fields = Fields { extranonce: &numbers.extranonce, ntime, nonce, version };
        Ok((told.job.reach(&fields, told.target), Arc::clone(&told.job), numbers))
    }

    /// What nobody rolls, extranonce1, and extranonce2. Trailing zeros of the latter may be missing,
    /// as old `AxeOS` always sent four bytes.
    fn extranonce(&self, extranonce2: &str, job: &Job) -> Result<Vec<u8>, Rejection> {
        let size = usize::from(self.rules.extranonce2_bytes);
        let wrong = Rejection::Judged(Reason::BadExtranonceSize);
        let mut own = hex::decode(extranonce2).map_err(|_| wrong)?;
        if own.len() > size {
            return Err(wrong);
        }
        own.resize(size, 0);
        let mut whole = vec![0; self.padding(job)];
        whole.extend(self.number);
        whole.extend(own);
        Ok(whole)
    }
}
