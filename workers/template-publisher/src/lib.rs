//! Publishes what bitcoind would mine next, in the terms of Stratum V2 template distribution.
//!
//! | | |
//! |---|---|
//! | kind | source |
//! | consumes | bitcoind: `getblocktemplate`, long poll, ZMQ `sequence` and `hashblock` |
//! | publishes | `templates.new.{provider}`, `templates.tip.{provider}`, `templates.health.{provider}` |
//! | state | none: every session announces all anew; transactions in the object store `TEMPLATE_TXS` |
//! | instances | one active + standby per set of providers, by a fenced lease |
//! | invariant | a tip never precedes the template that it activates, and their heights fit |

pub mod domain;

pub mod port;

pub mod config;

pub mod worker;

pub use worker::TemplatePublisher;
