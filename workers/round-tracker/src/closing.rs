//! A slice that is closed, and everything that is said about it.

use subjects::rounds::{Closed, Line, MAX_LINES, SliceClosed, SliceLines};
use worker_runtime::outcome::Publication;

/// A closed slice with its lines, and its round if that ended with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The slice.
    pub slice: SliceClosed,
    /// Its lines, in ascending order of the miner id.
    pub lines: Vec<Line>,
    /// The round that ended with the slice.
    pub round: Option<Closed>,
}

impl Closing {
    /// In the order in which readers need them: the lines, then that the slice is closed, then
    /// that its round is.
    pub fn facts(&self) -> Vec<Publication> {
        let parts = (0..).zip(self.lines.chunks(MAX_LINES));
        let parts = parts.map(|(part, lines)| {
            let slice = self.slice.slice;
            Publication::once(&SliceLines { slice, part, lines: lines.to_vec() })
        });
        parts
            .chain([Publication::once(&self.slice)])
            .chain(self.round.as_ref().map(Publication::once))
            .collect()
    }
}
