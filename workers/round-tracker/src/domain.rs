//! Where slices and rounds begin and end: a pure function of the stream `SHARES`.

use crate::{
    closing::Closing,
    credits::Credits,
    entry::{Entry, LastShare},
    lines::{NoTree, Tree},
    round::OpenRound,
};
use sha2::{Digest as _, Sha256};
use subjects::{
    HexBytes, Timestamp, Work,
    rounds::{Closed, MAX_LINES, Progress, SliceClosed},
};
use worker_runtime::outcome::Publication;

/// A slice is full when its work reaches this fraction of a block's expected work.
pub const SLICES_PER_BLOCK: u128 = 64;

/// Where a message stands in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When `SHARES` was created, in milliseconds since 1970.
    pub incarnation: u64,
    /// The message's sequence in it.
    pub sequence: u64,
}

/// What must hold does not: accounting stops until a person has looked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Messages are missing.
    #[error(
        "SHARES goes on with message {found}, but {expected} was never counted: shares are missing \
         from the accounting record; restore the stream from its snapshot or archive"
    )]
    Gap {
        /// The first message that is missing.
        expected: u64,
        /// What came instead.
        found: u64,
    },
    /// The stream was made anew while it was being read.
    #[error(
        "SHARES was made anew (created at {found} ms, was {expected} ms): start again to go on \
         with its first message"
    )]
    Remade {
        /// The incarnation that was being read.
        expected: u64,
        /// The one that the message comes from.
        found: u64,
    },
    /// Work does not fit 128 bits.
    #[error("the work of slice {slice} overflows 128 bits")]
    Overflow {
        /// The open slice.
        slice: u64,
    },
    /// The slices in `ROUNDS` do not follow one another.
    #[error("slice {slice} in ROUNDS does not follow the one before it: {problem}")]
    History {
        /// The slice that does not fit.
        slice: u64,
        /// What does not fit.
        problem: &'static str,
    },
}

/// The open slice and the open round.
#[derive(Clone, Debug)]
pub struct Tracker {
    /// Incarnation of `SHARES`, once a message of it was heard.
    record: Option<u64>,
    /// The last closed slice.
    last: Option<SliceClosed>,
    round: OpenRound,
    open: OpenSlice,
    /// What was said last, to be repeated: its slice's last message may come again.
    said: Option<Closing>,
    /// A round that ended with the last slice of the history: its fact may never have been said.
    unsaid: Option<Unsaid>,
    fault: Option<Fault>,
}

#[derive(Clone, Debug)]
struct OpenSlice {
    first_sequence: Option<u64>,
    last_sequence: Option<u64>,
    chain: [u8; 32],
    credits: Credits,
    last_share: Option<LastShare>,
}

#[derive(Clone, Debug)]
struct Unsaid {
    round: Closed,
    /// The message with which it is said.
    with: Option<u64>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self::new()
    }
}

impl Tracker {
    /// Nothing was ever counted.
    pub fn new() -> Self {
        Self {
            record: None,
            last: None,
            round: OpenRound::first(),
            open: OpenSlice::after([0; 32]),
            said: None,
            unsaid: None,
            fault: None,
        }
    }

    /// Learns which incarnation of `SHARES` is going to be read.
    pub fn meet_record(&mut self, incarnation: u64) {
        self.record = Some(incarnation);
    }

    /// Hears of a slice that was closed in the past, in ascending order, beginning with the first
    /// one or with one that ended a round.
    pub fn recall(&mut self, slice: SliceClosed) {
        if let Err(fault) = self.follow(slice) {
            self.fault.get_or_insert(fault);
        }
    }

    /// The message to begin with; `None` for the first one there is.
    pub fn resume_at(&self) -> Option<u64> {
        let last = self.last.as_ref().filter(|last| Some(last.incarnation) == self.record)?;
        Some(last.last_sequence.saturating_add(1))
    }

    /// Counts a message and returns what it causes to be said. A message that was counted before
    /// causes the same again, as long as the slice after it is open.
    ///
    /// # Errors
    ///
    /// When what must hold does not; every later call says the same.
    pub fn count(&mut self, entry: &Entry, at: Place) -> Result<Vec<Publication>, Fault> {
        match self.fault.clone().map_or_else(|| self.try_count(entry, at), Err) {
            Ok(()) => Ok(self.said_with(at.sequence)),
            Err(fault) => {
                self.fault = Some(fault.clone());
                Err(fault)
            }
        }
    }

    /// How the open round stands.
    pub fn progress(&self, now: Timestamp) -> Progress {
        let last = self.open.last_share.as_ref().map(|share| share.network_work);
        let before = self.last.as_ref().map(|slice| slice.network_work);
        let open = &self.open.credits;
        let work = self.round.work().to_u128().saturating_add(open.work().to_u128());
        Progress {
            round: self.round.number(),
            slice: self.next_slice(),
            sequence: self.reached().unwrap_or_default(),
            shares: self.round.shares().saturating_add(open.shares()),
            work: Work::new(work),
            network_work: last.or(before).unwrap_or_default(),
            at: now,
        }
    }

    /// The slice that was closed last, in the past or now.
    pub fn last_slice(&self) -> Option<&SliceClosed> {
        self.last.as_ref()
    }

