//! What the ingress decides about Stratum V2: no sockets, no bus, no clock. Time is an argument.

pub mod closing;

pub mod codes;

pub mod setup;

pub mod extensions;

pub mod workers;

pub mod groups;

pub mod channel;

pub mod ledger;

pub mod connection;
