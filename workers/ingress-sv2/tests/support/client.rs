//! A client of the mining protocol: builds messages with the library, reads our frames with the
//! library, and mines with `bitcoin`'s own hashes.

use stratum_core::{
    binary_sv2::{B032Owned, Str0255Owned, U256Owned},
    bitcoin::{
        Target,
        hashes::{Hash, sha256d},
    },
    codec_sv2::{EncodableFrame, MessageFrame, SerializedFrame},
    common_messages_sv2::{Protocol, SetupConnectionOwned},
    framing_sv2::header::Header,
    mining_sv2::{
        CloseChannelOwned, NewExtendedMiningJobOwned, NewMiningJobOwned,
        OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned, SubmitSharesExtendedOwned,
        SubmitSharesStandard, UpdateChannelOwned,
    },
    parsers_sv2::{AnyMessage, AnyMessageOwned, CommonMessagesOwned, MiningOwned},
};

/// The easiest target: every client takes it.
pub const ANY_TARGET: [u8; 32] = [0xff; 32];

pub fn text(text: &str) -> Str0255Owned {
    text.to_owned().try_into().unwrap()
}

pub fn setup() -> SetupConnectionOwned {
    SetupConnectionOwned {
        protocol: Protocol::MiningProtocol,
        min_version: 2,
        max_version: 2,
        flags: 0,
        endpoint_host: text("pool.example"),
        endpoint_port: 34_254,
        vendor: text("Bitaxe"),
        hardware_version: text("BM1370"),
        firmware: text("v2.15.0"),
        device_id: text(""),
    }
}

/// The reference implementation's translator, as it says itself.
pub fn translator() -> SetupConnectionOwned {
    SetupConnectionOwned {
        flags: 0b100,
        vendor: text("SRI"),
        hardware_version: text("Translator Proxy"),
        firmware: text(""),
        ..setup()
    }
}

pub fn setup_message(setup: SetupConnectionOwned) -> AnyMessageOwned {
    AnyMessageOwned::Common(CommonMessagesOwned::SetupConnection(setup))
}

/// The hashrate that exponent `k` suits at 12 shares a minute.
pub fn hash_rate(k: i32) -> f32 {
    2.0_f32.powi(k + 32) / 5.0
}

pub fn open_extended(request_id: u32, user: &str, k: i32) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::OpenExtendedMiningChannel(
        OpenExtendedMiningChannelOwned {
            request_id,
            user_identity: text(user),
            nominal_hash_rate: hash_rate(k),
            max_target: U256Owned::from(ANY_TARGET),
            min_extranonce_size: 8,
        },
    ))
}

pub fn open_standard(request_id: u32, user: &str, k: i32) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::OpenStandardMiningChannel(
        OpenStandardMiningChannelOwned {
            request_id,
            user_identity: text(user),
            nominal_hash_rate: hash_rate(k),
            max_target: U256Owned::from(ANY_TARGET),
        },
    ))
}

pub fn update(channel_id: u32, nominal_hash_rate: f32, target: [u8; 32]) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::UpdateChannel(UpdateChannelOwned {
        channel_id,
        nominal_hash_rate,
        maximum_target: U256Owned::from(target),
    }))
}

pub fn close(channel_id: u32) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::CloseChannel(CloseChannelOwned {
        channel_id,
        reason_code: text("test"),
    }))
}

pub fn submit(share: SubmitSharesExtendedOwned) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::SubmitSharesExtended(share))
}

/// A plain frame.
pub fn frame(message: AnyMessageOwned) -> Vec<u8> {
    let frame: MessageFrame<AnyMessageOwned> = message.try_into().unwrap();
    let mut bytes = vec![0; frame.encoded_length()];
    frame.encode_into(&mut bytes).unwrap();
    bytes
}

/// Reads a plain frame of ours.
pub fn read(frame: &[u8]) -> AnyMessageOwned {
    let mut frame = SerializedFrame::from_bytes(frame.to_vec()).unwrap();
    let header: Header = frame.header();
    let message: AnyMessage<'_> = (header, frame.payload()).try_into().unwrap();
    message.into_owned()
}

