//! The dev network: every part of the pool on one machine, on real servers.
//!
//! Modules stand in the order in which a start meets them.

pub mod control;

pub mod supervisor;

mod files;

pub mod home;

pub mod hub;

pub mod settings;

pub mod narrator;

pub mod providers;

pub mod servers;

pub mod process;

pub mod certificates;

pub mod secrets;

pub mod parts;

pub mod bitcoind;

pub mod postgresql;

pub mod bus;

pub mod workers;

pub mod ready;

pub mod network;

pub mod observe;

pub mod logs;

pub mod view;

pub mod terminal;
