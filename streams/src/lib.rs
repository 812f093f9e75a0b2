//! How it is kept: streams, buckets and consumers, who may use them, and the keys that say so.
//! Declared once, in the order in which a share meets them, and reconciled from here.

mod names;

mod network;

mod topology;

mod declared;

mod plan;

mod connection;

mod reconcile;

mod access;

mod jwt;

pub mod keys;

pub mod config;

#[cfg(feature = "testing")]
pub mod testing;

pub use access::{
    Border, Kind, Permissions, Right, User, borders, leaf_users, link_permissions, users,
};
pub use connection::{Access, Connection, Credentials, RequestError};
pub use declared::{declared, leaf, reserved_bytes};
pub use names::*;
pub use network::{Account, InvalidNetwork, LAST_LANE_OF_CORE, Network, Node};
pub use plan::{Action, Actual, Change, Config, Item, Plan, Step, plan};
pub use reconcile::{OLDEST_SERVER, ReconcileError, apply, apply_all, check, read, register};
pub use topology::{
    Batches, Consumer, Duplicates, Erasure, Pull, Reader, Retention, Source, Stream, Topology,
    Transform, WhenFull,
};
