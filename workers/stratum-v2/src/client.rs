//! A mining client's connection: handshake, `SetupConnection`, channels, messages.
//!
//! What a test needs to misbehave is here too: any message at any time, any bytes as a frame.

use crate::{Endpoint, FrameReader, FrameWriter, TransportError, handshake};
use std::time::Duration;
use stratum_core::{
    binary_sv2::{Str0255Owned, U256Owned},
    codec_sv2::{EncodableFrame, MessageFrame},
    common_messages_sv2::{Protocol, SetupConnectionOwned, SetupConnectionSuccess},
    framing_sv2,
    mining_sv2::{OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned},
    parsers_sv2::{AnyMessage, AnyMessageOwned, CommonMessagesOwned, MiningOwned},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// The one protocol version of Stratum V2 mining.
const VERSION: u16 = 2;
/// How long connecting and the handshake may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a pool may take to answer `SetupConnection` or the opening of a channel.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// An encrypted connection to a pool.
#[derive(Debug)]
pub struct Client<R = OwnedReadHalf, W = OwnedWriteHalf> {
    reader: Reader<R>,
    writer: Writer<W>,
}

/// What a pool says on a connection.
#[derive(Debug)]
pub struct Reader<R = OwnedReadHalf>(FrameReader<R>);

/// What a pool is told on a connection.
#[derive(Debug)]
pub struct Writer<W = OwnedWriteHalf>(FrameWriter<W>);

/// What a client says it is.
#[derive(Clone, Debug)]
pub struct Device {
    /// Vendor, e.g. `Hyper Hash`.
    pub vendor: String,
    /// Hardware version.
    pub hardware: String,
    /// Firmware version.
    pub firmware: String,
    /// Serial number or the like.
    pub id: String,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            vendor: "hyperhash".to_owned(),
            hardware: "cpu".to_owned(),
            firmware: concat!("loadtest/", env!("CARGO_PKG_VERSION")).to_owned(),
            id: String::new(),
        }
    }
}

/// A channel to be opened.
#[derive(Clone, Debug)]
pub struct Open {
    /// `<address>[.<worker>]`.
    pub user_identity: String,
    /// Hashes per second.
    pub nominal_hash_rate: f32,
    /// The easiest target that the client will take, little endian.
    pub max_target: [u8; 32],
}

/// A channel that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The channel's number on the connection.
    pub channel_id: u32,
    /// The first target, little endian.
    pub target: [u8; 32],
    /// The fixed start of the extranonce; all of it on a standard channel.
    pub extranonce_prefix: Vec<u8>,
    /// Bytes that the client rolls; 0 on a standard channel.
    pub extranonce_size: u16,
    /// The group that the channel belongs to.
    pub group_channel_id: u32,
}

/// The conversation failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The pool could not be reached.
    #[error("cannot connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing came in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection failed.
    #[error("the conversation ended")]
    Transport(#[from] TransportError),
    /// A frame holds no message that SV2 knows.
    #[error("a message cannot be read: {0}")]
    Message(String),
    /// The pool refused, with its code.
    #[error("the pool refused with `{0}`")]
    Refused(String),
    /// The pool has answered all that it owes, and asks to connect again.
    #[error("the pool asks to connect again")]
    Reconnect,
    /// A message came that does not answer what was asked.
    #[error("an answer was expected, this came: {0}")]
    Unexpected(String),
    /// A text or byte string does not fit its field.
    #[error("a field is too long: {0}")]
    Field(String),
}

