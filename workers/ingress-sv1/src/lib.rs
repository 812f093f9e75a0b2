//! Serves Stratum V1 miners and hands their shares to the bus.

pub mod wire;

pub mod domain;
