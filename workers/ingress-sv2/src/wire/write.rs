//! What we send: plain frames, one behind the other, in the order in which they must arrive.

use mining::{Payee, SV2_EXTRANONCE_LENGTH, Target, TipWork, WorkTemplate};
use stratum_core::{
    common_messages_sv2::{
        MESSAGE_TYPE_RECONNECT, MESSAGE_TYPE_SETUP_CONNECTION_ERROR,
        MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS,
    },
    extensions_sv2::{
        EXTENSION_TYPE_EXTENSIONS_NEGOTIATION, MESSAGE_TYPE_REQUEST_EXTENSIONS_ERROR,
        MESSAGE_TYPE_REQUEST_EXTENSIONS_SUCCESS,
    },
    framing_sv2::header::Header,
    mining_sv2::{
        MESSAGE_TYPE_CLOSE_CHANNEL, MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH,
        MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB, MESSAGE_TYPE_NEW_MINING_JOB,
        MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS, MESSAGE_TYPE_OPEN_MINING_CHANNEL_ERROR,
        MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS,
        MESSAGE_TYPE_SET_CUSTOM_MINING_JOB_ERROR, MESSAGE_TYPE_SET_EXTRANONCE_PREFIX,
        MESSAGE_TYPE_SET_GROUP_CHANNEL, MESSAGE_TYPE_SET_TARGET, MESSAGE_TYPE_SUBMIT_SHARES_ERROR,
        MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS, MESSAGE_TYPE_UPDATE_CHANNEL_ERROR,
    },
};
use subjects::Exponent;

/// The one version of the protocol that there is.
const PROTOCOL_VERSION: u16 = 2;
/// Marks messages about one channel, in the extension type of the header.
const CHANNEL_BIT: u16 = 0x8000;
/// Where the length stands in a header.
const LENGTH_AT: usize = 3;

/// Plain frames that wait to be sealed.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

/// What `Open…MiningChannel.Success` says.
#[derive(Clone, Copy, Debug)]
pub struct OpenedChannel<'a> {
    /// The client's number of its request.
    pub request_id: u32,
    /// The channel's id on this connection.
    pub channel_id: u32,
    /// The exponent of its first target.
    pub exponent: Exponent,
    /// The extranonce prefix; on a standard channel the whole extranonce.
    pub prefix: &'a [u8],
    /// How many bytes the miner rolls after the prefix; 0 on a standard channel.
    pub rolled: u16,
    /// The group that the channel belongs to.
    pub group_id: u32,
}

/// What jobs of both kinds begin with.
#[derive(Clone, Copy, Debug)]
pub struct JobHeader {
    /// The channel, or the group.
    pub channel_id: u32,
    /// The job's id on it.
    pub job_id: u32,
    /// When present, the job is to be started at once; when absent it waits for its tip.
    pub min_ntime: Option<u32>,
}

