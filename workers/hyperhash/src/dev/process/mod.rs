//! Starting, keeping and ending the processes of a network.

pub mod identity;

pub mod record;

pub mod sweep;

pub mod managed;
