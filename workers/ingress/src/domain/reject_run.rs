//! What is done about a miner of whom nothing but bad shares comes: work again, a connection anew, and
//! at last none.

use std::time::Duration;

/// How long such a run may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until work is sent again.
    pub resend: Duration,
    /// Until the miner is asked to connect again.
    pub reconnect: Duration,
    /// Until it is dropped.
    pub drop: Duration,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Give it work again: it may have lost it.
    Resend,
    /// Ask it to connect again: it may have mixed up its jobs.
    Reconnect,
    /// Drop it.
    Drop,
}

/// Fewer bad shares than this are no run: a slow miner has a stale one now and then.
const LEAST: u32 = 8;

/// Bad shares since the last good one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectRun {
    since: Duration,
    shares: u32,
    done: Option<Remedy>,
}

impl RejectRun {
    /// A good share came.
    pub fn good(&mut self) {
        *self = Self::default();
    }

    /// A bad one came; what is to be done about it, each once in a run.
    pub fn bad(&mut self, patience: Patience, now: Duration) -> Option<Remedy> {
        if self.shares == 0 {
            self.since = now;
        }
        self.shares = self.shares.saturating_add(1);
        if self.shares < LEAST {
            return None;
        }
        let lasted = now.saturating_sub(self.since);
        let remedy = match self.done {
            _ if lasted >= patience.drop => Remedy::Drop,
            None | Some(Remedy::Resend) if lasted >= patience.reconnect => Remedy::Reconnect,
            None if lasted >= patience.resend => Remedy::Resend,
            None | Some(Remedy::Resend | Remedy::Reconnect | Remedy::Drop) => return None,
        };
        self.done = Some(remedy);
        Some(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        resend: Duration::from_secs(60),
        reconnect: Duration::from_secs(120),
        drop: Duration::from_secs(180),
    };

    fn bad(run: &mut RejectRun, secs: u64) -> Option<Remedy> {
        run.bad(PATIENCE, Duration::from_secs(secs))
    }

    #[test]
    fn a_run_is_answered_in_three_steps_each_once() {
        let mut run = RejectRun::default();
        let remedies: Vec<_> =
            (100..=300).filter_map(|at| Some((at, bad(&mut run, at)?))).collect();
        let drops = (280..=300).map(|at| (at, Remedy::Drop));
        let steps = [(160, Remedy::Resend), (220, Remedy::Reconnect)];
        assert_eq!(remedies, steps.into_iter().chain(drops).collect::<Vec<_>>());
    }

    #[test]
    fn a_good_share_ends_a_run() {
        let mut run = RejectRun::default();
        for at in 0..1_000 {
            assert_eq!(bad(&mut run, at), None);
            if at % 50 == 49 {
                run.good();
            }
        }
    }

    #[test]
    fn a_few_bad_shares_of_a_slow_miner_are_no_run() {
        let mut run = RejectRun::default();
        for at in 0..7 {
            assert_eq!(bad(&mut run, at * 100), None);
        }
        assert_eq!(bad(&mut run, 700), Some(Remedy::Drop));
    }
}
