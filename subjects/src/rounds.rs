//! `rounds.*`: the stream of accepted shares, cut into slices (what blocks pay) and rounds (what
//! miners look at).
//!
//! A slice's lines travel in parts of their own, before the fact that the slice is closed, so that
//! a slice of a million miners is as good as one of two.

use crate::{
    BlockHash, Codec, DecodeError, HexBytes, MinerId, Payload, Subject, Timestamp, UnknownSubject,
    Work,
    payload::{encode_json, tokens_of},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most lines of one part: below 1 MiB, the bus's limit of a message, with room.
pub const MAX_LINES: usize = 4_000;

/// Some of the lines of a slice that is about to close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.rounds.v1.slice-lines")]
pub struct SliceLines {
    /// The slice's number, counted from 1.
    pub slice: u64,
    /// Position of this part, counted from 0.
    pub part: u32,
    /// Lines in ascending order of the miner id, across all parts; at most [`MAX_LINES`].
    pub lines: Vec<Line>,
}

/// What one miner did in a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The miner.
    pub miner: MinerId,
    /// Credited work, in nominal hashes.
    pub work: Work,
    /// Number of shares.
    pub shares: u64,
}

/// A slice is closed: a run of whole messages of `SHARES` that never changes again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.rounds.v1.slice-closed")]
pub struct SliceClosed {
    /// The slice's number, counted from 1.
    pub slice: u64,
    /// The round that the slice belongs to, counted from 1.
    pub round: u64,
    /// Incarnation of `SHARES`: when the stream was created, in milliseconds since 1970.
    pub incarnation: u64,
    /// First sequence in `SHARES`.
    pub first_sequence: u64,
    /// Last sequence in `SHARES`.
    pub last_sequence: u64,
    /// Head of the hash chain before the slice, 32 bytes; zeros before the first one.
    pub chain_start: HexBytes,
    /// Head after it: `c = SHA-256(c ‖ SHA-256(payload))` over its messages in stream order.
    pub chain_end: HexBytes,
    /// Number of shares.
    pub shares: u64,
    /// Sum of the credited work.
    pub work: Work,
    /// Network work of the last message's job: the expected hashes of one block.
    pub network_work: Work,
    /// Number of lines.
    pub miners: u64,
    /// Number of parts that carry the lines.
    pub parts: u32,
    /// Root of the Merkle-sum tree over the lines, 32 bytes.
    pub lines_root: HexBytes,
    /// Header time of the last share, in seconds since 1970.
    pub last_ntime: u32,
    /// The block that the last share solves, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<SolvingShare>,
}

/// The share that ended a slice by solving a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SolvingShare {
    /// Hash of the block.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// Who found it.
    pub finder: MinerId,
    /// The finder's canonical identity.
    pub identity: String,
    /// The finder's worker name, empty if none was given.
    pub worker: String,
}

/// A round ended with a block of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.rounds.v1.closed")]
pub struct Closed {
    /// The round's number, counted from 1.
    pub round: u64,
    /// The share that ended it.
    pub block: SolvingShare,
    /// First slice.
    pub first_slice: u64,
    /// Last slice.
    pub last_slice: u64,
    /// First sequence in `SHARES`.
    pub first_sequence: u64,
    /// Last sequence in `SHARES`.
    pub last_sequence: u64,
    /// Header time of the round before's last share, in seconds since 1970; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ntime: Option<u32>,
    /// Header time of the solving share, in seconds since 1970.
    pub stopped_ntime: u32,
    /// Number of shares.
    pub shares: u64,
    /// Sum of the credited work.
    pub work: Work,
    /// Expected hashes of the block.
    pub network_work: Work,
    /// Expected over done work in millionths: above 1 000 000 is lucky.
    pub luck_ppm: u64,
}

/// How the open round stands. Not kept: the next one replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "hyperhash.rounds.v1.progress")]
pub struct Progress {
    /// The open round.
    pub round: u64,
    /// The open slice.
    pub slice: u64,
    /// Last sequence of `SHARES` that is counted in.
    pub sequence: u64,
    /// Shares in the open round.
    pub shares: u64,
    /// Work in the open round.
    pub work: Work,
    /// Expected hashes of a block; zero before the first share.
    pub network_work: Work,
    /// When this was said.
    pub at: Timestamp,
}

