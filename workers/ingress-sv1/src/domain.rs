//! What the ingress decides about Stratum V1: no sockets, no bus, no clock. Time is an argument.

pub mod closing;

pub mod connection;
