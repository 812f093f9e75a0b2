//! Extranonce prefixes: lane ‖ boot epoch ‖ channel, so that no two channels ever share header
//! space, and a proof says on whose lane it was made.

use std::fmt;
use subjects::{
    BootEpoch, Lane,
    shares::{JobKind, MAX_CHANNEL},
};

/// Bytes of an SV2 channel's prefix: lane 2, boot epoch 2, channel 3.
pub const SV2_LENGTH: u8 = 7;
/// Bytes of an SV1 session's prefix (extranonce1): lane 2, boot epoch 1, channel 3.
pub const SV1_LENGTH: u8 = 6;

/// How a prefix is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// [`SV2_LENGTH`] bytes.
    Sv2,
    /// [`SV1_LENGTH`] bytes; the boot epoch is its low byte.
    Sv1,
}

/// The header space of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The ingress's lane.
    pub lane: Lane,
    /// The ingress's start, counted on its lane.
    pub boot_epoch: BootEpoch,
    /// The channel's number, at most [`MAX_CHANNEL`].
    pub channel: u32,
}

/// The bytes are not the prefix that they ought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Neither the length of SV1 nor of SV2, or more than a whole extranonce.
    #[error("an extranonce prefix has {SV1_LENGTH} or {SV2_LENGTH} bytes, or is zero-padded whole")]
    Length,
    /// A standard job's prefix is not padded with zeros.
    #[error("a standard job's extranonce is its prefix and zeros")]
    Padding,
    /// The channel's number has more than three bytes.
    #[error("a channel number has three bytes")]
    Channel,
    /// The prefix names another lane, boot epoch or channel.
    #[error("the extranonce prefix belongs to {0}")]
    Foreign(Prefix),
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} epoch {} channel {}", self.lane, self.boot_epoch, self.channel)
    }
}

impl Layout {
    /// Bytes of the prefix.
    pub const fn length(self) -> u8 {
        match self {
            Self::Sv2 => SV2_LENGTH,
            Self::Sv1 => SV1_LENGTH,
        }
    }
}

impl Prefix {
    /// The prefix; `None` for a channel above [`MAX_CHANNEL`].
    pub const fn new(lane: Lane, boot_epoch: BootEpoch, channel: u32) -> Option<Self> {
        if channel > MAX_CHANNEL { None } else { Some(Self { lane, boot_epoch, channel }) }
    }

    /// The prefix of an SV2 channel.
    pub const fn to_sv2(self) -> [u8; SV2_LENGTH as usize] {
        let ([l0, l1], [e0, e1]) = (self.lane.0.to_be_bytes(), self.boot_epoch.0.to_be_bytes());
        let [_, c0, c1, c2] = self.channel.to_be_bytes();
        [l0, l1, e0, e1, c0, c1, c2]
    }

    /// The prefix of an SV1 session.
    pub const fn to_sv1(self) -> [u8; SV1_LENGTH as usize] {
        let [l0, l1, _, e, c0, c1, c2] = self.to_sv2();
        [l0, l1, e, c0, c1, c2]
    }

    /// The whole extranonce of an SV2 standard channel: the prefix, then zeros.
    pub fn to_standard(self) -> [u8; crate::SV2_EXTRANONCE_LENGTH as usize] {
        let mut whole = [0; crate::SV2_EXTRANONCE_LENGTH as usize];
        whole.split_at_mut(self.to_sv2().len()).0.copy_from_slice(&self.to_sv2());
        whole
    }

    /// Reads a prefix of an extended job: its layout follows from its length.
    ///
    /// # Errors
    ///
    /// `Length`.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Layout), PrefixError> {
        let (layout, [l0, l1, e0, e1, c0, c1, c2]) = match *bytes {
            [l0, l1, e0, e1, c0, c1, c2] => (Layout::Sv2, [l0, l1, e0, e1, c0, c1, c2]),
            [l0, l1, e, c0, c1, c2] => (Layout::Sv1, [l0, l1, 0, e, c0, c1, c2]),
            _ => return Err(PrefixError::Length),
        };
        let lane = Lane(u16::from_be_bytes([l0, l1]));
        let boot_epoch = BootEpoch(u16::from_be_bytes([e0, e1]));
        Ok((Self { lane, boot_epoch, channel: u32::from_be_bytes([0, c0, c1, c2]) }, layout))
    }

    /// Checks that `bytes`, the extranonce prefix of a job whose whole extranonce has `total`
    /// bytes, is the one of this channel. SV1 holds the boot epoch's low byte only.
    ///
    /// # Errors
    ///
    /// When the form is wrong or the prefix is another channel's.
    pub fn check(self, kind: JobKind, bytes: &[u8], total: u8) -> Result<(), PrefixError> {
        let own = match kind {
            JobKind::Extended => bytes,
            JobKind::Standard => unpadded(bytes, total)?,
        };
        let (found, layout) = Self::parse(own)?;
        let epoch = match layout {
            Layout::Sv2 => self.boot_epoch,
            Layout::Sv1 => BootEpoch(self.boot_epoch.0 & 0xff),
        };
        if found == (Self { boot_epoch: epoch, ..self }) {
            Ok(())
        } else {
            Err(PrefixError::Foreign(found))
        }
    }
}

fn unpadded(bytes: &[u8], total: u8) -> Result<&[u8], PrefixError> {
    let whole = bytes.len() == usize::from(total);
    let (own, padding) = bytes
        .split_at_checked(usize::from(SV2_LENGTH))
        .filter(|_| whole)
        .ok_or(PrefixError::Length)?;
    if padding.iter().all(|byte| *byte == 0) { Ok(own) } else { Err(PrefixError::Padding) }
}