impl Frames {
    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what was taken, and gives memory back that an unusual burst needed.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
    }

    /// The frames, each with its header.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let header = Header::from_bytes(rest).ok()?;
            let (frame, after) = rest.split_at_checked(Header::SIZE + header.payload_length())?;
            rest = after;
            Some(frame)
        })
    }

    /// `SetupConnection.Success`; no flag of ours is ever set.
    pub fn setup_success(&mut self) {
        self.frame(MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS, 0, |body| {
            body.extend(PROTOCOL_VERSION.to_le_bytes());
            body.extend(0_u32.to_le_bytes());
        });
    }

    /// `SetupConnection.Error`; `flags` are those that we do not support.
    pub fn setup_error(&mut self, flags: u32, code: &str) {
        self.frame(MESSAGE_TYPE_SETUP_CONNECTION_ERROR, 0, |body| {
            body.extend(flags.to_le_bytes());
            put_text(body, code);
        });
    }

    /// `RequestExtensions.Success`: these are spoken.
    pub fn extensions_success(&mut self, request_id: u16, spoken: &[u16]) {
        let extension = EXTENSION_TYPE_EXTENSIONS_NEGOTIATION;
        self.frame(MESSAGE_TYPE_REQUEST_EXTENSIONS_SUCCESS, extension, |body| {
            body.extend(request_id.to_le_bytes());
            put_numbers(body, spoken);
        });
    }

    /// `RequestExtensions.Error`: these are not spoken, and none is required.
    pub fn extensions_error(&mut self, request_id: u16, unsupported: &[u16]) {
        let extension = EXTENSION_TYPE_EXTENSIONS_NEGOTIATION;
        self.frame(MESSAGE_TYPE_REQUEST_EXTENSIONS_ERROR, extension, |body| {
            body.extend(request_id.to_le_bytes());
            put_numbers(body, unsupported);
            put_numbers(body, &[]);
        });
    }

    /// `Reconnect` to the same host and port, whoever answers there then.
    pub fn reconnect(&mut self) {
        self.frame(MESSAGE_TYPE_RECONNECT, 0, |body| {
            put_text(body, "");
            body.extend(0_u16.to_le_bytes());
        });
    }

    /// `OpenStandardMiningChannel.Success`.
    pub fn opened_standard(&mut self, opened: OpenedChannel<'_>) {
        self.frame(MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS, 0, |body| {
            put_opened(body, &opened);
            put_short(body, opened.prefix);
            body.extend(opened.group_id.to_le_bytes());
        });
    }

    /// `OpenExtendedMiningChannel.Success`.
    pub fn opened_extended(&mut self, opened: OpenedChannel<'_>) {
        self.frame(MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS, 0, |body| {
            put_opened(body, &opened);
            body.extend(opened.rolled.to_le_bytes());
            put_short(body, opened.prefix);
            body.extend(opened.group_id.to_le_bytes());
        });
    }

    /// `SetGroupChannel`: this channel belongs to that group from now on.
    pub fn set_group(&mut self, group_id: u32, channel_id: u32) {
        self.frame(MESSAGE_TYPE_SET_GROUP_CHANNEL, 0, |body| {
            body.extend(group_id.to_le_bytes());
            body.extend(1_u16.to_le_bytes());
            body.extend(channel_id.to_le_bytes());
        });
    }

    /// `OpenMiningChannel.Error`.
    pub fn open_error(&mut self, request_id: u32, code: &str) {
        self.frame(MESSAGE_TYPE_OPEN_MINING_CHANNEL_ERROR, 0, |body| {
            body.extend(request_id.to_le_bytes());
            put_text(body, code);
        });
    }

    /// `UpdateChannel.Error`.
    pub fn update_error(&mut self, channel_id: u32, code: &str) {
        self.about(MESSAGE_TYPE_UPDATE_CHANNEL_ERROR, channel_id, |body| put_text(body, code));
    }

    /// `CloseChannel`.
    pub fn close_channel(&mut self, channel_id: u32, reason: &str) {
        self.about(MESSAGE_TYPE_CLOSE_CHANNEL, channel_id, |body| put_text(body, reason));
    }

    /// `SetExtranoncePrefix`, for the jobs that come after it.
    pub fn set_prefix(&mut self, channel_id: u32, prefix: &[u8]) {
        self.about(MESSAGE_TYPE_SET_EXTRANONCE_PREFIX, channel_id, |body| put_short(body, prefix));
    }

    /// `SetTarget`: a power of two.
    pub fn set_target(&mut self, channel_id: u32, exponent: Exponent) {
        self.about(MESSAGE_TYPE_SET_TARGET, channel_id, |body| {
            body.extend(Target::of(exponent).to_le_bytes());
        });
    }

    /// `NewMiningJob`.
    pub fn standard_job(&mut self, job: JobHeader, version: u32, merkle_root: &[u8; 32]) {
        self.about(MESSAGE_TYPE_NEW_MINING_JOB, job.channel_id, |body| {
            put_job(body, job, version);
            body.extend(merkle_root);
        });
    }

    /// `NewExtendedMiningJob`, with version rolling allowed.
    pub fn extended_job(
        &mut self,
        job: JobHeader,
        template: &WorkTemplate,
        exponent: Exponent,
        payee: &Payee,
    ) {
        self.about(MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB, job.channel_id, |body| {
            put_job(body, job, template.version());
            let path = template.merkle_path();
            body.extend([u8::from(true), u8::try_from(path.len()).unwrap_or(u8::MAX)]);
            body.extend(path.as_flattened());
            put_long_length(body, template.coinbase_prefix_length());
            let room = template.write_coinbase_prefix(body, exponent, SV2_EXTRANONCE_LENGTH);
            debug_assert!(room.is_some(), "a template has room for SV2's extranonce");
            put_long_length(body, template.coinbase_suffix_length(payee));
            template.write_coinbase_suffix(body, payee);
        });
    }

    /// `SetNewPrevHash`, which starts the future job `job_id`.
    pub fn new_prevhash(&mut self, channel_id: u32, job_id: u32, tip: &TipWork, min_ntime: u32) {
        self.about(MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH, channel_id, |body| {
            body.extend(job_id.to_le_bytes());
            body.extend(tip.prevhash().0);
            body.extend(min_ntime.to_le_bytes());
            body.extend(tip.nbits().to_le_bytes());
        });
    }

    /// `SubmitShares.Success`: `count` shares up to `last_sequence`, worth `sum` at difficulty 1.
    pub fn shares_stored(&mut self, channel_id: u32, last_sequence: u32, count: u32, sum: u64) {
        self.about(MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS, channel_id, |body| {
            body.extend(last_sequence.to_le_bytes());
            body.extend(count.to_le_bytes());
            body.extend(sum.to_le_bytes());
        });
    }

    /// `SubmitShares.Error`.
    pub fn share_error(&mut self, channel_id: u32, sequence: u32, code: &str) {
        self.about(MESSAGE_TYPE_SUBMIT_SHARES_ERROR, channel_id, |body| {
            body.extend(sequence.to_le_bytes());
            put_text(body, code);
        });
    }

    /// `SetCustomMiningJob.Error`.
    pub fn custom_job_error(&mut self, channel_id: u32, request_id: u32, code: &str) {
        self.about(MESSAGE_TYPE_SET_CUSTOM_MINING_JOB_ERROR, channel_id, |body| {
            body.extend(request_id.to_le_bytes());
            put_text(body, code);
        });
    }

    fn about(&mut self, kind: u8, channel_id: u32, write: impl FnOnce(&mut Vec<u8>)) {
        self.frame(kind, CHANNEL_BIT, |body| {
            body.extend(channel_id.to_le_bytes());
            write(body);
        });
    }

    fn frame(&mut self, kind: u8, extension: u16, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend(extension.to_le_bytes());
        self.bytes.extend([kind, 0, 0, 0]);
        let body = self.bytes.len();
        write(&mut self.bytes);
        // Our longest frame is a job: some KB, so its length fits the header's three bytes.
        let [l0, l1, l2, ..] = (self.bytes.len() - body).to_le_bytes();
        if let Some(length) = self.bytes.get_mut(start + LENGTH_AT..body) {
            length.copy_from_slice(&[l0, l1, l2]);
        }
    }
}

