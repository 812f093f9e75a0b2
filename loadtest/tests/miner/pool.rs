//! A pool, played step by step.

use mining::{
    Identity, Job, Judged, Network, Payee, Prefix, ShareFields, Target, TipWork, VERSION_MASK,
    WorkTemplate, coinbase::bip34_push, judge,
};
use std::time::Duration;
use stratum_core::{
    binary_sv2::Sv2OptionOwned,
    codec_sv2::{
        Decoded, Decrypted, Handshake, MessageFrame, NoiseDecoder, NoiseEncoder,
        TransportDecryptState, TransportEncryptState,
    },
    common_messages_sv2::SetupConnectionSuccess,
    mining_sv2::{
        NewExtendedMiningJobOwned, NewMiningJobOwned, OpenExtendedMiningChannelSuccessOwned,
        OpenStandardMiningChannelSuccessOwned, SetNewPrevHashOwned, SetTargetOwned,
        SubmitSharesErrorOwned, SubmitSharesSuccess,
    },
    noise_sv2::Responder,
    parsers_sv2::{AnyMessage, AnyMessageOwned, CommonMessagesOwned, MiningOwned},
};
use stratum_v2::Endpoint;
use subjects::{
    BlockHash, BootEpoch, Exponent, HexBytes, Lane, Sats, Timestamp,
    shares::{JobKind, Reason},
    templates::{CoinbaseRule, MerkleHash, New, Output, Tip},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Nothing in a story takes longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const ADDRESS: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
/// The key pair of SRI's documentation.
const AUTHORITY: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";
const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
/// Another key: of whoever sits in between.
const OTHER_SECRET: &str = "46WPtSJH9Mc1rNbRaWo6k2v6Bm8dc1FuCFxS2n6gFo7M27Ucu";

const CHANNEL_ID: u32 = 5;

pub(crate) struct Pool {
    listener: TcpListener,
    secret: String,
}

impl Pool {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, secret: SECRET.to_owned() }
    }

    /// A pool that does not hold the key that its miners expect.
    pub(crate) async fn impostor() -> Self {
        Self { secret: OTHER_SECRET.to_owned(), ..Self::listen().await }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let port = self.listener.local_addr().unwrap().port();
        format!("stratum2+tcp://127.0.0.1:{port}/{AUTHORITY}").parse().unwrap()
    }

    /// The next connection, after the handshake.
    pub(crate) async fn accept(&self) -> Link {
        let (stream, _) = timeout(DEADLINE, self.listener.accept()).await.unwrap().unwrap();
        timeout(DEADLINE, Link::accept(stream, &self.secret)).await.unwrap()
    }
}

/// The pool's end of a connection.
pub(crate) struct Link {
    stream: TcpStream,
    decoder: NoiseDecoder,
    encoder: NoiseEncoder,
    decrypt: Option<TransportDecryptState>,
    encrypt: TransportEncryptState,
}

