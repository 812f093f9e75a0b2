//! How far a reader has come: pure.

use crate::{
    bus::Delivery,
    transform::{Position, Start},
};

/// How far a reader has come, and how far it has to come.
///
/// A consumer counts by the copy of the stream that its server holds. Where several servers hold
/// one, that copy may lack what the stream's leader has, so that the leader's word on where the
/// stream ends counts too.
#[derive(Debug)]
pub(super) struct Progress {
    start: Start,
    seen: Option<Position>,
    /// Messages between the reader and the end as it was at the start; `None` before the start.
    to_catch_up: Option<u64>,
    /// Where the stream ended at the start, if its leader was asked.
    end: Option<u64>,
}

impl Progress {
    pub(super) const fn new(start: Start) -> Self {
        Self { start, seen: None, to_catch_up: None, end: None }
    }

    pub(super) const fn start(&self) -> Start {
        self.start
    }

    pub(super) const fn seen(&self) -> Option<&Position> {
        self.seen.as_ref()
    }

    /// A start that depends on when it is asked becomes a sequence, so that a restart does not
    /// move it.
    pub(super) fn resolve(&mut self, last_sequence: u64) {
        if self.start == Start::New {
            self.start = Start::Sequence(last_sequence.saturating_add(1));
        }
    }

    /// The sequence before which everything is done, if that is known.
    pub(super) fn next(&self) -> Option<u64> {
        match (&self.seen, self.start) {
            (Some(seen), _) => Some(seen.sequence.saturating_add(1)),
            (None, Start::Sequence(sequence)) => Some(sequence.max(1)),
            (None, Start::First | Start::LastPerSubject | Start::Time(_) | Start::New) => None,
        }
    }

    /// The sequence of a message if it lies behind the start.
    pub(super) fn concerns(&self, message: &Delivery) -> Option<u64> {
        let is_before = match self.start {
            Start::Time(time) => message.stored_at < time,
            Start::First | Start::LastPerSubject | Start::Sequence(_) | Start::New => false,
        };
        (!is_before).then_some(message.position.sequence)
    }

    /// A consumer was made that sees `pending` messages in a stream that ends at `end`.
    pub(super) fn begin(&mut self, pending: u64, end: Option<u64>) {
        let left = self.to_catch_up.map_or(pending, |left| left.min(pending));
        // What was the end at the first start stays it.
        if self.to_catch_up.is_none() {
            self.end = end;
        }
        self.to_catch_up = Some(left);
    }

    /// A message came; whether it is to be handed out. A consumer on a server that lacks the
    /// newest messages begins before the position that it was given.
    pub(super) fn note(&mut self, position: &Position, pending: u64) -> bool {
        let left = self.to_catch_up.unwrap_or(0).saturating_sub(1);
        self.to_catch_up = Some(left.min(pending));
        if self.next().is_some_and(|next| position.sequence < next) {
            return false;
        }
        self.seen = Some(position.clone());
        true
    }

    pub(super) const fn caught_up(&self) -> bool {
        matches!(self.to_catch_up, Some(0)) && self.has_reached(self.end)
    }

    /// Whether everything up to `end` was handed out.
    pub(super) const fn has_reached(&self, end: Option<u64>) -> bool {
        let Some(end) = end else { return true };
        let next = match (&self.seen, self.start) {
            (Some(seen), _) => seen.sequence.saturating_add(1),
            (None, Start::Sequence(sequence)) => sequence,
            (None, Start::First | Start::LastPerSubject | Start::Time(_) | Start::New) => 0,
        };
        next > end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subjects::Timestamp;

    fn at(sequence: u64) -> Position {
        Position { stream: "SHARES".into(), incarnation: 7, sequence, stored_at: Timestamp(0) }
    }

    #[test]
    fn a_copy_that_lacks_the_end_is_not_the_end() {
        let mut progress = Progress::new(Start::First);
        // The leader has ten messages, the consumer's server eight.
        progress.begin(8, Some(10));
        for sequence in 1..=8 {
            assert!(!progress.caught_up());
            assert!(progress.note(&at(sequence), 8 - sequence));
        }
        assert!(!progress.caught_up());
        assert!(progress.note(&at(9), 0) && !progress.caught_up());
        assert!(progress.note(&at(10), 0) && progress.caught_up());
    }

    #[test]
    fn what_was_handed_out_is_not_handed_out_again() {
        let mut progress = Progress::new(Start::Sequence(5));
        progress.begin(2, None);
        assert!(!progress.note(&at(4), 2), "before the start");
        assert!(progress.note(&at(5), 1) && progress.note(&at(6), 0));
        // Another consumer, on a server that ends at 5, begins there.
        progress.begin(1, None);
        assert!(!progress.note(&at(5), 0) && !progress.note(&at(6), 0));
        assert!(progress.note(&at(7), 0));
        assert_eq!(progress.next(), Some(8));
    }

    #[test]
    fn nothing_to_read_is_caught_up_at_once() {
        for (start, end) in
            [(Start::First, None), (Start::Sequence(11), Some(10)), (Start::LastPerSubject, None)]
        {
            let mut progress = Progress::new(start);
            assert!(!progress.caught_up());
            progress.begin(0, end);
            assert!(progress.caught_up(), "{start:?}");
        }
    }

    #[test]
    fn the_end_is_that_of_the_first_start() {
        let mut progress = Progress::new(Start::First);
        progress.begin(3, Some(3));
        assert!(progress.note(&at(1), 2));
        progress.begin(9, Some(10));
        assert!(progress.note(&at(2), 8) && !progress.caught_up());
        assert!(progress.note(&at(3), 7) && progress.caught_up());
    }

    #[test]
    fn new_begins_behind_the_end_of_the_moment() {
        let mut progress = Progress::new(Start::New);
        progress.resolve(41);
        assert_eq!(progress.next(), Some(42));
        progress.resolve(50);
        assert_eq!(progress.next(), Some(42));
    }
}
