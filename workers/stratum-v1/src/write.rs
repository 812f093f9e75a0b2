//! What we send: lines, one behind the other, in the order in which they must arrive.

use crate::difficulty::{AtLeast, Decimal};
use mining::Target;
use std::io::Write as _;
use subjects::{Exponent, shares::Reason};

/// A request's id in the JSON in which it came; what has none is answered with `null`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(Option<Box<str>>);

impl Id {
    /// Keeps an id; nothing is none.
    pub(super) fn new(json: &str) -> Self {
        Self((!json.is_empty()).then(|| json.into()))
    }

    fn json(&self) -> &str {
        self.0.as_deref().unwrap_or("null")
    }
}

/// Why a request is refused: code and text of the error, as pools and firmware agree on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 20 other, 21 job not found or stale, 22 duplicate, 23 low difficulty, 24 unauthorized
    /// worker, 25 not subscribed.
    pub code: u8,
    /// For the miner's log.
    pub text: &'static str,
}

impl Refusal {
    /// A method that we do not know.
    pub const NOT_SUPPORTED: Self = Self { code: 20, text: "Not supported." };
    /// Parameters that the method cannot have.
    pub const MALFORMED: Self = Self { code: 20, text: "Malformed parameters" };
    /// The worker of a share was not authorized.
    pub const UNAUTHORIZED: Self = Self { code: 24, text: "Unauthorized worker" };
    /// `mining.subscribe` did not come yet.
    pub const NOT_SUBSCRIBED: Self = Self { code: 25, text: "Not subscribed" };

    /// Why a share does not count.
    pub const fn of(reason: Reason) -> Self {
        let (code, text) = match reason {
            Reason::InvalidJobId => (21, "Job not found"),
            Reason::StaleShare | Reason::TipClosed | Reason::TooLate => (21, "Stale share"),
            Reason::DuplicateShare => (22, "Duplicate share"),
            Reason::DifficultyTooLow => (23, "Low difficulty share"),
            Reason::InvalidNtime => (20, "Invalid ntime"),
            Reason::InvalidVersion => (20, "Invalid version bits"),
            Reason::BadExtranonceSize => (20, "Invalid extranonce2 size"),
            Reason::InvalidChannelId
            | Reason::UnknownTemplate
            | Reason::WrongPrevhash
            | Reason::WrongLane
            | Reason::LaneNotOwned
            | Reason::WrongPrefix
            | Reason::InvalidIdentity
            | Reason::DeclaredJobsOff
            | Reason::OldEpoch => (20, reason.code()),
        };
        Self { code, text }
    }
}

/// What `mining.notify` says.
#[derive(Clone, Copy, Debug)]
pub struct Notify<'a> {
    /// The job's id on the connection.
    pub job_id: u32,
    /// The tip's hash, as it stands in a header.
    pub prevhash: &'a [u8; 32],
    /// The coinbase without witnesses, before extranonce1.
    pub coinbase_prefix: &'a [u8],
    /// The coinbase without witnesses, after extranonce2.
    pub coinbase_suffix: &'a [u8],
    /// What the coinbase's hash is hashed with on its way to the merkle root.
    pub merkle_path: &'a [[u8; 32]],
    /// The header's version before rolling.
    pub version: u32,
    /// The header's target.
    pub nbits: u32,
    /// Where the miner's time starts, in seconds since 1970.
    pub ntime: u32,
    /// Whether all jobs before it are over.
    pub clean: Clean,
}

/// What becomes of the jobs before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clean {
    /// Shares on them still count.
    Keep,
    /// They are over.
    Drop,
}

/// Lines that wait to be sent.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
}

/// What the buffer keeps of its memory between uses.
const KEPT_CAPACITY: usize = 256;

