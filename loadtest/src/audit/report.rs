//! What an audit found.

use crate::ShareKey;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use subjects::{ShareId, shares::Reason};

/// Most violations that a report names; all are counted.
pub const MAX_NAMED: usize = 100;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Shares that miners were acknowledged.
    pub acknowledged: u64,
    /// Of those, shares in the stream once.
    pub stored: u64,
    /// Of those, shares in the database once, under the same id.
    pub recorded: u64,
    /// Of those, shares in exactly one closed slice.
    pub in_slices: u64,
    /// Of those, shares behind the last closed slice.
    pub in_open_slice: u64,
    /// Acknowledged shares that Core refused because they came too late, by reason.
    pub refused_late: BTreeMap<Reason, u64>,
    /// Shares in the stream whose acknowledgement no miner has on file: the miner, its connection
    /// or its file ended between the two.
    pub unacknowledged: u64,
    /// Closed slices.
    pub slices: u64,
    /// How much is wrong.
    pub violations: u64,
    /// What is wrong: the first [`MAX_NAMED`].
    pub named: Vec<Violation>,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_clean(&self) -> bool {
        self.violations == 0
    }

    pub(super) fn violation(&mut self, violation: Violation) {
        self.violations += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(violation);
        }
    }
}

/// Something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A miner has two acknowledgements of one share.
    #[error("share {0} was acknowledged twice")]
    AcknowledgedTwice(ShareKey),
    /// An acknowledged share is nowhere.
    #[error("share {0} was acknowledged and is not in the stream")]
    NotStored(ShareKey),
    /// An acknowledged share was refused by Core, and not for coming late.
    #[error("share {0} was acknowledged and then refused: {1}")]
    Refused(ShareKey, Reason),
    /// A share was credited more than once.
    #[error("share {key} is in the stream more than once: {}", ids(.at))]
    StoredTwice {
        /// The share.
        key: ShareKey,
        /// Where it is.
        at: Vec<ShareId>,
    },
    /// A stored share is not in the database.
    #[error("share {key}, {} in the stream, is not in the database", id(.at))]
    NotRecorded {
        /// The share.
        key: ShareKey,
        /// Where the stream has it.
        at: ShareId,
    },
    /// A stored share is in the database more than once.
    #[error("share {key}, {} in the stream, is in the database {times} times", id(.at))]
    RecordedTwice {
        /// The share.
        key: ShareKey,
        /// Where the stream has it.
        at: ShareId,
        /// How many rows have that id.
        times: u64,
    },
    /// A row's id belongs to another share.
    #[error("the database has share {found} as {}, the stream has {stored}", id(.at))]
    RecordedOther {
        /// The id.
        at: ShareId,
        /// The share in the stream.
        stored: ShareKey,
        /// The share in the database.
        found: ShareKey,
    },
    /// A row has no share in the stream.
    #[error("the database has share {key} as {}, where the stream has none", id(.at))]
    RecordedUnknown {
        /// The share in the database.
        key: ShareKey,
        /// Its id there.
        at: ShareId,
    },
    /// A share lies between slices.
    #[error("share {key}, {} in the stream, is in no slice", id(.at))]
    InNoSlice {
        /// The share.
        key: ShareKey,
        /// Where the stream has it.
        at: ShareId,
    },
    /// Slices do not follow one another.
    #[error("slice {slice} begins at {first}, {expected} was expected")]
    SliceStart {
        /// The slice.
        slice: u64,
        /// Where it begins.
        first: u64,
        /// Where it should.
        expected: u64,
    },
    /// A slice's number is not the one after that of the slice before it.
    #[error("slice {0} follows slice {1}")]
    SliceNumber(u64, u64),
    /// A slice counts another number of shares than the stream holds in its range.
    #[error("slice {slice} counts {counted} shares, the stream has {stored} there")]
    SliceCount {
        /// The slice.
        slice: u64,
        /// What it says.
        counted: u64,
        /// What is there.
        stored: u64,
    },
}

impl Serialize for Violation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn id(id: &ShareId) -> String {
    format!("{}/{}/{}", id.incarnation, id.sequence, id.index)
}

fn ids(all: &[ShareId]) -> String {
    all.iter().map(id).collect::<Vec<_>>().join(", ")
}
