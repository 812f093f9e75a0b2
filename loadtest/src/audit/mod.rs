//! The audit that ends every scenario: each share that a miner was acknowledged is in the stream
//! `SHARES` once, in the table `shares` once, and in exactly one slice.

mod books;

mod report;

mod sources;

mod replay;

pub use books::Books;
pub use replay::{Replayed, replay};
pub use report::{MAX_NAMED, Report, Violation};
pub use sources::{Refusals, acknowledged, take, until_clean};
