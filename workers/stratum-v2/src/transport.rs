//! Noise frames over any byte stream (SV2 sections 3.2 and 4.5).

use bytes::BytesMut;
use std::fmt;
use stratum_core::{
    codec_sv2::{
        self, Decoded, Decrypted, EncodableFrame, Handshake, HandshakeMessage, InitiatorSent,
        NoiseDecoder, NoiseEncoder, SerializedFrame, Transport, TransportDecryptState,
        TransportEncryptState,
    },
    noise_sv2::{self, INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE, Initiator},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest frame that is read, encrypted header included: mining messages fit 64 KiB.
pub const MAX_FRAME_BYTES: usize = 22 + 65_536 + 16;
/// What one read asks the socket for.
const READ_BYTES: usize = 4_096;

/// The connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The other side closed the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[source] std::io::Error),
    /// A frame is longer than allowed.
    #[error("a frame is longer than {MAX_FRAME_BYTES} bytes")]
    TooLong,
    /// Handshake, decryption or framing failed; a new handshake is needed.
    #[error("the encrypted stream is broken: {0}")]
    Codec(String),
    /// The pool's certificate was read and is refused.
    #[error("the pool's certificate is refused: it is out of date, or another key signed it")]
    Certificate(Certificate),
    /// The pool did not get as far as a certificate that could be read.
    #[error("the pool does not prove to hold the authority key: {0}")]
    Authority(String),
}

/// When a pool's certificate holds (SV2 section 4.5.3), in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// From then.
    pub valid_from: u32,
    /// Until then.
    pub not_valid_after: u32,
}

/// What is wrong with a certificate that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It holds later: the pool's clock is ahead, or ours is behind.
    NotYetValid,
    /// It held earlier: the pool did not renew it, or a clock is wrong.
    Expired,
    /// It holds now, so another key than the expected one signed it.
    OtherKey,
}

/// How far a client's clock may be off before a certificate is refused, in seconds.
const CLOCK_LEEWAY: u32 = 10;

impl Certificate {
    /// Why it was refused at `now`, in seconds since 1970.
    pub const fn refused_at(self, now: u32) -> Refused {
        if now < self.valid_from.saturating_sub(CLOCK_LEEWAY) {
            Refused::NotYetValid
        } else if now > self.not_valid_after.saturating_add(CLOCK_LEEWAY) {
            Refused::Expired
        } else {
            Refused::OtherKey
        }
    }
}

impl TransportError {
    fn codec(error: &impl fmt::Debug) -> Self {
        Self::Codec(format!("{error:?}"))
    }
}

impl From<std::io::Error> for TransportError {
    fn from(error: std::io::Error) -> Self {
        let ended = error.kind() == std::io::ErrorKind::UnexpectedEof;
        if ended { Self::Closed } else { Self::Io(error) }
    }
}

/// Reads frames. Every method may be cancelled; then nothing is lost.
pub struct FrameReader<R> {
    reader: R,
    buffer: BytesMut,
    decoder: NoiseDecoder,
    /// `None` after an error: the cipher no longer follows the stream.
    state: Option<TransportDecryptState>,
    /// Bytes taken for the frame that is being read.
    taken: usize,
}

/// Writes frames.
pub struct FrameWriter<W> {
    writer: W,
    encoder: NoiseEncoder,
    state: TransportEncryptState,
}

impl<R> fmt::Debug for FrameReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl<W> fmt::Debug for FrameWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter").finish_non_exhaustive()
    }
}

/// Plays the initiator's part of the Noise handshake and checks the pool's certificate against
/// its authority key and the host's clock.
///
/// # Errors
///
/// When the stream fails, or the certificate is not signed by `authority` or out of date.
pub async fn handshake<R, W>(
    reader: R,
    writer: W,
    authority: [u8; 32],
) -> Result<(FrameReader<R>, FrameWriter<W>), TransportError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    play(reader, writer, authority, Handshake::step_2).await
}

/// The same with `now` as the time, in seconds since 1970.
///
/// # Errors
///
/// Those of [`handshake`].
pub async fn handshake_at<R, W>(
    reader: R,
    writer: W,
    authority: [u8; 32],
    now: u32,
) -> Result<(FrameReader<R>, FrameWriter<W>), TransportError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    play(reader, writer, authority, |sent, answer| sent.step_2_with_now(answer, now)).await
}

type ActTwo = [u8; INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE];