/// What [`Frames`] keeps of its memory between uses: a job and some acknowledgements.
const KEPT_CAPACITY: usize = 1_024;

fn put_opened(body: &mut Vec<u8>, opened: &OpenedChannel<'_>) {
    body.extend(opened.request_id.to_le_bytes());
    body.extend(opened.channel_id.to_le_bytes());
    body.extend(Target::of(opened.exponent).to_le_bytes());
}

fn put_job(body: &mut Vec<u8>, job: JobHeader, version: u32) {
    body.extend(job.job_id.to_le_bytes());
    body.push(u8::from(job.min_ntime.is_some()));
    if let Some(min_ntime) = job.min_ntime {
        body.extend(min_ntime.to_le_bytes());
    }
    body.extend(version.to_le_bytes());
}

/// A template holds at most 32 hashes and 18 short outputs, far below this length's bound.
fn put_long_length(body: &mut Vec<u8>, length: usize) {
    body.extend(u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
}

/// A client's list has come in one frame, and so it fits the length's two bytes.
fn put_numbers(body: &mut Vec<u8>, numbers: &[u16]) {
    body.extend(u16::try_from(numbers.len()).unwrap_or(u16::MAX).to_le_bytes());
    body.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// Codes are our own constants; what exceeds `STR0_255` would be cut, not sent malformed.
fn put_text(body: &mut Vec<u8>, text: &str) {
    put_short(body, text.as_bytes());
}

fn put_short(body: &mut Vec<u8>, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    body.push(length);
    body.extend(bytes.iter().take(usize::from(length)));
}
