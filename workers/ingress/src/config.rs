//! The keys that every ingress has.

use crate::{
    domain::{admission::Bounds, allowance::Rate, reject_run::Patience, rules::Rules},
    proxy::Proxies,
    server::Capacity,
};
use ipnet::IpNet;
use mining::{Hashrate, Network, Policy};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};
use subjects::{BootEpoch, Exponent, Lane, NodeId, ProviderId};
use worker_runtime::{BusConfig, WorkerConfig};

/// The configuration of an ingress.
pub trait Keyed: WorkerConfig {
    /// Its keys, as far as all ingresses have them.
    fn keys(&self) -> Keys<'_>;
}

/// What every ingress's configuration holds.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The connection to the bus: the hub's for Core's ingress, the leaf's on a node.
    pub bus: &'a BusConfig,
    /// The node that runs the ingress; `core` for Core's own.
    pub node: &'a NodeId,
    /// The lanes that it may lease, in this order; one is held at a time.
    pub lanes: &'a [Lane],
    /// The chain whose addresses are identities.
    pub network: Network,
    /// Template providers, by preference.
    pub providers: &'a [ProviderId],
    /// Whose word for a miner's address is taken.
    pub trusted_proxies: &'a [IpNet],
    /// Variable difficulty.
    pub vardiff: &'a Vardiff,
    /// Bounds.
    pub limits: &'a Limits,
    /// Deadlines.
    pub deadlines: &'a Deadlines,
}

/// Variable difficulty. Changes on reload apply to connections that open afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vardiff {
    /// Shares that a channel should send.
    pub shares_per_minute: NonZeroU32,
    /// Exponent of the easiest target that is ever given: difficulty 2^k.
    pub floor_exponent: Exponent,
    /// What a miner that names no hashrate is taken for at first, in hashes per second.
    pub starting_hashrate_hs: u64,
}

impl Default for Vardiff {
    fn default() -> Self {
        Self {
            shares_per_minute: NonZeroU32::new(12).unwrap_or(NonZeroU32::MIN),
            // A NerdMiner (50 kH/s) still finds a share every 20 s.
            floor_exponent: Exponent::clamped(-12),
            starting_hashrate_hs: 1_000_000_000_000,
        }
    }
}

/// Bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most connections.
    pub max_connections: usize,
    /// Most connections of one IPv4 address or IPv6 /64: a farm behind one NAT.
    pub max_connections_per_address: usize,
    /// Most new connections a second of one address, on average: after a rest as many as it may have
    /// come at once, so a farm comes back whole.
    pub max_new_connections_per_address_per_sec: NonZeroU32,
    /// Most new connections a second of all addresses together; others wait in the kernel's queue.
    pub max_new_connections_per_sec: NonZeroU32,
    /// Most messages a second of one connection, on average; ten seconds' worth may come at once.
    /// Above, it is not read for a while. Each KiB is another one, and ten are a channel that opens
    /// or closes, a target that is asked for, and a refused user name.
    pub max_messages_per_connection_per_sec: NonZeroU32,
    /// Most open channels of one connection: a proxy's miners.
    pub max_channels_per_connection: usize,
    /// Most shares of one connection that wait for the bus; above, it is not read.
    pub max_unacknowledged_per_connection: usize,
    /// Most shares of all connections that wait for the bus, about 100 bytes each. At half of it
    /// no connection is taken any more; at the bound none is read.
    pub max_unacknowledged: usize,
    /// Bytes that wait for a miner to read them; above, it is neither read nor given new jobs
    /// until it has caught up, or dropped when it does not.
    pub max_unsent_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            max_new_connections_per_address_per_sec: per_sec(20),
            max_new_connections_per_sec: per_sec(1_000),
            max_messages_per_connection_per_sec: per_sec(200),
            max_channels_per_connection: 256,
            max_unacknowledged_per_connection: 1_024,
            max_unacknowledged: 65_536,
            max_unsent_bytes: 65_536,
        }
    }
}

const fn per_sec(count: u32) -> NonZeroU32 {
    match NonZeroU32::new(count) {
        Some(count) => count,
        None => NonZeroU32::MIN,
    }
}

/// Seconds' worth of messages that may come at once.
const BURST_SECS: u32 = 10;

impl Limits {
    /// How much one connection may ask for.
    pub(crate) const fn message_rate(&self) -> Rate {
        let rate = self.max_messages_per_connection_per_sec;
        Rate::new(rate, rate.get().saturating_mul(BURST_SECS))
    }
}

