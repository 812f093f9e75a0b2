//! A miner with a real Noise session, and an ingress for it.

use super::client::{Channel, frame, open_extended, read, setup, setup_message};
use ingress::port::fake::Fake;
pub use ingress::testing::pool::{Bounds, PATIENCE, Pool};
use ingress_sv2::{noise::Authority, session::StratumV2};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use stratum_core::{
    codec_sv2::{
        Decoded, Decrypted, EncodableFrame, Handshake, InitiatorSent, NoiseDecoder, NoiseEncoder,
        TransportDecryptState, TransportEncryptState,
    },
    common_messages_sv2::SetupConnectionOwned,
    framing_sv2,
    mining_sv2::SubmitSharesExtendedOwned,
    noise_sv2::Initiator,
    parsers_sv2::AnyMessageOwned,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// A key pair that the specification's tools use in examples.
pub const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
pub const PUBLIC: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

/// Starts an ingress.
pub async fn start(bus: Fake, nbits: u32, bounds: Bounds) -> Pool {
    let authority = Authority::new(SECRET, Duration::from_secs(3_600)).unwrap();
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    Pool::start(bus, nbits, bounds, StratumV2 { listen, authority }).await
}

/// A miner on the other end of the socket, built on the library's codec.
pub struct Miner {
    pub stream: TcpStream,
    decoder: NoiseDecoder,
    encoder: NoiseEncoder,
    opener: Option<TransportDecryptState>,
    sealer: TransportEncryptState,
    pub channel: Channel,
}

/// Any bytes as a frame.
pub struct Raw(pub Vec<u8>);

impl EncodableFrame for Raw {
    fn encoded_length(&self) -> usize {
        self.0.len()
    }

    fn encode_into(self, place: &mut [u8]) -> Result<(), framing_sv2::Error> {
        place.copy_from_slice(&self.0);
        Ok(())
    }
}

impl Miner {
    /// Connects to an ingress.
    pub async fn of(pool: &Pool) -> Self {
        Self::connect(pool.connect().await).await
    }

    pub async fn connect(mut stream: TcpStream) -> Self {
        let public: key_utils::Secp256k1PublicKey = PUBLIC.parse().unwrap();
        let initiator = Initiator::from_raw_k(public.into_bytes()).unwrap();
        let (mut decoder, mut encoder) = (NoiseDecoder::new(), NoiseEncoder::new());
        let (first, sent) = Handshake::initiator(initiator).step_0().unwrap();
        stream.write_all(encoder.encode_handshake(first).as_ref()).await.unwrap();
        let second = loop {
            match decoder.next_handshake_frame::<InitiatorSent>().unwrap() {
                Decoded::Frame(second) => break second,
                Decoded::Incomplete(_) => {
                    let read = stream.read_exact(decoder.writable());
                    timeout(PATIENCE, read).await.unwrap().unwrap();
                }
            }
        };
        let transport = sent.step_2(second.payload().try_into().unwrap()).unwrap();
        let (sealer, opener) = transport.split();
        let channel = Channel::default();
        Self { stream, decoder, encoder, opener: Some(opener), sealer, channel }
    }

    /// Connects with a receive buffer of the least size.
    pub async fn connect_small(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(1_024).unwrap();
        Self::connect(socket.connect(address).await.unwrap()).await
    }

    pub fn sealed(&mut self, frame: impl EncodableFrame) -> Vec<u8> {
        self.encoder.encode_transport(frame, &mut self.sealer).unwrap()
    }

    pub async fn send_raw(&mut self, plain: Vec<u8>) {
        let sealed = self.sealed(Raw(plain));
        self.stream.write_all(&sealed).await.unwrap();
    }

    pub async fn send(&mut self, message: AnyMessageOwned) {
        self.send_raw(frame(message)).await;
    }

    /// The next message; `None` when the ingress has closed the connection.
    pub async fn hear(&mut self) -> Option<AnyMessageOwned> {
        loop {
            let read_exact = self.stream.read_exact(self.decoder.writable());
            timeout(PATIENCE, read_exact).await.expect("an answer in time").ok()?;
            let state = self.opener.take().unwrap();
            match self.decoder.next_transport_frame(state).unwrap() {
                Decrypted::Incomplete(_, state) => self.opener = Some(state),
                Decrypted::Frame(frame, state) => {
                    self.opener = Some(state);
                    let message = read(frame.as_bytes());
                    self.channel.hear(&message);
                    return Some(message);
                }
            }
        }
    }

    /// The next message, as text.
    pub async fn line(&mut self) -> String {
        let message = self.hear().await.expect("the connection is open");
        super::transcript::describe(&message)
    }

    /// Reads until the ingress closes the connection.
    pub async fn until_closed(&mut self) {
        while self.hear().await.is_some() {}
    }

    /// Sets up and opens an extended channel at exponent `k`.
    pub async fn open(&mut self, user: &str, k: i32) {
        self.open_as(setup(), user, k).await;
    }

    /// The same with the setup of another client.
    pub async fn open_as(&mut self, setup: SetupConnectionOwned, user: &str, k: i32) {
        self.send(setup_message(setup)).await;
        assert!(self.line().await.starts_with("SetupConnection.Success"));
        self.send(open_extended(1, user, k)).await;
        while self.channel.active.is_empty() {
            self.hear().await.expect("the connection is open");
        }
    }

    /// The `number`th good share of the current job.
    pub fn share(&self, number: u32) -> SubmitSharesExtendedOwned {
        let job = self.channel.current();
        SubmitSharesExtendedOwned {
            sequence_number: number,
            ..self.channel.mine(job, number << 20)
        }
    }
}