async fn play<R, W>(
    mut reader: R,
    mut writer: W,
    authority: [u8; 32],
    check: impl FnOnce(Handshake<InitiatorSent>, ActTwo) -> codec_sv2::Result<Transport>,
) -> Result<(FrameReader<R>, FrameWriter<W>), TransportError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut decoder = NoiseDecoder::new();
    let mut encoder = NoiseEncoder::new();
    let initiator =
        Initiator::from_raw_k(authority).map_err(|error| TransportError::codec(&error))?;
    let (first, sent) =
        Handshake::initiator(initiator).step_0().map_err(|error| TransportError::codec(&error))?;
    writer.write_all(encoder.encode_handshake(first).as_ref()).await?;
    let answer = answer(&mut reader, &mut decoder).await?;
    let transport = check(sent, answer).map_err(|error| refused(&error))?;
    let (encrypt, decrypt) = transport.split();
    let buffer = BytesMut::with_capacity(READ_BYTES);
    let reader = FrameReader { reader, buffer, decoder, state: Some(decrypt), taken: 0 };
    Ok((reader, FrameWriter { writer, encoder, state: encrypt }))
}

fn refused(error: &codec_sv2::Error) -> TransportError {
    if let codec_sv2::Error::NoiseSv2Error(noise_sv2::Error::InvalidCertificate(shown)) = error {
        let (valid_from, not_valid_after) = (shown.valid_from, shown.not_valid_after);
        return TransportError::Certificate(Certificate { valid_from, not_valid_after });
    }
    TransportError::Authority(error.to_string())
}

async fn answer<R: AsyncRead + Unpin>(
    reader: &mut R,
    decoder: &mut NoiseDecoder,
) -> Result<ActTwo, TransportError> {
    loop {
        reader.read_exact(decoder.writable()).await?;
        let decoded = decoder.next_handshake_frame::<InitiatorSent>();
        match decoded.map_err(|error| TransportError::codec(&error))? {
            Decoded::Frame(message) => return act_two(&message),
            Decoded::Incomplete(_) => {}
        }
    }
}

fn act_two(message: &HandshakeMessage) -> Result<ActTwo, TransportError> {
    message.payload().try_into().map_err(|error| TransportError::codec(&error))
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// The next frame. May be cancelled: bytes that were read stay in the reader's buffer.
    ///
    /// # Errors
    ///
    /// When the stream ends, fails or does not decrypt, or a frame is too long.
    pub async fn read_frame(&mut self) -> Result<SerializedFrame, TransportError> {
        loop {
            if let Some(frame) = self.advance()? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_BYTES);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Err(TransportError::Closed);
            }
        }
    }

    /// Decodes what is in the buffer: a frame, or `None` when more bytes are needed.
    fn advance(&mut self) -> Result<Option<SerializedFrame>, TransportError> {
        while self.buffer.len() >= self.decoder.writable_len() {
            let chunk = self.buffer.split_to(self.decoder.writable_len());
            self.taken += chunk.len();
            if self.taken > MAX_FRAME_BYTES {
                self.state = None;
                return Err(TransportError::TooLong);
            }
            self.decoder.writable().copy_from_slice(&chunk);
            let state = self.state.take().ok_or_else(broken)?;
            let decrypted = self.decoder.next_transport_frame(state);
            match decrypted.map_err(|error| TransportError::codec(&error))? {
                Decrypted::Frame(frame, state) => {
                    self.state = Some(state);
                    self.taken = 0;
                    return Ok(Some(frame));
                }
                Decrypted::Incomplete(_, state) => self.state = Some(state),
            }
        }
        Ok(None)
    }
}

fn broken() -> TransportError {
    TransportError::Codec("an earlier frame did not decrypt".to_owned())
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Encrypts and writes a frame.
    ///
    /// # Errors
    ///
    /// When the frame cannot be encoded or the socket fails.
    pub async fn write_frame(&mut self, frame: impl EncodableFrame) -> Result<(), TransportError> {
        let bytes = self
            .encoder
            .encode_transport(frame, &mut self.state)
            .map_err(|error| TransportError::codec(&error))?;
        Ok(self.writer.write_all(bytes.as_ref()).await?)
    }

    /// Writes bytes as they are, unencrypted: what a broken or hostile peer would send.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub async fn write_raw(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        Ok(self.writer.write_all(bytes).await?)
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub async fn shutdown(&mut self) -> Result<(), TransportError> {
        Ok(self.writer.shutdown().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_refused_for_the_clock_before_the_key() {
        let certificate = Certificate { valid_from: 1_000, not_valid_after: 2_000 };
        assert_eq!(certificate.refused_at(989), Refused::NotYetValid);
        assert_eq!(certificate.refused_at(990), Refused::OtherKey);
        assert_eq!(certificate.refused_at(2_010), Refused::OtherKey);
        assert_eq!(certificate.refused_at(2_011), Refused::Expired);
    }
}