    fn try_count(&mut self, entry: &Entry, at: Place) -> Result<(), Fault> {
        let record = *self.record.get_or_insert(at.incarnation);
        if record != at.incarnation {
            return Err(Fault::Remade { expected: record, found: at.incarnation });
        }
        if let Some(reached) = self.reached() {
            if at.sequence <= reached {
                return Ok(());
            }
            let expected = reached.saturating_add(1);
            if at.sequence != expected {
                return Err(Fault::Gap { expected, found: at.sequence });
            }
        }
        let slice = self.next_slice();
        self.open.take(entry, at.sequence).ok_or(Fault::Overflow { slice })?;
        if let Some(unsaid) = &mut self.unsaid {
            unsaid.with.get_or_insert(at.sequence);
        }
        if self.open.is_full() { self.close(at) } else { Ok(()) }
    }

    /// Closes the open slice with the message at `at`.
    fn close(&mut self, at: Place) -> Result<(), Fault> {
        let number = self.next_slice();
        let chain_start = self.chain_end();
        let Some(share) = self.open.last_share.take() else { return Ok(()) };
        let next = OpenSlice::after(self.open.chain);
        let open = std::mem::replace(&mut self.open, next);
        let shares = open.credits.shares();
        let lines = open.credits.into_lines();
        let tree = Tree::of(&lines).map_err(|error| match error {
            NoTree::Empty => Fault::History { slice: number, problem: "it has no lines" },
            NoTree::Overflow => Fault::Overflow { slice: number },
        })?;
        let slice = SliceClosed {
            slice: number,
            round: self.round.number(),
            incarnation: at.incarnation,
            first_sequence: open.first_sequence.unwrap_or(at.sequence),
            last_sequence: at.sequence,
            chain_start: HexBytes(chain_start.to_vec()),
            chain_end: HexBytes(open.chain.to_vec()),
            shares,
            work: tree.work(),
            network_work: share.network_work,
            miners: u64::try_from(lines.len()).unwrap_or(u64::MAX),
            parts: u32::try_from(lines.len().div_ceil(MAX_LINES)).unwrap_or(u32::MAX),
            lines_root: tree.root(),
            last_ntime: share.ntime,
            block: share.solves,
        };
        let round = self.round.add(&slice).ok_or(Fault::Overflow { slice: number })?;
        self.said = Some(Closing { slice: slice.clone(), lines, round });
        self.last = Some(slice);
        Ok(())
    }

    fn said_with(&self, sequence: u64) -> Vec<Publication> {
        let unsaid = self.unsaid.as_ref().filter(|unsaid| unsaid.with == Some(sequence));
        let said = self.said.as_ref().filter(|said| said.slice.last_sequence == sequence);
        let unsaid = unsaid.map(|unsaid| Publication::once(&unsaid.round));
        unsaid.into_iter().chain(said.into_iter().flat_map(Closing::facts)).collect()
    }

    fn follow(&mut self, slice: SliceClosed) -> Result<(), Fault> {
        let number = slice.slice;
        let wrong = |problem| Err(Fault::History { slice: number, problem });
        if self.last.is_none() && number != 1 {
            // The history begins with the end of a round; what was before it is not needed.
            if slice.block.is_none() {
                return wrong("it is the first that is heard of, but ends no round");
            }
            self.round = OpenRound::after(&slice);
        } else if number != self.next_slice() {
            return wrong("its number");
        } else if slice.chain_start.as_slice() != self.chain_end() {
            return wrong("its hash chain");
        } else if slice.round != self.round.number() {
            return wrong("its round");
        } else {
            let ended = self.round.add(&slice).ok_or(Fault::Overflow { slice: number })?;
            self.unsaid = ended.map(|round| Unsaid { round, with: None });
        }
        let Ok(chain) = slice.chain_end.as_slice().try_into() else { return wrong("its chain") };
        self.open = OpenSlice::after(chain);
        self.last = Some(slice);
        Ok(())
    }

    fn next_slice(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.slice).saturating_add(1)
    }

    fn chain_end(&self) -> [u8; 32] {
        let end = self.last.as_ref().and_then(|last| last.chain_end.as_slice().try_into().ok());
        end.unwrap_or_default()
    }

    /// The last message that is counted, in this incarnation.
    fn reached(&self) -> Option<u64> {
        let closed = self.last.as_ref().filter(|last| Some(last.incarnation) == self.record);
        self.open.last_sequence.or(closed.map(|last| last.last_sequence))
    }
}

impl OpenSlice {
    fn after(chain: [u8; 32]) -> Self {
        Self {
            first_sequence: None,
            last_sequence: None,
            chain,
            credits: Credits::default(),
            last_share: None,
        }
    }

    /// Takes the next message in; `None` when its work overflows.
    fn take(&mut self, entry: &Entry, sequence: u64) -> Option<()> {
        self.first_sequence.get_or_insert(sequence);
        self.last_sequence = Some(sequence);
        self.chain =
            Sha256::new().chain_update(self.chain).chain_update(entry.digest).finalize().into();
        let Ok(content) = &entry.content else { return Some(()) };
        if let Some(last) = &content.last {
            self.last_share = Some(last.clone());
        }
        self.credits.add_all(&content.credits)
    }

    /// Whether the message that was just taken in ends the slice.
    fn is_full(&self) -> bool {
        self.last_share.as_ref().is_some_and(|share| {
            let enough = share.network_work.to_u128().div_ceil(SLICES_PER_BLOCK);
            share.solves.is_some() || self.credits.work().to_u128() >= enough
        })
    }
}