/// A channel as its client knows it.
#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub id: u32,
    pub group: u32,
    pub kind: Kind,
    pub prefix: Vec<u8>,
    pub rolled: usize,
    pub target: Option<Target>,
    /// Jobs that wait for a tip.
    pub future: Vec<Job>,
    /// Jobs on the tip, newest last.
    pub active: Vec<Job>,
    pub prevhash: [u8; 32],
    pub nbits: u32,
}

/// What may be sent to a channel itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Extended,
    Standard,
}

/// A job as its client knows it.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: u32,
    /// The extranonce prefix in force when it was sent.
    pub prefix: Vec<u8>,
    pub version: u32,
    pub min_ntime: u32,
    pub work: Searched,
}

/// What is hashed.
#[derive(Clone, Debug)]
pub enum Searched {
    Extended { head: Vec<u8>, tail: Vec<u8>, path: Vec<[u8; 32]> },
    Standard { root: [u8; 32] },
}

fn array(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap()
}

impl Channel {
    /// Takes a message that may concern this channel; `false` when it does not.
    pub fn hear(&mut self, message: &AnyMessageOwned) -> bool {
        let AnyMessageOwned::Mining(message) = message else { return false };
        let is_ours = |id: u32| id == self.id || id == self.group;
        match message {
            MiningOwned::OpenExtendedMiningChannelSuccess(opened) if self.id == 0 => {
                self.opened(opened.channel_id, opened.group_channel_id, &opened.extranonce_prefix);
                self.rolled = opened.extranonce_size.into();
                self.target = Some(Target::from_le_bytes(array(opened.target.as_ref())));
            }
            MiningOwned::OpenStandardMiningChannelSuccess(opened) if self.id == 0 => {
                self.opened(opened.channel_id, opened.group_channel_id, &opened.extranonce_prefix);
                self.kind = Kind::Standard;
                self.target = Some(Target::from_le_bytes(array(opened.target.as_ref())));
            }
            MiningOwned::NewExtendedMiningJob(job) if is_ours(job.channel_id) => {
                let to_us = job.channel_id == self.id;
                assert!(!to_us || self.kind == Kind::Extended, "an extended job: {job}");
                let min_ntime = job.min_ntime.clone().into_inner();
                self.add(min_ntime, Job::extended(job, &self.prefix));
            }
            MiningOwned::NewMiningJob(job) if job.channel_id == self.id => {
                assert_eq!(self.kind, Kind::Standard, "a standard job: {job}");
                let min_ntime = job.min_ntime.clone().into_inner();
                self.add(min_ntime, Job::standard(job, &self.prefix));
            }
            MiningOwned::SetNewPrevHash(tip) if is_ours(tip.channel_id) => {
                let place = self.future.iter().position(|job| job.id == tip.job_id).unwrap();
                let job = Job { min_ntime: tip.min_ntime, ..self.future.swap_remove(place) };
                self.active = vec![job];
                self.future.clear();
                self.prevhash = array(tip.prev_hash.as_ref());
                self.nbits = tip.nbits;
            }
            MiningOwned::SetTarget(target) if is_ours(target.channel_id) => {
                let bytes = array(target.maximum_target.as_ref());
                self.target = Some(Target::from_le_bytes(bytes));
            }
            MiningOwned::SetGroupChannel(set)
                if set.channel_ids.iter().any(|id| *id == self.id) =>
            {
                self.group = set.group_channel_id;
            }
            MiningOwned::SetExtranoncePrefix(set) if set.channel_id == self.id => {
                self.prefix = set.extranonce_prefix.as_ref().to_vec();
            }
            _ => return false,
        }
        true
    }

    fn opened(&mut self, id: u32, group: u32, prefix: &B032Owned) {
        (self.id, self.group) = (id, group);
        self.prefix = prefix.as_ref().to_vec();
    }

    /// No two jobs that may be worked on have one id.
    fn add(&mut self, min_ntime: Option<u32>, job: Job) {
        let mut known = self.active.iter().chain(&self.future);
        assert!(known.all(|other| other.id != job.id), "job {} again", job.id);
        if min_ntime.is_some() { self.active.push(job) } else { self.future.push(job) }
    }

