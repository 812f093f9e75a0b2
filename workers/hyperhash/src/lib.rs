//! The one binary: runs any worker, reconciles streams, shows messages, and starts the dev network.

pub mod cli;

pub mod status;

pub mod dev;
