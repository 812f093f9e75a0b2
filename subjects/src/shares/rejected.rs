//! What an ingress turned away, as counts per minute.

use super::{Reason, bounded, lane_address, lane_subject};
use crate::{
    BootEpoch, Codec, DecodeError, Lane, NodeId, Payload, Subject, Timestamp, UnknownSubject,
    payload::encode_json,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most lines of one message; more are sent as further messages.
pub const MAX_COUNTS: usize = 1_000;

/// What one ingress turned away in one minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.shares.v1.rejected")]
pub struct Rejected {
    /// The node whose ingress it is.
    pub node: NodeId,
    /// The ingress's lane.
    pub lane: Lane,
    /// The ingress's start, counted on its lane.
    pub boot_epoch: BootEpoch,
    /// Position among this ingress's messages of this type, counted from 0.
    pub sequence: u64,
    /// Start of the minute, by the ingress's clock.
    pub minute: Timestamp,
    /// How many shares of whom, and why; at most [`MAX_COUNTS`].
    pub counts: Vec<RejectedCount>,
}

/// One line of [`Rejected`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedCount {
    /// The miner's canonical identity.
    pub identity: String,
    /// The worker's name, empty if none was given.
    pub worker: String,
    /// Why.
    pub reason: Reason,
    /// How many shares.
    pub shares: u64,
}

impl Payload for Rejected {
    const TYPE: &'static str = "hyperhash.shares.v1.rejected";
    const FILTER: &'static str = "shares.rejected.*.*";
    const FORM: &'static str = "shares.rejected.{node}.{lane}";
    const CODEC: Codec = Codec::Json;
    type Address = (NodeId, Lane);

    fn subject(&self) -> Subject {
        lane_subject(&["shares", "rejected"], &self.node, self.lane)
    }

    fn parse_subject(subject: &str) -> Result<Self::Address, UnknownSubject> {
        lane_address(subject, Self::FORM)
    }

    fn message_id(&self) -> String {
        let Self { node, lane, boot_epoch, sequence, .. } = self;
        format!("rejected/{node}/{lane}/{boot_epoch}/{sequence}")
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let rejected: Self = serde_json::from_slice(body)?;
        bounded("counts", &rejected.counts, MAX_COUNTS)?;
        Ok(rejected)
    }
}
