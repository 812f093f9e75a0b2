//! Noise NX as Stratum V2 uses it (specification chapter 4), without I/O: the responder's handshake
//! and the encrypted frames after it.
//!
//! Frames are sealed and opened in place, in the buffers that the socket reads from and writes to.
//! The ciphers and the handshake are the library's; only the framing is ours, because the library's
//! codec allocates twice per frame and takes whatever length a peer declares.

use rand::rngs::OsRng;
use std::time::Duration;
use stratum_core::{
    buffer_sv2::AeadBuffer,
    framing_sv2::header::Header,
    noise_sv2::{
        AEAD_MAC_LEN, AeadError, ELLSWIFT_ENCODING_SIZE, INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE,
        NoiseDecryptor, NoiseEncryptor, Responder,
    },
};

/// Length of the initiator's first message: its ephemeral key in `ElligatorSwift` form.
pub const FIRST_ACT_LENGTH: usize = ELLSWIFT_ENCODING_SIZE;
/// Length of our answer: ephemeral key, static key and certificate.
pub const SECOND_ACT_LENGTH: usize = INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE;
/// Longest payload that a miner may send, in bytes. The longest message of the mining protocol that
/// we answer, `SetupConnection` with six full strings, has 1 545; the rest is room for extensions.
pub const MAX_PAYLOAD: usize = 16_384;

/// A sealed header: 6 bytes and their MAC.
const SEALED_HEADER: usize = Header::SIZE + AEAD_MAC_LEN;
/// Payloads are sealed in pieces of at most this many bytes, so that a piece and its MAC fit the
/// 65 535 bytes of a Noise message.
const MAX_PIECE: usize = 65_535 - AEAD_MAC_LEN;
/// A certificate is valid from this long before the handshake, for clients whose clock is behind,
/// or when ours is ahead: a wrong clock must send no miner away.
const CLOCK_SKEW: Duration = Duration::from_secs(3_600);

/// The key that signs this ingress's certificates, and for how long they hold.
#[derive(Clone)]
pub struct Authority {
    secret: key_utils::Secp256k1SecretKey,
    public: key_utils::Secp256k1PublicKey,
    validity: Duration,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("public", &self.public.to_string()).finish()
    }
}

/// What ends a session below the level of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoiseFault {
    /// The handshake's first act does not lead to a shared secret.
    #[error("the Noise handshake failed")]
    Handshake,
    /// A MAC does not match: the peer has other keys, or somebody changed bytes on the way.
    #[error("a frame is not authentic")]
    Forged,
    /// The declared length is above [`MAX_PAYLOAD`].
    #[error("a frame declares {0} bytes; at most {MAX_PAYLOAD} are read")]
    Oversized(usize),
}

impl From<AeadError> for NoiseFault {
    fn from(_: AeadError) -> Self {
        Self::Forged
    }
}

/// The text is not a base58check secp256k1 secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the authority key is not a base58check secp256k1 secret key")]
pub struct InvalidAuthorityKey;

impl Authority {
    /// Reads the secret key in its base58check form. `validity` counts from the handshake.
    ///
    /// # Errors
    ///
    /// When the text is not such a key; the text is not repeated.
    pub fn new(secret: &str, validity: Duration) -> Result<Self, InvalidAuthorityKey> {
        let secret: key_utils::Secp256k1SecretKey =
            secret.trim().parse().map_err(|_| InvalidAuthorityKey)?;
        Ok(Self { secret, public: secret.into(), validity })
    }

    /// The public key in the form that clients are configured with: base58check over the key
    /// version 1 and the x-only key (specification section 4.7).
    pub fn public(&self) -> String {
        self.public.to_string()
    }

    /// Answers the initiator's first act at `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// When no shared secret comes of it.
    pub fn accept(
        &self,
        first_act: [u8; FIRST_ACT_LENGTH],
        now: u64,
    ) -> Result<([u8; SECOND_ACT_LENGTH], Sealer, Opener), NoiseFault> {
        let validity = self.validity.saturating_add(CLOCK_SKEW);
        let mut responder = Responder::from_authority_kp_with_rng(
            &self.public.into_bytes(),
            &self.secret.into_bytes(),
            validity,
            &mut OsRng,
        )
        .map_err(|_| NoiseFault::Handshake)?;
        let valid_from =
            u32::try_from(now.saturating_sub(CLOCK_SKEW.as_secs())).unwrap_or(u32::MAX);
        let (second_act, engine) = responder
            .step_1_with_now_rng(first_act, valid_from, &mut OsRng)
            .map_err(|_| NoiseFault::Handshake)?;
        let (encryptor, decryptor) = engine.into_split();
        Ok((second_act, Sealer(encryptor), Opener::new(decryptor)))
    }
}

