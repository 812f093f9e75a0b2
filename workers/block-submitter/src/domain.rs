//! What a claim is worth and how a block ended, decided from what was heard: no I/O, no clock, no
//! logging.

pub mod claims;

pub mod answer;

pub mod outcomes;