impl Link {
    async fn accept(mut stream: TcpStream, secret: &str) -> Self {
        let secret: key_utils::Secp256k1SecretKey = secret.parse().unwrap();
        let public = key_utils::Secp256k1PublicKey::from(secret);
        let responder = Responder::from_authority_kp(
            &public.into_bytes(),
            &secret.into_bytes(),
            Duration::from_secs(60),
        )
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

    /// The next message; `None` when the miner has hung up.
    pub(crate) async fn next(&mut self) -> Option<AnyMessageOwned> {
        timeout(DEADLINE, self.read()).await.expect("the miner said nothing in time")
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

    pub(crate) async fn send(&mut self, message: MiningOwned) {
        self.send_any(AnyMessageOwned::Mining(message)).await;
    }

    async fn send_any(&mut self, message: AnyMessageOwned) {
        let frame: MessageFrame<AnyMessageOwned> = message.try_into().unwrap();
        let bytes = self.encoder.encode_transport(frame, &mut self.encrypt).unwrap();
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Takes `SetupConnection`, returns its flags.
    pub(crate) async fn setup(&mut self) -> u32 {
        let Some(AnyMessageOwned::Common(CommonMessagesOwned::SetupConnection(setup))) =
            self.next().await
        else {
            panic!("SetupConnection comes first")
        };
        let success = SetupConnectionSuccess { used_version: 2, flags: 0 };
        let success = CommonMessagesOwned::SetupConnectionSuccess(success);
        self.send_any(AnyMessageOwned::Common(success)).await;
        setup.flags
    }

    /// Opens the channel that the miner asks for.
    pub(crate) async fn open(&mut self, desk: &Desk) {
        let target = Target::of(desk.exponent).to_le_bytes().into();
        let prefix = desk.prefix.clone().try_into().unwrap();
        let Some(AnyMessageOwned::Mining(message)) = self.next().await else {
            panic!("a channel is opened next")
        };
        let answer = match message {
            MiningOwned::OpenExtendedMiningChannel(open) => {
                assert_eq!(open.user_identity.as_utf8_or_hex(), format!("{ADDRESS}.rig"));
                MiningOwned::OpenExtendedMiningChannelSuccess(
                    OpenExtendedMiningChannelSuccessOwned {
                        request_id: open.request_id,
                        channel_id: CHANNEL_ID,
                        target,
                        extranonce_size: 13,
                        extranonce_prefix: prefix,
                        group_channel_id: 1,
                    },
                )
            }
            MiningOwned::OpenStandardMiningChannel(open) => {
                MiningOwned::OpenStandardMiningChannelSuccess(
                    OpenStandardMiningChannelSuccessOwned {
                        request_id: open.request_id,
                        channel_id: CHANNEL_ID,
                        target,
                        extranonce_prefix: prefix,
                        group_channel_id: 1,
                    },
                )
            }
            other => panic!("a channel is opened next, not {other}"),
        };
        self.send(answer).await;
    }

    /// Sends a job to be activated, and the tip that does.
    pub(crate) async fn tip(&mut self, desk: &Desk, job: u32) {
        self.send(desk.job_message(job, None)).await;
        self.send(MiningOwned::SetNewPrevHash(SetNewPrevHashOwned {
            channel_id: CHANNEL_ID,
            job_id: job,
            prev_hash: desk.tip.prevhash().0.into(),
            min_ntime: desk.tip.min_ntime(),
            nbits: desk.tip.nbits(),
        }))
        .await;
    }

    pub(crate) async fn set_target(&mut self, exponent: Exponent) {
        let maximum_target = Target::of(exponent).to_le_bytes().into();
        let message = SetTargetOwned { channel_id: CHANNEL_ID, maximum_target };
        self.send(MiningOwned::SetTarget(message)).await;
    }

    /// The next share.
    pub(crate) async fn share(&mut self) -> Handed {
        match self.next().await {
            Some(AnyMessageOwned::Mining(MiningOwned::SubmitSharesExtended(share))) => Handed {
                job: share.job_id,
                sequence: share.sequence_number,
                extranonce: share.extranonce.to_owned_bytes(),
                ntime: share.ntime,
                nonce: share.nonce,
                version: share.version,
            },
            Some(AnyMessageOwned::Mining(MiningOwned::SubmitSharesStandard(share))) => Handed {
                job: share.job_id,
                sequence: share.sequence_number,
                extranonce: Vec::new(),
                ntime: share.ntime,
                nonce: share.nonce,
                version: share.version,
            },
            other => panic!("a share was expected, not {other:?}"),
        }
    }

    pub(crate) async fn acknowledge(&mut self, last: u32, count: u32) {
        self.send(MiningOwned::SubmitSharesSuccess(SubmitSharesSuccess {
            channel_id: CHANNEL_ID,
            last_sequence_number: last,
            new_submits_accepted_count: count,
            new_shares_sum: 0,
        }))
        .await;
    }

    pub(crate) async fn refuse(&mut self, sequence: u32, code: &str) {
        self.send(MiningOwned::SubmitSharesError(SubmitSharesErrorOwned {
            channel_id: CHANNEL_ID,
            sequence_number: sequence,
            error_code: code.to_owned().try_into().unwrap(),
        }))
        .await;
    }
}

/// A share that the miner handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) job: u32,
    pub(crate) sequence: u32,
    pub(crate) extranonce: Vec<u8>,
    pub(crate) ntime: u32,
    pub(crate) nonce: u32,
    pub(crate) version: u32,
}

/// What the pool knows of a channel: enough to judge.
pub(crate) struct Desk {
    work: WorkTemplate,
    pub(crate) tip: TipWork,
    payee: Payee,
    pub(crate) kind: JobKind,
    pub(crate) exponent: Exponent,
    prefix: Vec<u8>,
}

impl Desk {
    pub(crate) fn new(kind: JobKind, channel: u32) -> Self {
        let prefix = Prefix::new(Lane(300), BootEpoch(2), channel).unwrap();
        Self {
            work: WorkTemplate::new(template().id(), &template()).unwrap(),
            tip: tip(0x33),
            payee: *Identity::parse(ADDRESS, Network::Signet).unwrap().payee(),
            kind,
            exponent: Exponent::clamped(-24),
            prefix: match kind {
                JobKind::Extended => prefix.to_sv2().to_vec(),
                JobKind::Standard => prefix.to_standard().to_vec(),
            },
        }
    }

    fn job(&self) -> Job<'_> {
        Job {
            kind: self.kind,
            exponent: self.exponent,
            extranonce_prefix: &self.prefix,
            extranonce_length: 20,
            payee: &self.payee,
            version_mask: VERSION_MASK,
        }
    }

    pub(crate) fn job_message(&self, job_id: u32, min_ntime: Option<u32>) -> MiningOwned {
        let min_ntime = Sv2OptionOwned::new(min_ntime);
        match self.kind {
            JobKind::Standard => MiningOwned::NewMiningJob(NewMiningJobOwned {
                channel_id: CHANNEL_ID,
                job_id,
                min_ntime,
                version: self.work.version(),
                merkle_root: self.work.merkle_root(&self.job(), &[]).unwrap().into(),
            }),
            JobKind::Extended => {
                let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
                self.work.write_coinbase_prefix(&mut prefix, self.exponent, 20).unwrap();
                self.work.write_coinbase_suffix(&mut suffix, &self.payee);
                let path: Vec<_> =
                    self.work.merkle_path().iter().map(|node| (*node).into()).collect();
                MiningOwned::NewExtendedMiningJob(NewExtendedMiningJobOwned {
                    channel_id: CHANNEL_ID,
                    job_id,
                    min_ntime,
                    version: self.work.version(),
                    version_rolling_allowed: true,
                    merkle_path: path.try_into().unwrap(),
                    coinbase_tx_prefix: prefix.try_into().unwrap(),
                    coinbase_tx_suffix: suffix.try_into().unwrap(),
                })
            }
        }
    }

    pub(crate) fn judge(&self, share: &Handed) -> Result<Judged, Reason> {
        let fields = ShareFields {
            extranonce: &share.extranonce,
            ntime: share.ntime,
            nonce: share.nonce,
            version: share.version,
        };
        judge(&self.work, &self.tip, &self.job(), &fields)
    }
}

pub(crate) fn tip(prevhash: u8) -> TipWork {
    TipWork::new(&Tip {
        provider: "alpha".parse().unwrap(),
        session: Timestamp(1),
        prevhash: BlockHash([prevhash; 32]),
        height: 4_100,
        nbits: 0x1d00_ffff,
        min_ntime: 1_700_000_000,
        template: template().id(),
    })
    .unwrap()
}

fn template() -> New {
    let commitment = [vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], vec![0xc0; 32]].concat();
    New {
        provider: "alpha".parse().unwrap(),
        session: Timestamp(1),
        template: 1,
        height: 4_100,
        prevhash: None,
        subsidy: Sats::new(5_000_000_000).unwrap(),
        fees: Sats::new(12_345).unwrap(),
        version: 0x2000_0000,
        coinbase_prefix: HexBytes(bip34_push(4_100)),
        tx_version: 2,
        input_sequence: u32::MAX,
        locktime: 0,
        coinbase_outputs: vec![Output { value: Sats::ZERO, script: HexBytes(commitment) }],
        merkle_path: vec![MerkleHash([8; 32]), MerkleHash([9; 32])],
        coinbase_rule: CoinbaseRule {
            rules_version: mining::RULES_VERSION,
            treasury_script: HexBytes([vec![0x51, 0x20], vec![0x7e; 32]].concat()),
            tag: "/test/".to_owned(),
            version_mask: VERSION_MASK,
        },
    }
}
