//! Frames of the mining protocol (specification chapters 3 and 5): what miners send, read with the
//! library's types, and what we send, written straight into one buffer.

mod fields;
mod read;
mod write;

pub use fields::{BadName, worker_name};
pub use read::{FrameFault, Inbound, Submit, read};
pub use write::{Frames, JobHeader, OpenedChannel};
