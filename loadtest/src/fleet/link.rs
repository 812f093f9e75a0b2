//! One connection of a fleet: frames are sealed and opened without an allocation each, and many
//! of them travel in one write.

use key_utils::{Secp256k1PublicKey, Secp256k1SecretKey};
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use stratum_core::{
    codec_sv2::{EncodableFrame as _, MessageFrame},
    framing_sv2::header::Header,
    noise_sv2::{
        AEAD_MAC_LEN, ELLSWIFT_ENCODING_SIZE, INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE, Initiator,
        NoiseDecryptor, NoiseEncryptor, NoiseEngine, Responder,
    },
    parsers_sv2::AnyMessageOwned,
};
use stratum_v2::{MAX_FRAME_BYTES, TransportError, client::ClientError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Bytes read from the socket at once.
const READ_SIZE: usize = 8_192;
/// Bytes of a header that is sealed.
const SEALED_HEADER: usize = Header::SIZE + AEAD_MAC_LEN;
/// How long the certificate of a pool of ours is valid: it matters at the handshake only.
const CERTIFICATE: Duration = Duration::from_secs(3_600);
/// What the buffers keep of their memory between uses.
const KEPT_CAPACITY: usize = 2_048;

pub(crate) struct Link {
    stream: TcpStream,
    encryptor: NoiseEncryptor,
    decryptor: NoiseDecryptor,
    /// The header of the frame whose payload is still on its way.
    header: Option<Header>,
    received: Vec<u8>,
    handled: usize,
    unsent: Vec<u8>,
    sent: usize,
    /// What is being sealed or was opened last.
    plain: Vec<u8>,
}

fn broken(what: &impl std::fmt::Debug) -> TransportError {
    TransportError::Codec(format!("{what:?}"))
}

impl Link {
    /// Connects and plays the initiator's part.
    pub(crate) async fn open(
        address: SocketAddr,
        from: Option<Ipv4Addr>,
        key: [u8; 32],
    ) -> Result<Self, ClientError> {
        let refused = |source| ClientError::Connect { address: address.to_string(), source };
        let mut stream = super::dial(address, from).await.map_err(refused)?;
        let mut initiator = Initiator::from_raw_k(key).map_err(|error| broken(&error))?;
        let first = initiator.step_0().map_err(|error| broken(&error))?;
        stream.write_all(&first).await.map_err(TransportError::from)?;
        let mut second = [0; INITIATOR_EXPECTED_HANDSHAKE_MESSAGE_SIZE];
        stream.read_exact(&mut second).await.map_err(TransportError::from)?;
        let refused = |error| TransportError::Authority(format!("{error:?}"));
        Ok(Self::over(stream, initiator.step_2(second).map_err(refused)?))
    }

    /// Plays the responder's part, with this secret key.
    pub(crate) async fn accept(mut stream: TcpStream, secret: &str) -> Result<Self, ClientError> {
        stream.set_nodelay(true).map_err(TransportError::from)?;
        let secret: Secp256k1SecretKey = secret.parse().map_err(|error| broken(&error))?;
        let public = Secp256k1PublicKey::from(secret).into_bytes();
        let mut responder =
            Responder::from_authority_kp(&public, &secret.into_bytes(), CERTIFICATE)
                .map_err(|error| broken(&error))?;
        let mut first = [0; ELLSWIFT_ENCODING_SIZE];
        stream.read_exact(&mut first).await.map_err(TransportError::from)?;
        let (second, engine) = responder.step_1(first).map_err(|error| broken(&error))?;
        stream.write_all(&second).await.map_err(TransportError::from)?;
        Ok(Self::over(stream, engine))
    }

    fn over(stream: TcpStream, engine: NoiseEngine) -> Self {
        let (encryptor, decryptor) = engine.into_split();
        Self {
            stream,
            encryptor,
            decryptor,
            header: None,
            received: Vec::new(),
            handled: 0,
            unsent: Vec::new(),
            sent: 0,
            plain: Vec::new(),
        }
    }

    /// Seals a plain frame, header and payload, behind what waits to be sent.
    pub(crate) fn seal(&mut self, frame: &[u8]) -> Result<(), TransportError> {
        let (header, payload) = frame.split_at(Header::SIZE.min(frame.len()));
        for piece in [header, payload] {
            self.plain.clear();
            self.plain.extend_from_slice(piece);
            self.encryptor.encrypt(&mut self.plain).map_err(|error| broken(&error))?;
            self.unsent.extend_from_slice(&self.plain);
        }
        Ok(())
    }

    /// Seals a message.
    pub(crate) fn say(&mut self, message: AnyMessageOwned) -> Result<(), ClientError> {
        let wrong = |error| ClientError::Message(format!("{error:?}"));
        let frame: MessageFrame<AnyMessageOwned> = message.try_into().map_err(wrong)?;
        let mut bytes = vec![0; frame.encoded_length()];
        frame.encode_into(&mut bytes).map_err(|error| broken(&error))?;
        Ok(self.seal(&bytes)?)
    }

    /// Waits until there is something to read. May be cancelled.
    pub(crate) async fn readable(&self) {
        // A socket that fails is readable: the next read says how.
        drop(self.stream.readable().await);
    }

    /// Waits until something can be sent. May be cancelled.
    pub(crate) async fn writable(&self) {
        drop(self.stream.writable().await);
    }

    /// Bytes that wait to be sent.
    pub(crate) const fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Takes what the socket has.
    pub(crate) fn receive(&mut self) -> Result<(), TransportError> {
        let mut bytes = [0; READ_SIZE];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => Err(TransportError::Closed),
            Ok(count) => {
                self.received.extend(bytes.iter().take(count));
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends as much as the socket takes now.
    pub(crate) fn send(&mut self) -> Result<(), TransportError> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match self.stream.try_write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        self.unsent.clear();
        self.unsent.shrink_to(KEPT_CAPACITY);
        self.sent = 0;
        Ok(())
    }

    /// Sends at most so many bytes, and waits until they are gone.
    pub(crate) async fn drip(&mut self, most: usize) -> Result<(), TransportError> {
        let end = self.unsent.len().min(self.sent + most);
        while let Some(rest) = self.unsent.get(self.sent..end).filter(|rest| !rest.is_empty()) {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends everything, however long the peer takes to read it.
    pub(crate) async fn flush(&mut self) -> Result<(), TransportError> {
        self.send()?;
        while self.unsent() > 0 {
            self.writable().await;
            self.send()?;
        }
        Ok(())
    }

    /// Opens the next frame that has come; its payload follows.
    pub(crate) fn next(&mut self) -> Result<Option<(Header, &mut [u8])>, TransportError> {
        let header = match self.header {
            Some(header) => header,
            None => {
                if !self.unseal(SEALED_HEADER)? {
                    return Ok(None);
                }
                Header::from_bytes(&self.plain).map_err(|error| broken(&error))?
            }
        };
        self.header = Some(header);
        let length = header.payload_length();
        if length > MAX_FRAME_BYTES {
            return Err(TransportError::TooLong);
        }
        if length > 0 && !self.unseal(length + AEAD_MAC_LEN)? {
            return Ok(None);
        }
        self.header = None;
        Ok(Some((header, self.plain.get_mut(..length).unwrap_or_default())))
    }

    /// Decrypts the next bytes into `plain`; `false` when they have not all come.
    fn unseal(&mut self, length: usize) -> Result<bool, TransportError> {
        let Some(sealed) = self.received.get(self.handled..self.handled + length) else {
            self.received.drain(..self.handled);
            self.received.shrink_to(KEPT_CAPACITY);
            self.handled = 0;
            return Ok(false);
        };
        self.plain.clear();
        self.plain.extend_from_slice(sealed);
        self.handled += length;
        self.decryptor.decrypt(&mut self.plain).map_err(|error| broken(&error))?;
        Ok(true)
    }
}
