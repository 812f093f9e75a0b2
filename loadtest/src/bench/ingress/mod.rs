//! The Stratum V2 ingress.

pub(super) mod rig;

pub(super) mod share;

pub(super) mod miners;

pub(super) mod latency;

pub(super) mod overload;
