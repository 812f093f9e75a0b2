//! A pool on a socket.

use super::messages::{Offer, job, tip};
use std::time::Duration;
use stratum_core::{
    codec_sv2::{
        Decoded, Decrypted, Handshake, MessageFrame, NoiseDecoder, NoiseEncoder,
        TransportDecryptState, TransportEncryptState,
    },
    common_messages_sv2::{ReconnectOwned, SetupConnectionSuccess},
    mining_sv2::{OpenExtendedMiningChannelOwned, SubmitSharesExtendedOwned},
    noise_sv2::Responder,
    parsers_sv2::{AnyMessage, AnyMessageOwned, CommonMessagesOwned, MiningOwned},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Nothing in a story takes longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The key pair of SRI's documentation.
const AUTHORITY: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";

/// A pool.
pub struct Pool {
    listener: TcpListener,
}

impl Pool {
    pub async fn listen() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// At a port that was free before.
    pub async fn at(port: u16) -> Self {
        Self { listener: TcpListener::bind(("127.0.0.1", port)).await.unwrap() }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub fn url(&self) -> String {
        format!("stratum2+tcp://127.0.0.1:{}/{AUTHORITY}", self.port())
    }

    /// The next connection, set up.
    pub async fn accept(&self) -> Link {
        let (stream, _) = timeout(DEADLINE, self.listener.accept()).await.unwrap().unwrap();
        let mut link = timeout(DEADLINE, Link::accept(stream)).await.unwrap();
        link.setup().await;
        link
    }
}

/// The pool's end of a connection.
pub struct Link {
    stream: TcpStream,
    decoder: NoiseDecoder,
    encoder: NoiseEncoder,
    decrypt: Option<TransportDecryptState>,
    encrypt: TransportEncryptState,
}

impl Link {
    async fn accept(mut stream: TcpStream) -> Self {
        let secret: key_utils::Secp256k1SecretKey = SECRET.parse().unwrap();
        let public = key_utils::Secp256k1PublicKey::from(secret);
        let valid = Duration::from_secs(60);
        let responder =
            Responder::from_authority_kp(&public.into_bytes(), &secret.into_bytes(), valid)
                .unwrap();
        let (mut decoder, mut encoder) = (NoiseDecoder::new(), NoiseEncoder::new());
        let first = loop {
            stream.read_exact(decoder.writable()).await.unwrap();
            if let Decoded::Frame(frame) = decoder.next_handshake_frame::<Responder>().unwrap() {
                break frame;
            }
        };
        let first = first.payload().try_into().unwrap();
        let (answer, transport) = Handshake::responder(responder).step_1(first).unwrap();
        stream.write_all(encoder.encode_handshake(answer).as_ref()).await.unwrap();
        let (encrypt, decrypt) = transport.split();
        Self { stream, decoder, encoder, decrypt: Some(decrypt), encrypt }
    }

    /// The next message; `None` when the translator has hung up.
    pub async fn next(&mut self) -> Option<AnyMessageOwned> {
        timeout(DEADLINE, self.read()).await.expect("the translator says something in time")
    }

    async fn read(&mut self) -> Option<AnyMessageOwned> {
        loop {
            self.stream.read_exact(self.decoder.writable()).await.ok()?;
            let state = self.decrypt.take().unwrap();
            match self.decoder.next_transport_frame(state).unwrap() {
                Decrypted::Frame(mut frame, state) => {
                    self.decrypt = Some(state);
                    let header = frame.header();
                    let message = AnyMessage::try_from((header, frame.payload())).unwrap();
                    return Some(message.into_owned());
                }
                Decrypted::Incomplete(_, state) => self.decrypt = Some(state),
            }
        }
    }

    pub async fn send(&mut self, message: MiningOwned) {
        self.send_any(AnyMessageOwned::Mining(message)).await;
    }

    async fn send_any(&mut self, message: AnyMessageOwned) {
        let frame: MessageFrame<AnyMessageOwned> = message.try_into().unwrap();
        let bytes = self.encoder.encode_transport(frame, &mut self.encrypt).unwrap();
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn setup(&mut self) {
        let Some(AnyMessageOwned::Common(CommonMessagesOwned::SetupConnection(_))) =
            self.next().await
        else {
            panic!("SetupConnection comes first")
        };
        let success = SetupConnectionSuccess { used_version: 2, flags: 0 };
        let success = CommonMessagesOwned::SetupConnectionSuccess(success);
        self.send_any(AnyMessageOwned::Common(success)).await;
    }

    /// Asks the translator to connect again, at this port of this host.
    pub async fn send_away(&mut self, host: &str, port: u16) {
        let new_host = host.to_owned().try_into().unwrap();
        let reconnect = ReconnectOwned { new_host, new_port: port };
        self.send_any(AnyMessageOwned::Common(CommonMessagesOwned::Reconnect(reconnect))).await;
    }

    /// The next mining message.
    pub async fn mining(&mut self) -> MiningOwned {
        match self.next().await {
            Some(AnyMessageOwned::Mining(message)) => message,
            other => panic!("a mining message was expected, not {other:?}"),
        }
    }

    /// The next opening of a channel.
    pub async fn asked(&mut self) -> OpenExtendedMiningChannelOwned {
        let MiningOwned::OpenExtendedMiningChannel(open) = self.mining().await else {
            panic!("a channel is opened next")
        };
        open
    }

    /// Opens the channel that is asked for, with a first job on a tip; whose it is.
    pub async fn open(&mut self, offer: &Offer, first_job: u32, prevhash: u8) -> String {
        let open = self.asked().await;
        self.send(offer.opened(&open)).await;
        self.send(job(offer.channel, first_job, None)).await;
        self.send(tip(offer.channel, first_job, prevhash)).await;
        open.user_identity.as_utf8_or_hex()
    }

    /// The next share.
    pub async fn share(&mut self) -> SubmitSharesExtendedOwned {
        let MiningOwned::SubmitSharesExtended(share) = self.mining().await else {
            panic!("a share comes next")
        };
        share
    }
}
