//! What an ingress goes by: its place in the network and its bounds.

use super::reject_run::Patience;
use mining::{Hashrate, Network, Policy};
use std::{num::NonZeroU32, time::Duration};
use subjects::{BootEpoch, Exponent, Lane, NodeId};

/// What all connections of one start of the ingress have in common.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The node that runs the ingress.
    pub node: NodeId,
    /// The ingress's lane.
    pub lane: Lane,
    /// The ingress's start on the lane.
    pub boot_epoch: BootEpoch,
    /// The chain whose addresses are identities.
    pub network: Network,
    /// Which kinds of identity are taken.
    pub policy: Policy,
    /// How many shares a channel should send.
    pub shares_per_minute: NonZeroU32,
    /// The easiest target that is ever given.
    pub floor: Exponent,
    /// What a miner that says 0 H/s is taken for at first.
    pub starting_hashrate: Hashrate,
    /// Most open channels of a connection, and most workers that it names.
    pub max_channels: usize,
    /// Most shares of a connection that wait for the bus; above, the connection is not read.
    pub max_unacknowledged: usize,
    /// From the end of the handshake to the client's first step: `SetupConnection`, or on SV1
    /// `mining.subscribe`.
    pub setup_deadline: Duration,
    /// From there, or from the last channel's end, to an open channel; on SV1 to an authorized
    /// worker.
    pub channel_deadline: Duration,
    /// Without anything heard.
    pub idle_deadline: Duration,
    /// How long nothing but bad shares may come.
    pub reject_patience: Patience,
}