impl Lines {
    /// Nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The lines.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was taken, and gives memory back that an unusual burst needed.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_CAPACITY);
    }

    /// The request was done.
    pub fn done(&mut self, id: &Id) {
        self.result(id, "true");
    }

    /// The request is answered with text.
    pub fn say(&mut self, id: &Id, text: &'static str) {
        self.put(format_args!("{{\"id\":{},\"result\":\"{text}\",\"error\":null}}\n", id.json()));
    }

    /// The request is refused. `AxeOS` shows the text of the error, ckpool's miners the reason beside
    /// it.
    pub fn refuse(&mut self, id: &Id, Refusal { code, text }: Refusal) {
        self.put(format_args!(
            "{{\"id\":{},\"result\":null,\"error\":[{code},\"{text}\",null],\
             \"reject-reason\":\"{text}\"}}\n",
            id.json()
        ));
    }

    /// The request is refused with words that are not ours.
    pub fn refuse_saying(&mut self, id: &Id, code: u8, text: &str) {
        self.put(format_args!("{{\"id\":{},\"result\":null,\"error\":[{code},", id.json()));
        self.text(text);
        self.put(format_args!(",null],\"reject-reason\":"));
        self.text(text);
        self.put(format_args!("}}\n"));
    }

    /// Answers `mining.configure`: every extension that was asked for, by whether it is given.
    pub fn configured<'a>(
        &mut self,
        id: &Id,
        mask: Option<u32>,
        given: impl Iterator<Item = (&'a str, bool)>,
    ) {
        self.put(format_args!("{{\"id\":{},\"result\":{{", id.json()));
        let mut comma = "";
        for (name, given) in given {
            self.put(format_args!("{comma}"));
            self.text(name);
            self.put(format_args!(":{given}"));
            comma = ",";
        }
        if let Some(mask) = mask {
            self.put(format_args!("{comma}\"version-rolling.mask\":\"{mask:08x}\""));
        }
        self.put(format_args!("}},\"error\":null}}\n"));
    }

    /// Answers `mining.subscribe`: the session's id, extranonce1 and the size of extranonce2.
    pub fn subscribed(&mut self, id: &Id, session: u64, extranonce1: &[u8], extranonce2_size: u8) {
        let own = hex::encode(extranonce1);
        self.put(format_args!(
            "{{\"id\":{},\"result\":[[[\"mining.set_difficulty\",\"{session:016x}\"],\
             [\"mining.notify\",\"{session:016x}\"]],\"{own}\",{extranonce2_size}],\"error\":null}}\n",
            id.json()
        ));
    }

    /// `mining.set_version_mask` (BIP 310).
    pub fn version_mask(&mut self, mask: u32) {
        self.put(format_args!(
            "{{\"id\":null,\"method\":\"mining.set_version_mask\",\"params\":[\"{mask:08x}\"]}}\n"
        ));
    }

    /// `mining.set_difficulty`: of the jobs that follow.
    pub fn difficulty(&mut self, exponent: Exponent) {
        let difficulty = Decimal(exponent);
        self.put(format_args!(
            "{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{difficulty}]}}\n"
        ));
    }

    /// The same of a target that need not be a power of two, as other pools give them: no share of
    /// this difficulty misses it.
    pub fn difficulty_of(&mut self, target: Target) {
        let difficulty = AtLeast(target);
        self.put(format_args!(
            "{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{difficulty}]}}\n"
        ));
    }

    /// `mining.set_extranonce`: of the jobs that follow.
    pub fn extranonce(&mut self, extranonce1: &[u8], extranonce2_size: u8) {
        let own = hex::encode(extranonce1);
        self.put(format_args!(
            "{{\"id\":null,\"method\":\"mining.set_extranonce\",\
             \"params\":[\"{own}\",{extranonce2_size}]}}\n"
        ));
    }

    /// `mining.ping`, whose answer has this id.
    pub fn ping(&mut self, id: u32) {
        self.put(format_args!("{{\"id\":{id},\"method\":\"mining.ping\",\"params\":[]}}\n"));
    }

    /// `client.show_message`.
    pub fn message(&mut self, text: &str) {
        self.put(format_args!("{{\"id\":null,\"method\":\"client.show_message\",\"params\":["));
        self.text(text);
        self.put(format_args!("]}}\n"));
    }

    /// `client.reconnect`, to where the miner came from.
    pub fn reconnect(&mut self) {
        self.put(format_args!("{{\"id\":null,\"method\":\"client.reconnect\",\"params\":[]}}\n"));
    }

    /// `mining.notify`.
    pub fn notify(&mut self, job: &Notify<'_>) {
        let Notify { job_id, version, nbits, ntime, .. } = *job;
        self.put(format_args!(
            "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{job_id:08x}\",\""
        ));
        // Eight words, each turned round.
        for word in job.prevhash.chunks(4) {
            for byte in word.iter().rev() {
                self.put(format_args!("{byte:02x}"));
            }
        }
        self.put(format_args!("\",\""));
        self.hex(job.coinbase_prefix);
        self.put(format_args!("\",\""));
        self.hex(job.coinbase_suffix);
        self.put(format_args!("\",["));
        let mut comma = "";
        for node in job.merkle_path {
            self.put(format_args!("{comma}\""));
            self.hex(node);
            self.put(format_args!("\""));
            comma = ",";
        }
        let clean = job.clean == Clean::Drop;
        self.put(format_args!("],\"{version:08x}\",\"{nbits:08x}\",\"{ntime:08x}\",{clean}]}}\n"));
    }

    fn result(&mut self, id: &Id, json: &str) {
        self.put(format_args!("{{\"id\":{},\"result\":{json},\"error\":null}}\n", id.json()));
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // A vector takes all that it is given.
        drop(self.bytes.write_fmt(text));
    }

    fn text(&mut self, text: &str) {
        // Text is always JSON, and a vector takes all that it is given.
        drop(serde_json::to_writer(&mut self.bytes, text));
    }

    fn hex(&mut self, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.resize(start + 2 * bytes.len(), 0);
        if let Some(place) = self.bytes.get_mut(start..) {
            // The place is twice as long as the bytes, so it cannot fail.
            hex::encode_to_slice(bytes, place).unwrap_or_default();
        }
    }
}