    pub fn current(&self) -> &Job {
        self.active.last().unwrap()
    }

    /// A share of `job` that meets the channel's present target, searched from `nonce` on.
    pub fn mine(&self, job: &Job, nonce: u32) -> SubmitSharesExtendedOwned {
        self.search(job, nonce, |hash| self.target.unwrap().is_met_by(hash))
    }

    /// A share of `job` that misses its target.
    pub fn miss(&self, job: &Job, nonce: u32) -> SubmitSharesExtendedOwned {
        self.search(job, nonce, |hash| !self.target.unwrap().is_met_by(hash))
    }

    fn search(
        &self,
        job: &Job,
        nonce: u32,
        wanted: impl Fn(stratum_core::bitcoin::BlockHash) -> bool,
    ) -> SubmitSharesExtendedOwned {
        let extranonce = vec![0xee; self.rolled];
        let root = self.root(job, &extranonce);
        let found = |nonce: &u32| wanted(self.header_hash(job, root, *nonce));
        SubmitSharesExtendedOwned {
            channel_id: self.id,
            sequence_number: 0,
            job_id: job.id,
            nonce: (nonce..=u32::MAX).find(found).unwrap(),
            ntime: job.min_ntime,
            version: job.version,
            extranonce: extranonce.try_into().unwrap(),
        }
    }

    fn root(&self, job: &Job, extranonce: &[u8]) -> [u8; 32] {
        match &job.work {
            Searched::Standard { root } => *root,
            Searched::Extended { head, tail, path } => {
                let coinbase = [head.as_slice(), &job.prefix, extranonce, tail].concat();
                path.iter().fold(sha256d::Hash::hash(&coinbase).to_byte_array(), |left, right| {
                    sha256d::Hash::hash(&[left, *right].concat()).to_byte_array()
                })
            }
        }
    }

    fn header_hash(
        &self,
        job: &Job,
        root: [u8; 32],
        nonce: u32,
    ) -> stratum_core::bitcoin::BlockHash {
        let header = [
            job.version.to_le_bytes().as_slice(),
            &self.prevhash,
            &root,
            &job.min_ntime.to_le_bytes(),
            &self.nbits.to_le_bytes(),
            &nonce.to_le_bytes(),
        ]
        .concat();
        stratum_core::bitcoin::BlockHash::from_raw_hash(sha256d::Hash::hash(&header))
    }
}

impl Job {
    fn standard(job: &NewMiningJobOwned, prefix: &[u8]) -> Self {
        Self {
            id: job.job_id,
            prefix: prefix.to_vec(),
            version: job.version,
            min_ntime: job.min_ntime.clone().into_inner().unwrap_or(0),
            work: Searched::Standard { root: array(job.merkle_root.as_ref()) },
        }
    }

    fn extended(job: &NewExtendedMiningJobOwned, prefix: &[u8]) -> Self {
        let path = job.merkle_path.iter().map(|node| array(node.as_ref()));
        Self {
            id: job.job_id,
            prefix: prefix.to_vec(),
            version: job.version,
            min_ntime: job.min_ntime.clone().into_inner().unwrap_or(0),
            work: Searched::Extended {
                head: job.coinbase_tx_prefix.as_ref().to_vec(),
                tail: job.coinbase_tx_suffix.as_ref().to_vec(),
                path: path.collect(),
            },
        }
    }

    /// The exponent that the coinbase commits to: the byte before the extranonce.
    pub fn exponent(&self) -> Option<i8> {
        match &self.work {
            Searched::Extended { head, .. } => Some(i8::from_be_bytes([*head.last().unwrap()])),
            Searched::Standard { .. } => None,
        }
    }
}

/// The same share as a standard channel's client sends it.
pub fn standard(share: &SubmitSharesExtendedOwned) -> AnyMessageOwned {
    AnyMessageOwned::Mining(MiningOwned::SubmitSharesStandard(SubmitSharesStandard {
        channel_id: share.channel_id,
        sequence_number: share.sequence_number,
        job_id: share.job_id,
        nonce: share.nonce,
        ntime: share.ntime,
        version: share.version,
    }))
}