fn number(subject: &str, form: &'static str, token: &str) -> Result<u64, UnknownSubject> {
    let canonical = token == "0" || token.starts_with(|first: char| matches!(first, '1'..='9'));
    let number = token.parse().ok().filter(|_| canonical);
    number.ok_or_else(|| UnknownSubject { subject: subject.to_owned(), expected: form })
}

impl Payload for SliceLines {
    const TYPE: &'static str = "hyperhash.rounds.v1.slice-lines";
    const FILTER: &'static str = "rounds.slice.lines.*.*";
    const FORM: &'static str = "rounds.slice.lines.{slice}.{part}";
    const CODEC: Codec = Codec::Json;
    type Address = (u64, u64);

    fn subject(&self) -> Subject {
        Subject::join(&[&"rounds", &"slice", &"lines", &self.slice, &self.part])
    }

    fn parse_subject(subject: &str) -> Result<(u64, u64), UnknownSubject> {
        let [slice, part] = tokens_of(subject, Self::FORM)?;
        Ok((number(subject, Self::FORM, slice)?, number(subject, Self::FORM, part)?))
    }

    fn message_id(&self) -> String {
        format!("slice-lines/{}/{}", self.slice, self.part)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let part: Self = serde_json::from_slice(body)?;
        if part.lines.len() > MAX_LINES {
            return Err(DecodeError::field("lines", "more than 4000"));
        }
        Ok(part)
    }
}

impl Payload for SliceClosed {
    const TYPE: &'static str = "hyperhash.rounds.v1.slice-closed";
    const FILTER: &'static str = "rounds.slice.closed.*";
    const FORM: &'static str = "rounds.slice.closed.{slice}";
    const CODEC: Codec = Codec::Json;
    type Address = u64;

    fn subject(&self) -> Subject {
        Subject::join(&[&"rounds", &"slice", &"closed", &self.slice])
    }

    fn parse_subject(subject: &str) -> Result<u64, UnknownSubject> {
        let [slice] = tokens_of(subject, Self::FORM)?;
        number(subject, Self::FORM, slice)
    }

    fn message_id(&self) -> String {
        format!("slice-closed/{}", self.slice)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let slice: Self = serde_json::from_slice(body)?;
        let hashes = [
            ("chain_start", &slice.chain_start),
            ("chain_end", &slice.chain_end),
            ("lines_root", &slice.lines_root),
        ];
        for (field, hash) in hashes {
            if hash.0.len() != 32 {
                return Err(DecodeError::field(field, "a hash has 32 bytes"));
            }
        }
        Ok(slice)
    }
}

impl Payload for Closed {
    const TYPE: &'static str = "hyperhash.rounds.v1.closed";
    const FILTER: &'static str = "rounds.closed.*";
    const FORM: &'static str = "rounds.closed.{round}";
    const CODEC: Codec = Codec::Json;
    type Address = u64;

    fn subject(&self) -> Subject {
        Subject::join(&[&"rounds", &"closed", &self.round])
    }

    fn parse_subject(subject: &str) -> Result<u64, UnknownSubject> {
        let [round] = tokens_of(subject, Self::FORM)?;
        number(subject, Self::FORM, round)
    }

    fn message_id(&self) -> String {
        format!("round-closed/{}", self.round)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(body)?)
    }
}

impl Payload for Progress {
    const TYPE: &'static str = "hyperhash.rounds.v1.progress";
    const FILTER: &'static str = "rounds.progress";
    const FORM: &'static str = "rounds.progress";
    const CODEC: Codec = Codec::Json;
    type Address = ();

    fn subject(&self) -> Subject {
        Subject::join(&[&"rounds", &"progress"])
    }

    fn parse_subject(subject: &str) -> Result<(), UnknownSubject> {
        let [] = tokens_of(subject, Self::FORM)?;
        Ok(())
    }

    fn message_id(&self) -> String {
        format!("progress/{}/{}", self.round, self.sequence)
    }

    fn encode(&self) -> Vec<u8> {
        encode_json(self)
    }

    fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        Ok(serde_json::from_slice(body)?)
    }
}
