//! What miners send.

use stratum_core::{
    binary_sv2,
    common_messages_sv2::{MESSAGE_TYPE_SETUP_CONNECTION, SetupConnection},
    extensions_sv2::{
        EXTENSION_TYPE_EXTENSIONS_NEGOTIATION, MESSAGE_TYPE_REQUEST_EXTENSIONS, RequestExtensions,
    },
    framing_sv2::header::Header,
    mining_sv2::{
        CloseChannel, MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, MESSAGE_TYPE_SUBMIT_SHARES_STANDARD,
        OpenExtendedMiningChannel, OpenStandardMiningChannel, SetCustomMiningJob, UpdateChannel,
    },
    parsers_sv2::{CommonMessages, Mining, ParserError},
};
use subjects::shares::{JobKind, MAX_EXTRANONCE_LENGTH};

/// A message that a miner may send, borrowed from its frame.
#[derive(Debug)]
pub enum Inbound<'a> {
    /// Who the client is and what it wants.
    Setup(SetupConnection<'a>),
    /// A setup for a protocol that has no number in the specification.
    SetupForeign,
    /// A channel whose miner rolls headers only.
    OpenStandard(OpenStandardMiningChannel<'a>),
    /// A channel whose miner rolls the extranonce.
    OpenExtended(OpenExtendedMiningChannel<'a>),
    /// Another hashrate or another greatest target.
    Update(UpdateChannel<'a>),
    /// The end of a channel, or of all channels of a group.
    Close(CloseChannel<'a>),
    /// A share.
    Share(Submit<'a>),
    /// A job that the miner made.
    CustomJob(SetCustomMiningJob<'a>),
    /// Which extensions the client wants to speak.
    Extensions(RequestExtensions<'a>),
    /// Another client is behind this channel of a proxy.
    EndpointChanged(u32),
    /// Nothing that concerns us: the specification says to ignore it.
    Ignored,
}

/// `SubmitSharesStandard` or `SubmitSharesExtended`. Read by hand: it is what nearly every frame
/// holds, and the library allocates twice for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submit<'a> {
    /// Which of the two it is.
    pub kind: JobKind,
    /// The channel.
    pub channel_id: u32,
    /// The miner's number of the share on the channel.
    pub sequence_number: u32,
    /// The job.
    pub job_id: u32,
    /// Nonce in the header.
    pub nonce: u32,
    /// Time in the header, in seconds since 1970.
    pub ntime: u32,
    /// Version in the header.
    pub version: u32,
    /// What the miner rolled; empty in `SubmitSharesStandard`.
    pub extranonce: &'a [u8],
    /// What follows: fields of extensions, if any were agreed on.
    pub fields: &'a [u8],
}

/// The frame is not a message that a miner may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    /// The payload is not of the type that the header names.
    #[error("a frame of type {0:#04x} is malformed")]
    Malformed(u8),
    /// No message that a client of the mining protocol sends has this type.
    #[error("a frame of type {0:#04x} is not for a mining pool")]
    Unexpected(u8),
}

/// Number of the last protocol that the specification knows: template distribution.
const LAST_PROTOCOL: u8 = 2;

/// Reads a frame. A frame of an extension that we do not know is ignored, be it about a channel or
/// not: we are the endpoint of either (section 3.4).
///
/// # Errors
///
/// When the type is not one that miners send, or the payload is not of that type.
pub fn read(header: Header, payload: &mut [u8]) -> Result<Inbound<'_>, FrameFault> {
    match header.ext_type() {
        EXTENSION_TYPE_EXTENSIONS_NEGOTIATION => return extensions(header.msg_type(), payload),
        _ if header.ext_type_without_channel_msg() != 0 => return Ok(Inbound::Ignored),
        _ => {}
    }
    let kind = header.msg_type();
    if kind == MESSAGE_TYPE_SETUP_CONNECTION
        && payload.first().is_some_and(|protocol| *protocol > LAST_PROTOCOL)
    {
        return Ok(Inbound::SetupForeign);
    }
    match kind {
        MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED => submit(JobKind::Extended, payload),
        MESSAGE_TYPE_SUBMIT_SHARES_STANDARD => submit(JobKind::Standard, payload),
        // Numbers below 0x10 are common to all protocols.
        0x00..0x10 => return common(kind, payload),
        _ => return mining(kind, payload),
    }
    .map(Inbound::Share)
    .ok_or(FrameFault::Malformed(kind))
}

/// Messages of extension 0x0001. None of them is about a channel.
fn extensions(kind: u8, payload: &mut [u8]) -> Result<Inbound<'_>, FrameFault> {
    if kind != MESSAGE_TYPE_REQUEST_EXTENSIONS {
        return Err(FrameFault::Unexpected(kind));
    }
    let request = binary_sv2::from_bytes(payload).map_err(|_| FrameFault::Malformed(kind))?;
    Ok(Inbound::Extensions(request))
}

fn submit(kind: JobKind, payload: &[u8]) -> Option<Submit<'_>> {
    let mut rest = payload;
    let mut number = || {
        let (number, after) = rest.split_first_chunk()?;
        rest = after;
        Some(u32::from_le_bytes(*number))
    };
    let (channel_id, sequence_number, job_id) = (number()?, number()?, number()?);
    let (nonce, ntime, version) = (number()?, number()?, number()?);
    let extranonce = match kind {
        JobKind::Standard => &[],
        JobKind::Extended => {
            let (length, after) = rest.split_first()?;
            let (extranonce, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            extranonce
        }
    };
    let short = extranonce.len() <= MAX_EXTRANONCE_LENGTH;
    short.then_some(Submit {
        kind,
        channel_id,
        sequence_number,
        job_id,
        nonce,
        ntime,
        version,
        extranonce,
        fields: rest,
    })
}

fn common(kind: u8, payload: &mut [u8]) -> Result<Inbound<'_>, FrameFault> {
    match CommonMessages::try_from((kind, payload)).map_err(|error| fault(kind, &error))? {
        CommonMessages::SetupConnection(setup) => Ok(Inbound::Setup(setup)),
        CommonMessages::ChannelEndpointChanged(changed) => {
            Ok(Inbound::EndpointChanged(changed.channel_id))
        }
        CommonMessages::Reconnect(_)
        | CommonMessages::SetupConnectionError(_)
        | CommonMessages::SetupConnectionSuccess(_) => Err(FrameFault::Unexpected(kind)),
    }
}

fn mining(kind: u8, payload: &mut [u8]) -> Result<Inbound<'_>, FrameFault> {
    match Mining::try_from((kind, payload)).map_err(|error| fault(kind, &error))? {
        Mining::OpenStandardMiningChannel(open) => Ok(Inbound::OpenStandard(open)),
        Mining::OpenExtendedMiningChannel(open) => Ok(Inbound::OpenExtended(open)),
        Mining::UpdateChannel(update) => Ok(Inbound::Update(update)),
        Mining::CloseChannel(close) => Ok(Inbound::Close(close)),
        Mining::SetCustomMiningJob(job) => Ok(Inbound::CustomJob(job)),
        Mining::NewExtendedMiningJob(_)
        | Mining::NewMiningJob(_)
        | Mining::OpenExtendedMiningChannelSuccess(_)
        | Mining::OpenMiningChannelError(_)
        | Mining::OpenStandardMiningChannelSuccess(_)
        | Mining::SetCustomMiningJobError(_)
        | Mining::SetCustomMiningJobSuccess(_)
        | Mining::SetExtranoncePrefix(_)
        | Mining::SetGroupChannel(_)
        | Mining::SetNewPrevHash(_)
        | Mining::SetTarget(_)
        | Mining::SubmitSharesError(_)
        | Mining::SubmitSharesExtended(_)
        | Mining::SubmitSharesStandard(_)
        | Mining::SubmitSharesSuccess(_)
        | Mining::UpdateChannelError(_) => Err(FrameFault::Unexpected(kind)),
    }
}

fn fault(kind: u8, error: &ParserError) -> FrameFault {
    match error {
        ParserError::UnexpectedMessage(_) => FrameFault::Unexpected(kind),
        ParserError::BadPayloadSize(_)
        | ParserError::UnexpectedPoolMessage
        | ParserError::BinaryError(_)
        | ParserError::TlvError(_)
        | ParserError::ExtensionError(_) => FrameFault::Malformed(kind),
    }
}
