//! Shares that do not count, and why: said by Core.

use super::{
    MAX_SHARES, bounded, epoch_number, lane_address, lane_number, lane_subject, name, node_id,
    submitted::channel, wire,
};
use crate::{
    BootEpoch, Codec, DecodeError, Lane, NodeId, Payload, Subject, Timestamp, UnknownSubject,
};
use prost::Message as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What Core refused of one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(title = "hyperhash.shares.v1.refused")]
pub struct Refused {
    /// The node on whose subject the batch came.
    pub node: NodeId,
    /// The lane on whose subject the batch came.
    pub lane: Lane,
    /// The ingress's start, as the batch claims.
    pub boot_epoch: BootEpoch,
    /// The batch's number, as it claims.
    pub batch: u64,
    /// When the batch opened, by the ingress's clock.
    pub opened_at: Timestamp,
    /// What was wrong with which share, in the batch's order.
    pub refusals: Vec<Refusal>,
}

/// What was wrong with one share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Refusal {
    /// The share's position in the submitted batch.
    pub index: u32,
    /// The channel's number.
    pub channel: u32,
    /// The miner's sequence number on the channel.
    pub sequence: u32,
    /// The identity that the batch names.
    pub identity: String,
    /// The worker's name.
    pub worker: String,
    /// Why.
    pub reason: Reason,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Why a share does not count. The codes are those of Stratum V2 where it has one
        /// (section 5.3.14, `SubmitShares.Error`).
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
        )]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code, e.g. `duplicate-share`.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    /// The proof was credited before.
    DuplicateShare = "duplicate-share",
    /// The hash does not meet the target that its coinbase commits to.
    DifficultyTooLow = "difficulty-too-low",
    /// The channel is not open on this connection.
    InvalidChannelId = "invalid-channel-id",
    /// The job is not known on this channel.
    InvalidJobId = "invalid-job-id",
    /// The job builds on a tip that is no longer the best.
    StaleShare = "stale-share",
    /// The extranonce does not have the negotiated length.
    BadExtranonceSize = "bad-extranonce-size",
    /// A version bit outside of the mask differs from the job's.
    InvalidVersion = "invalid-non-rollable-version-bit",
    /// The header's time lies outside of the allowed window.
    InvalidNtime = "invalid-ntime",
    /// Core published no such template.
    UnknownTemplate = "unknown-template",
    /// The template was never active on this previous block.
    WrongPrevhash = "wrong-prevhash",
    /// The tip is more than `late_tips` tips behind.
    TooLate = "too-late",
    /// The lane has moved on to a later tip.
    TipClosed = "tip-closed",
    /// The batch names another node or lane than the subject it came on.
    WrongLane = "wrong-lane",
    /// The lane does not belong to the node.
    LaneNotOwned = "lane-not-owned",
    /// The extranonce prefix does not belong to the lane, boot epoch and channel.
    WrongPrefix = "wrong-prefix",
    /// The identity is not one that this network credits, or not in its canonical form.
    InvalidIdentity = "invalid-user-identity",
    /// Declared jobs are not switched on.
    DeclaredJobsOff = "declared-jobs-off",
    /// The boot epoch is older than the lane's last one.
    OldEpoch = "old-epoch",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        let reason = Self::ALL.iter().copied().find(|reason| reason.code() == code);
        reason.ok_or_else(|| format!("`{code}` is not a reason to refuse a share"))
    }
}

impl Payload for Refused {
    const TYPE: &'static str = "hyperhash.shares.v1.refused";
    const FILTER: &'static str = "shares.refused.*.*";
    const FORM: &'static str = "shares.refused.{node}.{lane}";
    const CODEC: Codec = Codec::Protobuf;
    type Address = (NodeId, Lane);

    fn subject(&self) -> Subject {
        lane_subject(&["shares", "refused"], &self.node, self.lane)
    }

    fn parse_subject(subject: &str) -> Result<Self::Address, UnknownSubject> {
        lane_address(subject, Self::FORM)
    }

    fn message_id(&self) -> String {
        let Self { node, lane, boot_epoch, batch, refusals, .. } = self;
        let first = refusals.first().map_or(0, |refusal| refusal.index);
        format!("refused/{node}/{lane}/{boot_epoch}/{batch}/{first}")
    }

    fn encode(&self) -> Vec<u8> {
        wire::Refused {
            node: self.node.to_string(),
            lane: self.lane.0.into(),
            boot_epoch: self.boot_epoch.0.into(),
            batch: self.batch,
            opened_at_ms: self.opened_at.0,
            refusals: self.refusals.iter().map(Refusal::to_wire).collect(),
        }
        .encode_to_vec()
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let wire = wire::Refused::decode(body)?;
        bounded("refusals", &wire.refusals, MAX_SHARES)?;
        Ok(Self {
            node: node_id(&wire.node)?,
            lane: lane_number(wire.lane)?,
            boot_epoch: epoch_number(wire.boot_epoch)?,
            batch: wire.batch,
            opened_at: Timestamp(wire.opened_at_ms),
            refusals: wire
                .refusals
                .into_iter()
                .map(Refusal::from_wire)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Refusal {
    fn to_wire(&self) -> wire::Refusal {
        wire::Refusal {
            index: self.index,
            channel: self.channel,
            sequence: self.sequence,
            identity: self.identity.clone(),
            worker: self.worker.clone(),
            reason: self.reason.code().to_owned(),
        }
    }

    fn from_wire(wire: wire::Refusal) -> Result<Self, DecodeError> {
        Ok(Self {
            index: wire.index,
            channel: channel(wire.channel)?,
            sequence: wire.sequence,
            identity: name("identity", wire.identity)?,
            worker: name("worker", wire.worker)?,
            reason: wire.reason.parse().map_err(|error| DecodeError::field("reason", error))?,
        })
    }
}
