//! What a message adds to the book: rows, sums by the minute, and the position that it moves.
//!
//! Nothing here knows how the book is kept. Text from strangers is made harmless, numbers from
//! strangers are capped: a message that decodes is never refused by the book.

mod feed;

mod parties;

mod rows;

mod minutes;

mod batch;

pub use batch::{Batch, Heard, NotAdded, OutOfOrder};
pub use feed::Feed;
pub use minutes::{Minutes, Tally};
pub use parties::{MinerIndex, NodeIndex, Parties, WorkerIndex};
pub use rows::{
    BlockRow, OutcomeRow, RefusalRow, RejectionRow, RoundRow, Rows, ShareRow, StatementRow,
};
