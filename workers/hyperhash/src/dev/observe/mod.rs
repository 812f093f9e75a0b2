//! Watching the network: its facts, its figures, its processes.

pub mod tally;

pub mod listen;

pub mod metrics;

pub mod window;

pub mod counter;

pub mod figures;

pub mod health;

pub mod status;

pub mod observer;
