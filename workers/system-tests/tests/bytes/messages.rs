//! Stratum V2, after decryption.

use ingress::{
    domain::closing::Closing,
    testing::{
        desk::Counter,
        work::{ADDRESS, Chain, TRIVIAL, at, rules},
    },
};
use ingress_sv2::{
    domain::connection::{Connection, Outbox},
    wire::{self, Inbound},
};
use std::sync::Arc;
use stratum_core::{
    framing_sv2::header::Header,
    mining_sv2::{MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, MESSAGE_TYPE_SUBMIT_SHARES_STANDARD},
    parsers_sv2::{AnyMessage, Mining},
};
use subjects::{
    sessions::NetworkClass,
    shares::{JobKind, MAX_EXTRANONCE_LENGTH},
};

/// Frames of one input.
const MAX_FRAMES: usize = 64;
/// What one message may make an ingress send: three channels' jobs.
const MAX_ANSWER: usize = 16_384;
/// In place of a message's type: something else happens.
const EVENT: u8 = 0xff;

/// A header for a payload: extension, type, length.
fn header(extension: [u8; 2], kind: u8, length: usize) -> Header {
    let [a, b] = extension;
    let [x, y, z, _] = u32::try_from(length).unwrap().to_le_bytes();
    Header::from_bytes(&[a, b, kind, x, y, z]).unwrap()
}

/// A frame (extension, type, payload) is read or refused, and a share as the library reads it.
pub fn v2_frame(data: &[u8]) {
    let [a, b, kind, payload @ ..] = data else { return };
    let header = header([*a, *b], *kind, payload.len());
    let mut bytes = payload.to_vec();
    let ours = wire::read(header, &mut bytes);
    let is_share =
        [MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, MESSAGE_TYPE_SUBMIT_SHARES_STANDARD].contains(kind);
    if !is_share || header.ext_type_without_channel_msg() != 0 {
        return;
    }
    let mut copy = payload.to_vec();
    let Ok(theirs) = Mining::try_from((*kind, copy.as_mut_slice())) else { return };
    let wanted = as_read(&theirs);
    assert!(wanted.2.len() <= MAX_EXTRANONCE_LENGTH);
    let Ok(Inbound::Share(share)) = ours else { panic!("the library reads it: {theirs:?}") };
    let numbers = [
        share.channel_id,
        share.sequence_number,
        share.job_id,
        share.nonce,
        share.ntime,
        share.version,
    ];
    assert_eq!((share.kind, numbers, share.extranonce.to_vec()), wanted);
}

/// A share as the library has read it.
fn as_read(message: &Mining<'_>) -> (JobKind, [u32; 6], Vec<u8>) {
    if let Mining::SubmitSharesExtended(share) = message {
        let numbers = [
            share.channel_id,
            share.sequence_number,
            share.job_id,
            share.nonce,
            share.ntime,
            share.version,
        ];
        return (JobKind::Extended, numbers, share.extranonce.as_ref().to_vec());
    }
    let Mining::SubmitSharesStandard(share) = message else { panic!("no share: {message:?}") };
    let numbers = [
        share.channel_id,
        share.sequence_number,
        share.job_id,
        share.nonce,
        share.ntime,
        share.version,
    ];
    (JobKind::Standard, numbers, Vec::new())
}

/// Messages of a client (type, length in two bytes, payload), and events between them: type 255,
/// where the length's low byte says which. An input whose first byte is odd begins on a connection
/// with an open channel.
pub fn v2_connection(data: &[u8]) {
    let Some((start, mut rest)) = data.split_first() else { return };
    let mut client = Client::new();
    if start % 2 == 1 {
        assert!(client.hears(0x00, &setup()) && client.hears(0x13, &open()));
    }
    for _ in 0..MAX_FRAMES {
        let [kind, low, high, after @ ..] = rest else { break };
        let goes_on = if *kind == EVENT {
            rest = after;
            client.meets(*low)
        } else {
            let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
            let (payload, after) = after.split_at(length);
            rest = after;
            client.hears(*kind, payload)
        };
        if !goes_on {
            break;
        }
    }
    client.ends();
}

struct Client {
    chain: Chain,
    connection: Connection,
    desk: Counter,
    most: usize,
    secs: u64,
}

impl Client {
    fn new() -> Self {
        let (chain, rules) = (Chain::new(TRIVIAL), Arc::new(rules()));
        let (most, class) = (rules.max_unacknowledged, NetworkClass::PublicV4);
        let connection = Connection::new(rules, class, chain.work(), at(0));
        Self { chain, connection, desk: Counter::default(), most, secs: 0 }
    }

    /// Whether the connection goes on.
    fn hears(&mut self, kind: u8, payload: &[u8]) -> bool {
        // What does not want input is not given any.
        if !self.connection.wants_input() {
            return true;
        }
        let (mut out, mut bytes) = (Outbox::default(), payload.to_vec());
        let header = header([0, 0], kind, payload.len());
        let Ok(message) = wire::read(header, &mut bytes) else { return false };
        let ended = self.connection.receive(message, at(self.secs), &mut self.desk, &mut out);
        self.check(&out);
        ended.is_ok()
    }

    fn meets(&mut self, event: u8) -> bool {
        let mut out = Outbox::default();
        let mut goes_on = true;
        match event % 5 {
            0..3 => {
                let work = match event % 5 {
                    0 => self.chain.next_block(),
                    1 => self.chain.refresh(),
                    _ => self.chain.prepare(),
                };
                self.desk.tips = work.tips;
                self.connection.follow(work, at(self.secs), &mut out);
            }
            3 => {
                self.secs += 30;
                goes_on = self.connection.tick(at(self.secs), &mut out).is_ok();
            }
            _ => {
                let waiting = self.connection.unacknowledged();
                self.connection.stored(waiting.min(1), &mut out);
                assert_eq!(self.connection.unacknowledged(), waiting.saturating_sub(1));
            }
        }
        self.check(&out);
        goes_on
    }

    fn ends(&mut self) {
        let mut out = Outbox::default();
        self.connection.end(Closing::Left, at(self.secs), &mut self.desk, &mut out);
        assert_eq!(self.connection.channels(), 0);
        self.check(&out);
    }

    /// The library reads every frame of ours, and there are not too many.
    fn check(&self, out: &Outbox) {
        assert!(self.connection.unacknowledged() <= self.most);
        assert!(self.connection.channels() <= 3);
        let mut all = 0;
        for frame in out.frames.iter() {
            all += frame.len();
            let mut bytes = frame.to_vec();
            let header = Header::from_bytes(&bytes).unwrap();
            let payload = &mut bytes[Header::SIZE..];
            assert_eq!(header.payload_length(), payload.len());
            assert!(AnyMessage::try_from((header, payload)).is_ok());
        }
        assert!(all <= MAX_ANSWER, "{all} bytes for one message");
    }
}

fn text(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

/// `SetupConnection` for mining, version 2.
pub fn setup() -> Vec<u8> {
    let numbers = [0, 2, 0, 2, 0, 4, 0, 0, 0];
    let host = [text("pool.example"), vec![0, 1]].concat();
    [&numbers[..], &host, &text("a"), &text("b"), &text("c"), &text("")].concat()
}

/// `OpenExtendedMiningChannel` for an address of the tests' network.
pub fn open() -> Vec<u8> {
    let rate = 1_000.0_f32.to_le_bytes();
    [&[1, 0, 0, 0], &text(ADDRESS)[..], &rate, &[0xff; 32], &[8, 0]].concat()
}
