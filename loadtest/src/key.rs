//! What names one acknowledgement that a miner got.

use std::{fmt, str::FromStr};
use subjects::{
    BootEpoch, Lane,
    shares::{Accepted, Refused, Submitted},
};

/// A share as its miner knows it: the header space of its channel and its own number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareKey {
    /// The ingress's lane: bytes 1 and 2 of the extranonce prefix.
    pub lane: Lane,
    /// The ingress's start: bytes 3 and 4.
    pub boot_epoch: BootEpoch,
    /// The channel: bytes 5 to 7.
    pub channel: u32,
    /// The miner's sequence number on the channel.
    pub sequence: u32,
}

impl ShareKey {
    /// The shares of a batch, in their order.
    pub fn of_submitted(batch: &Submitted) -> impl Iterator<Item = Self> {
        batch.shares.iter().map(|share| Self {
            lane: batch.lane,
            boot_epoch: batch.boot_epoch,
            channel: share.channel,
            sequence: share.sequence,
        })
    }

    /// The shares of a message, in their order.
    pub fn of_accepted(message: &Accepted) -> impl Iterator<Item = Self> {
        message.shares.iter().map(|accepted| Self {
            lane: message.lane,
            boot_epoch: message.boot_epoch,
            channel: accepted.share.channel,
            sequence: accepted.share.sequence,
        })
    }

    /// The shares that a message refuses, in its order.
    pub fn of_refused(message: &Refused) -> impl Iterator<Item = Self> {
        message.refusals.iter().map(|refusal| Self {
            lane: message.lane,
            boot_epoch: message.boot_epoch,
            channel: refusal.channel,
            sequence: refusal.sequence,
        })
    }
}

/// The line is not `<lane> <boot epoch> <channel> <sequence>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `<lane> <boot epoch> <channel> <sequence>`")]
pub struct InvalidShareKey(String);

impl fmt::Display for ShareKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, boot_epoch, channel, sequence } = self;
        write!(f, "{lane} {boot_epoch} {channel} {sequence}")
    }
}

impl FromStr for ShareKey {
    type Err = InvalidShareKey;

    fn from_str(line: &str) -> Result<Self, InvalidShareKey> {
        let refuse = || InvalidShareKey(line.chars().take(80).collect());
        let mut fields = line.split(' ');
        let mut next = || fields.next().ok_or_else(refuse);
        let (lane, epoch, channel, sequence) = (next()?, next()?, next()?, next()?);
        if fields.next().is_some() {
            return Err(refuse());
        }
        Ok(Self {
            lane: lane.parse().map_err(|_| refuse())?,
            boot_epoch: BootEpoch(epoch.parse().map_err(|_| refuse())?),
            channel: channel.parse().map_err(|_| refuse())?,
            sequence: sequence.parse().map_err(|_| refuse())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back() {
        let key =
            ShareKey { lane: Lane(300), boot_epoch: BootEpoch(2), channel: 7, sequence: u32::MAX };
        assert_eq!(key.to_string().parse(), Ok(key));
        for broken in ["", "1 2 3", "1 2 3 4 5", "1 2 3 x", "70000 2 3 4"] {
            assert_eq!(broken.parse::<ShareKey>(), Err(InvalidShareKey(broken.to_owned())));
        }
    }
}
