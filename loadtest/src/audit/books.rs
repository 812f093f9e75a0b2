//! Comparing what miners, stream, database and slices say. No I/O.

use super::report::{Report, Violation};
use crate::ShareKey;
use std::collections::BTreeMap;
use subjects::{
    ShareId,
    rounds::SliceClosed,
    shares::{Accepted, Reason, Refused},
};

/// All that was said about shares, collected in any order.
#[derive(Clone, Debug, Default)]
pub struct Books {
    acknowledged: BTreeMap<ShareKey, u64>,
    stored: BTreeMap<ShareId, ShareKey>,
    places: BTreeMap<ShareKey, Vec<ShareId>>,
    /// Shares per sequence of the stream.
    messages: BTreeMap<u64, u64>,
    refused: BTreeMap<ShareKey, Reason>,
    recorded: BTreeMap<ShareId, (ShareKey, u64)>,
    slices: BTreeMap<u64, Slice>,
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    number: u64,
    last: u64,
    shares: u64,
}

impl Books {
    /// A miner was acknowledged a share.
    pub fn acknowledged(&mut self, key: ShareKey) {
        *self.acknowledged.entry(key).or_default() += 1;
    }

    /// The stream holds a message.
    pub fn stored(&mut self, incarnation: u64, sequence: u64, message: &Accepted) {
        for (index, key) in (0..).zip(ShareKey::of_accepted(message)) {
            let id = ShareId { incarnation, sequence, index };
            self.stored.insert(id, key);
            self.places.entry(key).or_default().push(id);
            *self.messages.entry(sequence).or_default() += 1;
        }
    }

    /// Core refused shares.
    pub fn refused(&mut self, message: &Refused) {
        let reasons = message.refusals.iter().map(|refusal| refusal.reason);
        self.refused.extend(ShareKey::of_refused(message).zip(reasons));
    }

    /// The database holds a share.
    pub fn recorded(&mut self, key: ShareKey, id: ShareId) {
        self.recorded.entry(id).or_insert((key, 0)).1 += 1;
    }

    /// A slice is closed.
    pub fn slice(&mut self, closed: &SliceClosed) {
        let slice =
            Slice { number: closed.slice, last: closed.last_sequence, shares: closed.shares };
        self.slices.insert(closed.first_sequence, slice);
    }

    /// Compares.
    pub fn report(&self) -> Report {
        let mut report = Report::default();
        self.compare_acknowledged(&mut report);
        self.compare_stored(&mut report);
        self.compare_recorded(&mut report);
        self.compare_slices(&mut report);
        report
    }

    fn compare_acknowledged(&self, report: &mut Report) {
        for (key, times) in &self.acknowledged {
            report.acknowledged += 1;
            if *times > 1 {
                report.violation(Violation::AcknowledgedTwice(*key));
            }
            match (self.places.get(key).map(Vec::as_slice), self.refused.get(key)) {
                (Some([id]), _) => self.follow(*id, report),
                (Some(_), _) => {}
                (None, Some(reason @ (Reason::TooLate | Reason::TipClosed))) => {
                    *report.refused_late.entry(*reason).or_default() += 1;
                }
                (None, Some(reason)) => report.violation(Violation::Refused(*key, *reason)),
                (None, None) => report.violation(Violation::NotStored(*key)),
            }
        }
    }

    /// Counts how far an acknowledged share came.
    fn follow(&self, id: ShareId, report: &mut Report) {
        report.stored += 1;
        if self.recorded.get(&id).is_some_and(|(_, times)| *times == 1) {
            report.recorded += 1;
        }
        if self.is_open(id.sequence) {
            report.in_open_slice += 1;
        } else if self.slice_of(id.sequence).is_some() {
            report.in_slices += 1;
        }
    }

    /// Every share of the stream, acknowledged or not, is there once, recorded once, in a slice.
    fn compare_stored(&self, report: &mut Report) {
        for (key, at) in &self.places {
            if !self.acknowledged.contains_key(key) {
                report.unacknowledged += 1;
            }
            if at.len() > 1 {
                report.violation(Violation::StoredTwice { key: *key, at: at.clone() });
            }
        }
        for (id, key) in &self.stored {
            self.compare_one(*key, *id, report);
        }
    }

    fn compare_one(&self, key: ShareKey, id: ShareId, report: &mut Report) {
        match self.recorded.get(&id) {
            None => report.violation(Violation::NotRecorded { key, at: id }),
            Some((found, _)) if *found != key => {
                report.violation(Violation::RecordedOther { at: id, stored: key, found: *found });
            }
            Some((_, 1)) => {}
            Some((_, times)) => {
                report.violation(Violation::RecordedTwice { key, at: id, times: *times });
            }
        }
        if !self.is_open(id.sequence) && self.slice_of(id.sequence).is_none() {
            report.violation(Violation::InNoSlice { key, at: id });
        }
    }

    fn compare_recorded(&self, report: &mut Report) {
        for (id, (key, _)) in &self.recorded {
            if !self.stored.contains_key(id) {
                report.violation(Violation::RecordedUnknown { key: *key, at: *id });
            }
        }
    }

    /// Slices are numbered and laid end to end, so no share is in two of them, and each counts
    /// what is there.
    fn compare_slices(&self, report: &mut Report) {
        let mut before: Option<Slice> = None;
        for (first, slice) in &self.slices {
            report.slices += 1;
            if let Some(before) = before {
                let expected = before.last + 1;
                if *first != expected {
                    report.violation(Violation::SliceStart {
                        slice: slice.number,
                        first: *first,
                        expected,
                    });
                }
                if slice.number != before.number + 1 {
                    report.violation(Violation::SliceNumber(slice.number, before.number));
                }
            }
            before = Some(*slice);
            let stored = self.messages.range(*first..=slice.last.max(*first)).map(|(_, n)| n).sum();
            if stored != slice.shares {
                report.violation(Violation::SliceCount {
                    slice: slice.number,
                    counted: slice.shares,
                    stored,
                });
            }
        }
    }

    /// Whether the sequence lies behind the last closed slice.
    fn is_open(&self, sequence: u64) -> bool {
        self.slices.last_key_value().is_none_or(|(_, slice)| sequence > slice.last)
    }

    fn slice_of(&self, sequence: u64) -> Option<&Slice> {
        let (_, slice) = self.slices.range(..=sequence).next_back()?;
        (sequence <= slice.last).then_some(slice)
    }
}