/// Encrypts what we send.
#[derive(Debug)]
pub struct Sealer(NoiseEncryptor);

impl Sealer {
    /// Appends one plain frame (header and payload) to `sealed`.
    ///
    /// # Errors
    ///
    /// When the cipher's nonces are used up, which takes 2^64 frames.
    pub fn seal(&mut self, frame: &[u8], sealed: &mut Vec<u8>) -> Result<(), NoiseFault> {
        let (header, payload) = frame.split_at(Header::SIZE.min(frame.len()));
        self.piece(header, sealed)?;
        for piece in payload.chunks(MAX_PIECE) {
            self.piece(piece, sealed)?;
        }
        Ok(())
    }

    fn piece(&mut self, plain: &[u8], sealed: &mut Vec<u8>) -> Result<(), NoiseFault> {
        let start = sealed.len();
        sealed.extend_from_slice(plain);
        Ok(self.0.encrypt(&mut Tail { bytes: sealed, start })?)
    }
}

/// Decrypts what a miner sends, from a buffer that may hold any part of any number of frames.
#[derive(Debug)]
pub struct Opener {
    cipher: NoiseDecryptor,
    /// The header of the frame whose payload is still on its way.
    header: Option<Header>,
}

/// An opened frame.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Type, extension and length.
    pub header: Header,
    /// The decrypted payload.
    pub payload: &'a mut [u8],
    /// How many bytes of the buffer the frame took; the next one begins there.
    pub taken: usize,
}

impl Opener {
    fn new(cipher: NoiseDecryptor) -> Self {
        Self { cipher, header: None }
    }

    /// Opens the next frame of `received`, in place; `None` when more bytes must come first.
    ///
    /// A header is opened once: when its payload is incomplete, the caller passes the same bytes
    /// again with more behind them.
    ///
    /// # Errors
    ///
    /// A [`NoiseFault`] ends the session: the cipher's nonce no longer follows the peer's.
    pub fn open<'a>(&mut self, received: &'a mut [u8]) -> Result<Option<Frame<'a>>, NoiseFault> {
        let Some((sealed_header, rest)) = received.split_at_mut_checked(SEALED_HEADER) else {
            return Ok(None);
        };
        let header = match self.header {
            Some(header) => header,
            None => self.open_header(sealed_header)?,
        };
        let sealed = sealed_length(header.payload_length());
        let Some(body) = rest.get_mut(..sealed) else {
            self.header = Some(header);
            return Ok(None);
        };
        self.header = None;
        if sealed > 0 {
            self.cipher.decrypt(&mut Window::new(body))?;
        }
        let payload = body.get_mut(..header.payload_length()).ok_or(NoiseFault::Forged)?;
        Ok(Some(Frame { header, payload, taken: SEALED_HEADER + sealed }))
    }

    fn open_header(&mut self, sealed: &mut [u8]) -> Result<Header, NoiseFault> {
        let mut plain = Window::new(sealed);
        self.cipher.decrypt(&mut plain)?;
        let header = Header::from_bytes(plain.as_ref()).map_err(|_| NoiseFault::Forged)?;
        if header.payload_length() > MAX_PAYLOAD {
            return Err(NoiseFault::Oversized(header.payload_length()));
        }
        Ok(header)
    }
}

/// Payloads up to [`MAX_PAYLOAD`] are a single piece.
const fn sealed_length(payload: usize) -> usize {
    if payload == 0 { 0 } else { payload + AEAD_MAC_LEN }
}

/// The bytes of a growing buffer from `start` on.
struct Tail<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
}

impl AsRef<[u8]> for Tail<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Tail<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }
}

impl AeadBuffer for Tail<'_> {
    fn extend_from_slice(&mut self, other: &[u8]) -> Result<(), AeadError> {
        self.bytes.extend_from_slice(other);
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        self.bytes.truncate(self.start.saturating_add(length));
    }
}

/// Bytes that only ever shrink: a sealed piece on its way to a plain one.
struct Window<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl<'a> Window<'a> {
    fn new(bytes: &'a mut [u8]) -> Self {
        Self { length: bytes.len(), bytes }
    }
}

impl AsRef<[u8]> for Window<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Window<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.length).unwrap_or_default()
    }
}

impl AeadBuffer for Window<'_> {
    fn extend_from_slice(&mut self, _: &[u8]) -> Result<(), AeadError> {
        Err(AeadError)
    }

    fn truncate(&mut self, length: usize) {
        self.length = length.min(self.length);
    }
}
