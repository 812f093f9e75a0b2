//! What to publish, decided from what was seen: no I/O, no clock, no logging.
//!
//! `now` is the time since the process started: it only measures ages.

pub mod template;

pub mod announcer;

pub mod selection;

pub mod reorg;

pub mod publisher;
