//! `sessions.*`: a miner's channel opened, renegotiated or closed. No IP addresses, no secrets.

use crate::{
    BootEpoch, Codec, DecodeError, Exponent, Lane, NodeId, Payload, Subject, Timestamp,
    UnknownSubject,
    payload::encode_json,
    shares::{lane_address, lane_subject},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happened to a miner's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.sessions.v1.changed")]
pub struct Changed {
    /// The node whose ingress serves the miner.
    pub node: NodeId,
    /// The ingress's lane.
    pub lane: Lane,
    /// The ingress's start.
    pub boot_epoch: BootEpoch,
    /// The channel's number: bytes 5 to 7 of its extranonce prefix.
    pub channel: u32,
    /// Position among this channel's session facts, counted from 0.
    pub sequence: u32,
    /// What happened.
    pub event: Event,
    /// When, by the ingress's clock.
    pub at: Timestamp,
    /// The canonical identity.
    pub identity: String,
    /// The worker's name, empty if none was given.
    pub worker: String,
    /// What the client says it is: vendor, hardware, firmware.
    pub agent: String,
    /// The protocol spoken.
    pub protocol: Protocol,
    /// Where the miner comes from, as far as it may be told.
    pub network_class: NetworkClass,
    /// Exponent of the channel's target.
    pub exponent: Exponent,
    /// Round trip time of the connection in milliseconds, if measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<u32>,
    /// Why it closed, in words; absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A session's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The channel opened.
    Opened,
    /// Its target or the miner's stated hashrate changed.
    Renegotiated,
    /// The channel closed.
    Closed,
}

/// The protocol that a miner speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Stratum V2, an extended channel.
    Sv2Extended,
    /// Stratum V2, a standard channel.
    Sv2Standard,
    /// Stratum V1.
    Sv1,
}

/// Where a connection comes from, without saying from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkClass {
    /// The same host.
    Loopback,
    /// A private network.
    Private,
    /// The internet over IPv4.
    PublicV4,
    /// The internet over IPv6.
    PublicV6,
}

impl Payload for Changed {
    const TYPE: &'static str = "hyperhash.sessions.v1.changed";
    const FILTER: &'static str = "sessions.*.*";
    const FORM: &'static str = "sessions.{node}.{lane}";
    const CODEC: Codec = Codec::Json;
    type Address = (NodeId, Lane);

    fn subject(&self) -> Subject {
        lane_subject(&["sessions"], &self.node, self.lane)
    }

    fn parse_subject(subject: &str) -> Result<Self::Address, UnknownSubject> {
        lane_address(subject, Self::FORM)
    }

    fn message_id(&self) -> String {
        let Self { node, lane, boot_epoch, channel, sequence, .. } = self;
        format!("session/{node}/{lane}/{boot_epoch}/{channel}/{sequence}")
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(body)?)
    }
}