/// Deadlines, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// From the connection to the end of the Noise handshake.
    pub handshake_secs: u64,
    /// From there to `SetupConnection`.
    pub setup_secs: u64,
    /// From there, or from the end of the last channel, to an open channel.
    pub channel_secs: u64,
    /// Without any frame.
    pub idle_secs: u64,
    /// Without the miner reading a byte of what waits for it.
    pub unread_secs: u64,
    /// Of nothing but bad shares, until work is sent again.
    pub reject_resend_secs: u64,
    /// Of nothing but bad shares, until the miner is asked to connect again.
    pub reject_reconnect_secs: u64,
    /// Of nothing but bad shares, until the miner is dropped.
    pub reject_drop_secs: u64,
    /// A provider that says nothing for this long is passed over while another one speaks.
    pub provider_silence_secs: u64,
    /// When no provider has said for this long what the tip is, all miners are sent away.
    pub max_tip_age_secs: u64,
    /// For connections to go, one after the other, to the process that has taken over the ports.
    pub handover_secs: u64,
    /// For connections to end once the ingress drains: their shares are stored and acknowledged.
    pub drain_secs: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake_secs: 10,
            setup_secs: 10,
            channel_secs: 60,
            idle_secs: 900,
            unread_secs: 30,
            reject_resend_secs: 60,
            reject_reconnect_secs: 120,
            reject_drop_secs: 180,
            provider_silence_secs: 120,
            max_tip_age_secs: 1_200,
            handover_secs: 30,
            drain_secs: 5,
        }
    }
}

impl Keys<'_> {
    /// Looks for what contradicts itself.
    ///
    /// # Errors
    ///
    /// With what is wrong and what to do about it.
    pub fn check(&self) -> Result<(), String> {
        let Limits { max_connections, max_unacknowledged, max_channels_per_connection, .. } =
            *self.limits;
        let bounds = [max_connections, max_unacknowledged, max_channels_per_connection];
        let own = |lane: &Lane| (1..=255).contains(&lane.0) == (*self.node == NodeId::core());
        if self.lanes.is_empty() {
            return Err("`lanes` names no lane: register the node, or give Core's ingress some \
                        of 1 to 255"
                .to_owned());
        }
        if let Some(lane) = self.lanes.iter().find(|lane| !own(lane)) {
            return Err(format!(
                "lane {lane} cannot belong to node `{}`: lanes 1 to 255 are Core's",
                self.node
            ));
        }
        if self.providers.is_empty() {
            return Err("`providers` names no template provider".to_owned());
        }
        if bounds.contains(&0) {
            return Err("a bound under `limits` is 0".to_owned());
        }
        Ok(())
    }

    /// How many connections are taken, and how fast.
    pub(crate) fn capacity(&self) -> Capacity {
        let limits = self.limits;
        let burst = u32::try_from(limits.max_connections_per_address).unwrap_or(u32::MAX);
        let pace = limits.max_new_connections_per_sec;
        Capacity {
            bounds: Bounds {
                most: limits.max_connections,
                most_per_origin: limits.max_connections_per_address,
                rate_per_origin: Rate::new(limits.max_new_connections_per_address_per_sec, burst),
            },
            pace: Rate::new(pace, pace.get()),
            proxies: Proxies::new(self.trusted_proxies),
        }
    }

    /// What connections go by that open now.
    pub fn rules(&self, lane: Lane, boot_epoch: BootEpoch) -> Rules {
        let Self { vardiff, limits, deadlines, .. } = *self;
        Rules {
            node: self.node.clone(),
            lane,
            boot_epoch,
            network: self.network,
            policy: Policy::addresses_only(),
            shares_per_minute: vardiff.shares_per_minute,
            floor: vardiff.floor_exponent,
            starting_hashrate: Hashrate::new(vardiff.starting_hashrate_hs.into()),
            max_channels: limits.max_channels_per_connection,
            max_unacknowledged: limits.max_unacknowledged_per_connection.max(1),
            setup_deadline: Duration::from_secs(deadlines.setup_secs),
            channel_deadline: Duration::from_secs(deadlines.channel_secs),
            idle_deadline: Duration::from_secs(deadlines.idle_secs),
            reject_patience: Patience {
                resend: Duration::from_secs(deadlines.reject_resend_secs),
                reconnect: Duration::from_secs(deadlines.reject_reconnect_secs),
                drop: Duration::from_secs(deadlines.reject_drop_secs),
            },
        }
    }
}

pub mod network_name {
    //! A chain by the name that `bitcoind` gives it, for `#[serde(with)]`.

    use mining::Network;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    /// Writes the name.
    ///
    /// # Errors
    ///
    /// When the serializer has one.
    pub fn serialize<S: Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(network)
    }

    /// Reads the name.
    ///
    /// # Errors
    ///
    /// When it is none of `bitcoin`, `testnet4`, `signet` and `regtest`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
