//! What miners send.

use crate::{Difficulty, Id};
use mining::Target;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

/// A line, read.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// What its answer names: the request's own id, as it came.
    pub id: Id,
    /// What is asked.
    pub call: Call<'a>,
}

/// What a miner may ask for.
#[derive(Debug)]
pub enum Call<'a> {
    /// `mining.configure` (BIP 310).
    Configure(Configure<'a>),
    /// `mining.subscribe`.
    Subscribe(Subscribe<'a>),
    /// `mining.authorize`.
    Authorize(Authorize<'a>),
    /// `mining.suggest_difficulty`.
    SuggestDifficulty(Difficulty),
    /// `mining.suggest_target`.
    SuggestTarget(Target),
    /// `mining.extranonce.subscribe`.
    SubscribeExtranonce,
    /// `mining.submit`.
    Submit(Submit<'a>),
    /// `mining.ping`.
    Ping,
    /// The answer to something that we asked.
    Answer,
    /// A method that we know, with parameters that it cannot have.
    Malformed(&'static str),
    /// A method that we do not know, or none.
    Unknown,
}

/// `mining.configure`: extensions by name, and what the miner asks of them.
#[derive(Debug, Default)]
pub struct Configure<'a> {
    /// The extensions, in the miner's order.
    pub extensions: Vec<Cow<'a, str>>,
    /// `version-rolling.mask`: bits that the miner can roll; all when it does not say.
    pub mask: Option<u32>,
    /// `minimum-difficulty.value`.
    pub least: Option<Difficulty>,
}

/// `mining.subscribe`.
#[derive(Debug)]
pub struct Subscribe<'a> {
    /// What the client says it is; empty if it does not say.
    pub agent: Cow<'a, str>,
    /// The session that it wants to go on with.
    pub session: Option<Cow<'a, str>>,
}

/// `mining.authorize`.
#[derive(Debug)]
pub struct Authorize<'a> {
    /// `<address>[.<worker>]`.
    pub user: Cow<'a, str>,
    /// Options, or a word without meaning.
    pub password: Cow<'a, str>,
}

/// `mining.submit`; numbers are hexadecimal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit<'a> {
    /// An authorized worker.
    pub user: Cow<'a, str>,
    /// The job.
    pub job: Cow<'a, str>,
    /// What the miner rolled of the extranonce.
    pub extranonce: Cow<'a, str>,
    /// Time in the header.
    pub ntime: Cow<'a, str>,
    /// Nonce in the header.
    pub nonce: Cow<'a, str>,
    /// Rolled version bits.
    pub version: Option<Cow<'a, str>>,
}

/// The line is not one of this protocol: whoever sends it is no miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It is not a JSON object.
    #[error("a line is no JSON object")]
    NotJson,
    /// The request's id is no number, text or null, or too long to be echoed.
    #[error("a request has an id that cannot be echoed")]
    Id,
}

/// Longest id that is echoed, in bytes of JSON.
const MAX_ID: usize = 64;
/// Most extensions of a `mining.configure` that are answered.
const MAX_EXTENSIONS: usize = 16;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(default)]
    result: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// Reads a line, without its end.
///
/// # Errors
///
/// When it is none of this protocol. What a miner of ours may have got wrong is a [`Call`].
pub fn read(line: &[u8]) -> Result<Inbound<'_>, LineFault> {
    // A list would do for the library.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err(LineFault::NotJson);
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(|_| LineFault::NotJson)?;
    let Some(id) = line.id.map_or(Some(""), id) else { return Err(LineFault::Id) };
    let answers = line.result.is_some() || line.error.is_some();
    let params = line.params.map_or("[]", RawValue::get);
    let call = match line.method.as_deref() {
        Some("mining.submit") => submit(params),
        Some("mining.configure") => configure(params),
        Some("mining.subscribe") => subscribe(params),
        Some("mining.authorize") => authorize(params),
        Some("mining.suggest_difficulty") => suggest_difficulty(params),
        Some("mining.suggest_target") => suggest_target(params),
        Some("mining.extranonce.subscribe") => Call::SubscribeExtranonce,
        Some("mining.ping") => Call::Ping,
        // AxeOS answers a ping with a method.
        Some("pong") => Call::Answer,
        None if answers => Call::Answer,
        Some(_) | None => Call::Unknown,
    };
    Ok(Inbound { id: Id::new(id), call })
}

