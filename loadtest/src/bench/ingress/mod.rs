//! The ingresses, and pools beside them.

pub(super) mod rig;

pub(super) mod share;

pub(super) mod miners;

pub(super) mod line_miners;

pub(super) mod beside;

pub(super) mod latency;

pub(super) mod overload;
