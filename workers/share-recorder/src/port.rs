//! The book: where rows and positions are kept, and a fake of it.

mod memory;

pub use memory::MemoryBook;

use crate::domain::{Batch, Feed};
use std::future::Future;

/// One feed's hand on the book.
///
/// The position is moved in the transaction that writes the rows, so whatever happens in between,
/// a message is in the book exactly once.
pub trait Book: Send + 'static {
    /// How far the feed's stream, as created at `incarnation`, is in the book: its last sequence,
    /// 0 before the first.
    ///
    /// # Errors
    ///
    /// When the book cannot be reached.
    fn position(
        &mut self,
        feed: Feed,
        incarnation: u64,
    ) -> impl Future<Output = Result<u64, BookError>> + Send;

    /// Writes the batch and moves the position from [`Batch::after`] to [`Batch::through`], both or
    /// neither; nothing, if the position stands elsewhere.
    ///
    /// After an error nobody knows whether it was written: write it again, the position tells.
    ///
    /// # Errors
    ///
    /// When the book cannot be reached or does not take the batch.
    fn record(&mut self, batch: &Batch) -> impl Future<Output = Result<Written, BookError>> + Send;
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is in the book.
    Whole,
    /// The position stands elsewhere: another recorder was faster, or an earlier try of this one
    /// had succeeded. Nothing was written.
    Elsewhere {
        /// Where it stands.
        position: u64,
    },
}

/// The book is not available.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// It cannot be reached, or not now.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No answer in time.
    #[error("the database did not answer within {0:?}")]
    TimedOut(std::time::Duration),
    /// Its tables are not those that this program knows.
    #[error("the database has another schema: run `hyperhash migrate`")]
    NotMigrated(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is there and says no: a person must look.
    #[error("the database refuses what is written to it")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl BookError {
    /// One word for a metric.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::TimedOut(_) => "timed-out",
            Self::NotMigrated(_) => "not-migrated",
            Self::Refused(_) => "refused",
        }
    }
}
