//! Facts in, facts out: what the verifier says of honest and of hostile batches.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets something unexpected has failed"
)]

mod chain;

mod desk;

mod honest;

mod refusals;

mod hostile;

mod lanes;

mod takeover;

mod moods;