impl Client {
    /// Connects, plays the handshake and verifies the pool's certificate.
    ///
    /// # Errors
    ///
    /// When the pool cannot be reached in time or does not prove to hold its authority key.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self, ClientError> {
        within(CONNECT_TIMEOUT, async {
            let address = (endpoint.host.as_str(), endpoint.port);
            let stream = TcpStream::connect(address).await.map_err(|source| {
                ClientError::Connect { address: format!("{}:{}", address.0, address.1), source }
            })?;
            stream.set_nodelay(true).map_err(TransportError::from)?;
            let (reader, writer) = stream.into_split();
            let (reader, writer) = handshake(reader, writer, endpoint.authority.to_bytes()).await?;
            Ok(Self { reader: Reader(reader), writer: Writer(writer) })
        })
        .await
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Client<R, W> {
    /// A client on a connection whose handshake was played.
    pub const fn over(reader: FrameReader<R>, writer: FrameWriter<W>) -> Self {
        Self { reader: Reader(reader), writer: Writer(writer) }
    }

    /// Sends `SetupConnection` for mining with `flags` and waits for the answer.
    ///
    /// # Errors
    ///
    /// `Refused` with the code of `SetupConnection.Error`, or when the conversation fails.
    pub async fn setup(
        &mut self,
        device: &Device,
        flags: u32,
    ) -> Result<SetupConnectionSuccess, ClientError> {
        let message = SetupConnectionOwned {
            protocol: Protocol::MiningProtocol,
            min_version: VERSION,
            max_version: VERSION,
            flags,
            endpoint_host: text("")?,
            endpoint_port: 0,
            vendor: text(&device.vendor)?,
            hardware_version: text(&device.hardware)?,
            firmware: text(&device.firmware)?,
            device_id: text(&device.id)?,
        };
        self.send_any(AnyMessageOwned::Common(CommonMessagesOwned::SetupConnection(message)))
            .await?;
        let answer = within(ANSWER_TIMEOUT, self.next()).await?;
        if let AnyMessageOwned::Common(CommonMessagesOwned::SetupConnectionSuccess(success)) =
            answer
        {
            return Ok(success);
        }
        if let AnyMessageOwned::Common(CommonMessagesOwned::SetupConnectionError(error)) = answer {
            return Err(ClientError::Refused(error.error_code.as_utf8_or_hex()));
        }
        Err(unexpected(&answer))
    }

    /// Opens an extended channel whose miner rolls at least `min_extranonce_size` bytes.
    ///
    /// # Errors
    ///
    /// `Refused` with the code of `OpenMiningChannel.Error`, or when the conversation fails.
    pub async fn open_extended(
        &mut self,
        request_id: u32,
        open: &Open,
        min_extranonce_size: u16,
    ) -> Result<Opened, ClientError> {
        let message = OpenExtendedMiningChannelOwned {
            request_id,
            user_identity: text(&open.user_identity)?,
            nominal_hash_rate: open.nominal_hash_rate,
            max_target: target(open.max_target),
            min_extranonce_size,
        };
        self.send(MiningOwned::OpenExtendedMiningChannel(message)).await?;
        self.opened(request_id).await
    }

    /// Opens a standard channel.
    ///
    /// # Errors
    ///
    /// Those of [`Self::open_extended`].
    pub async fn open_standard(
        &mut self,
        request_id: u32,
        open: &Open,
    ) -> Result<Opened, ClientError> {
        let message = OpenStandardMiningChannelOwned {
            request_id,
            user_identity: text(&open.user_identity)?,
            nominal_hash_rate: open.nominal_hash_rate,
            max_target: target(open.max_target),
        };
        self.send(MiningOwned::OpenStandardMiningChannel(message)).await?;
        self.opened(request_id).await
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other message answers the opening")]
    async fn opened(&mut self, request: u32) -> Result<Opened, ClientError> {
        match within(ANSWER_TIMEOUT, self.next_mining()).await? {
            MiningOwned::OpenExtendedMiningChannelSuccess(success)
                if success.request_id == request =>
            {
                Ok(Opened {
                    channel_id: success.channel_id,
                    target: success.target.to_array(),
                    extranonce_prefix: success.extranonce_prefix.to_owned_bytes(),
                    extranonce_size: success.extranonce_size,
                    group_channel_id: success.group_channel_id,
                })
            }
            MiningOwned::OpenStandardMiningChannelSuccess(success)
                if success.request_id == request =>
            {
                Ok(Opened {
                    channel_id: success.channel_id,
                    target: success.target.to_array(),
                    extranonce_prefix: success.extranonce_prefix.to_owned_bytes(),
                    extranonce_size: 0,
                    group_channel_id: success.group_channel_id,
                })
            }
            MiningOwned::OpenMiningChannelError(error) if error.request_id == request => {
                Err(ClientError::Refused(error.error_code.as_utf8_or_hex()))
            }
            other => Err(unexpected(&AnyMessageOwned::Mining(other))),
        }
    }

    /// Takes the two directions apart, so that neither waits for the other.
    pub fn split(self) -> (Reader<R>, Writer<W>) {
        (self.reader, self.writer)
    }

    /// The next message of any protocol. May be cancelled; then nothing is lost.
    ///
    /// # Errors
    ///
    /// When the connection ends or a frame holds no message.
    pub async fn next(&mut self) -> Result<AnyMessageOwned, ClientError> {
        self.reader.next().await
    }

    /// The next mining message. May be cancelled; then nothing is lost.
    ///
    /// # Errors
    ///
    /// Those of [`Self::next`], `Reconnect` when the pool says so, and `Unexpected` for a message of
    /// another protocol.
    pub async fn next_mining(&mut self) -> Result<MiningOwned, ClientError> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other message is for a miner")]
        match self.next().await? {
            AnyMessageOwned::Mining(message) => Ok(message),
            AnyMessageOwned::Common(CommonMessagesOwned::Reconnect(_)) => {
                Err(ClientError::Reconnect)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a mining message.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn send(&mut self, message: MiningOwned) -> Result<(), ClientError> {
        self.send_any(AnyMessageOwned::Mining(message)).await
    }

    /// Sends any message.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn send_any(&mut self, message: AnyMessageOwned) -> Result<(), ClientError> {
        self.writer.send(message).await
    }

    /// Encrypts any bytes as if they were a frame (6 bytes of header first) and sends them.
    ///
    /// # Errors
    ///
    /// When there are fewer than 6 bytes, or the connection fails.
    pub async fn send_frame(&mut self, bytes: Vec<u8>) -> Result<(), ClientError> {
        Ok(self.writer.0.write_frame(Bytes(bytes)).await?)
    }

    /// Sends bytes that were never encrypted.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        Ok(self.writer.0.write_raw(bytes).await?)
    }

    /// Says goodbye on the level of TCP.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn close(mut self) -> Result<(), ClientError> {
        Ok(self.writer.0.shutdown().await?)
    }
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The next message of any protocol. Messages of extensions are passed over: none was agreed on.
    /// May be cancelled; then nothing is lost.
    ///
    /// # Errors
    ///
    /// When the connection ends or a frame holds no message.
    pub async fn next(&mut self) -> Result<AnyMessageOwned, ClientError> {
        loop {
            let mut frame = self.0.read_frame().await?;
            let header = frame.header();
            if header.ext_type_without_channel_msg() != 0 {
                continue;
            }
            return AnyMessage::try_from((header, frame.payload()))
                .map(AnyMessage::into_owned)
                .map_err(|error| ClientError::Message(format!("{error:?}")));
        }
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Sends any message.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn send(&mut self, message: AnyMessageOwned) -> Result<(), ClientError> {
        let frame: MessageFrame<AnyMessageOwned> =
            message.try_into().map_err(|error| ClientError::Message(format!("{error:?}")))?;
        Ok(self.0.write_frame(frame).await?)
    }
}

/// A frame as bytes, whatever they say.
struct Bytes(Vec<u8>);

impl EncodableFrame for Bytes {
    fn encoded_length(&self) -> usize {
        self.0.len()
    }

    fn encode_into(self, to: &mut [u8]) -> Result<(), framing_sv2::Error> {
        let (expected, actual) = (self.0.len(), to.len());
        if expected != actual {
            return Err(framing_sv2::Error::UnexpectedDestinationLength { expected, actual });
        }
        to.copy_from_slice(&self.0);
        Ok(())
    }
}

/// A text field of a message.
///
/// # Errors
///
/// `Field` when it is longer than 255 bytes.
pub fn text(content: &str) -> Result<Str0255Owned, ClientError> {
    content.to_owned().try_into().map_err(|error| ClientError::Field(format!("{error:?}")))
}

fn target(bytes: [u8; 32]) -> U256Owned {
    bytes.into()
}

fn unexpected(message: &AnyMessageOwned) -> ClientError {
    ClientError::Unexpected(message.to_string().chars().take(200).collect())
}

async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, answer).await.unwrap_or(Err(ClientError::TimedOut(limit)))
}
