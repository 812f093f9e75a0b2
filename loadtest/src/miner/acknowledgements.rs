//! Which shares the pool still owes an answer for.

use std::collections::BTreeSet;

/// Most shares that may wait for an answer; beyond it the pool has stopped answering.
pub(super) const MAX_OUTSTANDING: usize = 65_536;

/// The pool's answer cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BrokenAnswer {
    /// The count does not fit the shares that were sent.
    #[error("{said} shares acknowledged up to {last}, {sent} were outstanding")]
    Count {
        /// What the pool counted.
        said: u32,
        /// Up to which sequence.
        last: u32,
        /// How many were sent and not answered.
        sent: usize,
    },
    /// A share was acknowledged that is not outstanding.
    #[error("share {0} acknowledged, which is not outstanding")]
    NotOutstanding(u32),
    /// A share was refused that is not outstanding.
    #[error("share {0} refused with `{1}`, which is not outstanding")]
    RefusedAnswered(u32, String),
}

/// Shares that were sent and not answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Acknowledgements {
    outstanding: BTreeSet<u32>,
}

impl Acknowledgements {
    /// Notes a share that was sent; numbers ascend.
    pub(super) fn sent(&mut self, sequence: u32) {
        self.outstanding.insert(sequence);
    }

    /// How many answers are due.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// `SubmitShares.Success`: all outstanding shares up to `last` are acknowledged, `count` of
    /// them. Returns their numbers, ascending.
    pub(super) fn acknowledged(&mut self, last: u32, count: u32) -> Result<Vec<u32>, BrokenAnswer> {
        if !self.outstanding.contains(&last) {
            return Err(BrokenAnswer::NotOutstanding(last));
        }
        let later = match last.checked_add(1) {
            Some(next) => self.outstanding.split_off(&next),
            None => BTreeSet::new(),
        };
        let answered: Vec<u32> =
            std::mem::replace(&mut self.outstanding, later).into_iter().collect();
        if usize::try_from(count).is_ok_and(|count| count == answered.len()) {
            Ok(answered)
        } else {
            Err(BrokenAnswer::Count { said: count, last, sent: answered.len() })
        }
    }

    /// `SubmitShares.Error` for one share.
    pub(super) fn refused(&mut self, sequence: u32, code: &str) -> Result<(), BrokenAnswer> {
        if self.outstanding.remove(&sequence) {
            Ok(())
        } else {
            Err(BrokenAnswer::RefusedAnswered(sequence, code.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequences: impl IntoIterator<Item = u32>) -> Acknowledgements {
        let mut all = Acknowledgements::default();
        sequences.into_iter().for_each(|sequence| all.sent(sequence));
        all
    }

    #[test]
    fn a_success_answers_for_all_before_it_that_were_not_refused() {
        let mut all = sent(5..12);
        assert_eq!(all.refused(6, "stale-share"), Ok(()));
        assert_eq!(all.acknowledged(8, 3), Ok(vec![5, 7, 8]));
        assert_eq!(all.acknowledged(11, 3), Ok(vec![9, 10, 11]));
        assert_eq!(all.outstanding(), 0);
    }

    #[test]
    fn an_answer_that_cannot_be_is_named() {
        let mut all = sent(0..4);
        assert_eq!(all.acknowledged(9, 1), Err(BrokenAnswer::NotOutstanding(9)));
        assert_eq!(all.acknowledged(1, 5), Err(BrokenAnswer::Count { said: 5, last: 1, sent: 2 }));
        assert_eq!(all.acknowledged(1, 1), Err(BrokenAnswer::NotOutstanding(1)));
        let late = all.refused(0, "stale-share");
        assert_eq!(late, Err(BrokenAnswer::RefusedAnswered(0, "stale-share".to_owned())));
    }

    #[test]
    fn the_last_number_of_all_is_a_number() {
        let mut all = sent([u32::MAX - 1, u32::MAX]);
        assert_eq!(all.acknowledged(u32::MAX, 2), Ok(vec![u32::MAX - 1, u32::MAX]));
    }
}