/// The id as it came; nothing for one that cannot be echoed.
fn id(raw: &RawValue) -> Option<&str> {
    let text = raw.get();
    let is_scalar =
        text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    (is_scalar && text.len() <= MAX_ID).then_some(text)
}

/// A list whose items may be missing at the end, and are ignored beyond what is asked for.
struct Items<const N: usize, T>([Option<T>; N]);

struct ItemsVisitor<const N: usize, T>(PhantomData<T>);

impl<'de, const N: usize, T: Deserialize<'de>> Deserialize<'de> for Items<N, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ItemsVisitor(PhantomData))
    }
}

impl<'de, const N: usize, T: Deserialize<'de>> Visitor<'de> for ItemsVisitor<N, T> {
    type Value = Items<N, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = [const { None }; N];
        for item in &mut items {
            *item = list.next_element::<Option<T>>()?.flatten();
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Items(items))
    }
}

/// Text, borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn texts<const N: usize>(params: &str) -> Option<[Option<Cow<'_, str>>; N]> {
    let items: Items<N, Text<'_>> = serde_json::from_str(params).ok()?;
    Some(items.0.map(|text| text.map(|text| text.0)))
}

fn submit(params: &str) -> Call<'_> {
    match texts(params) {
        Some([Some(user), Some(job), Some(extranonce), Some(ntime), Some(nonce), version]) => {
            Call::Submit(Submit { user, job, extranonce, ntime, nonce, version })
        }
        Some(_) | None => Call::Malformed("mining.submit"),
    }
}

fn subscribe(params: &str) -> Call<'_> {
    // LUXminer fills with nulls, and appends where it connects to.
    match texts(params) {
        Some([agent, session]) => {
            Call::Subscribe(Subscribe { agent: agent.unwrap_or_default(), session })
        }
        None => Call::Malformed("mining.subscribe"),
    }
}

fn authorize(params: &str) -> Call<'_> {
    match texts(params) {
        Some([Some(user), password]) => {
            Call::Authorize(Authorize { user, password: password.unwrap_or_default() })
        }
        Some(_) | None => Call::Malformed("mining.authorize"),
    }
}

fn suggest_difficulty(params: &str) -> Call<'_> {
    match serde_json::from_str(params) {
        Ok(Items([Some(difficulty)])) => Call::SuggestDifficulty(difficulty),
        Ok(Items([None])) | Err(_) => Call::Malformed("mining.suggest_difficulty"),
    }
}

fn suggest_target(params: &str) -> Call<'_> {
    let target = || {
        let [text] = texts(params)?;
        let text = text?;
        let mut bytes = [0; 32];
        let padded = format!("{:0>64}", text.trim_start_matches("0x"));
        hex::decode_to_slice(padded, &mut bytes).ok()?;
        bytes.reverse();
        Some(Target::from_le_bytes(bytes))
    };
    target().map_or(Call::Malformed("mining.suggest_target"), Call::SuggestTarget)
}

/// Values of extensions' options: of several types, and only some matter.
#[derive(Deserialize)]
struct Options<'a>(#[serde(borrow)] BTreeMap<Cow<'a, str>, &'a RawValue>);

fn configure(params: &str) -> Call<'_> {
    let parsed = || {
        let Items([extensions, options]) =
            serde_json::from_str::<Items<2, &RawValue>>(params).ok()?;
        let extensions: Vec<Text<'_>> = serde_json::from_str(extensions?.get()).ok()?;
        let options = match options {
            Some(options) => serde_json::from_str::<Options<'_>>(options.get()).ok()?.0,
            None => BTreeMap::new(),
        };
        let mask = options.get("version-rolling.mask").and_then(|raw| {
            let text: Text<'_> = serde_json::from_str(raw.get()).ok()?;
            u32::from_str_radix(text.0.trim_start_matches("0x"), 16).ok()
        });
        let least = options.get("minimum-difficulty.value");
        let least = least.and_then(|raw| serde_json::from_str(raw.get()).ok());
        let extensions = extensions.into_iter().take(MAX_EXTENSIONS).map(|text| text.0).collect();
        Some(Configure { extensions, mask, least })
    };
    parsed().map_or(Call::Malformed("mining.configure"), Call::Configure)
}
