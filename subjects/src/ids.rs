//! Names of things. A value that exists is valid: it was parsed or checked on the way in.

use crate::hexed::{lower_hex, read_text, write_hex};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, fmt, str::FromStr};

/// Longest token of a subject that names a node or a provider.
pub const MAX_TOKEN_LENGTH: usize = 32;

/// The text is not a subject token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 32 of a-z, 0-9, `-` and `_`")]
pub struct InvalidToken(String);

pub(crate) fn check_token(text: &str) -> Result<(), InvalidToken> {
    let fits = (1..=MAX_TOKEN_LENGTH).contains(&text.len());
    let plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if fits && plain { Ok(()) } else { Err(InvalidToken(text.chars().take(64).collect())) }
}

macro_rules! token_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Borrows the token.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidToken;

            fn from_str(text: &str) -> Result<Self, InvalidToken> {
                check_token(text).map(|()| Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_text(deserializer, str::parse)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[a-z0-9_-]{1,32}$" })
            }
        }
    };
}

token_id! {
    /// A Hyper Node, or `core` for the ingress that Core itself runs.
    NodeId
}

token_id! {
    /// A source of templates: one bitcoind and the publisher in front of it.
    ProviderId
}

impl NodeId {
    /// The node id of Core's own ingress workers.
    pub fn core() -> Self {
        Self("core".to_owned())
    }
}

/// A slice of header space and of the bus at once: the first two bytes of every extranonce prefix
/// that one ingress process hands out, and the last token of its subjects.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Lane(pub u16);

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is not a lane number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a lane: use a number from 0 to 65535 without leading zeros")]
pub struct InvalidLane(String);

impl FromStr for Lane {
    type Err = InvalidLane;

    fn from_str(text: &str) -> Result<Self, InvalidLane> {
        let canonical = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
        let lane = text.parse().ok().filter(|_| canonical).map(Self);
        lane.ok_or_else(|| InvalidLane(text.chars().take(64).collect()))
    }
}

/// Counts the starts of an ingress on its lane, so that no extranonce prefix is ever reissued.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct BootEpoch(pub u16);

impl fmt::Display for BootEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! fixed_hex {
    ($name:ident, $length:literal, $pattern:literal, $order:expr) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let order: fn([u8; $length]) -> [u8; $length] = $order;
                write_hex(&order(self.0), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let bytes: [u8; $length] = lower_hex(text)?
                    .try_into()
                    .map_err(|_| format!("expected {} hexadecimal digits", 2 * $length))?;
                let order: fn([u8; $length]) -> [u8; $length] = $order;
                Ok(Self(order(bytes)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                read_text(deserializer, str::parse)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

/// What shares call a template by: SHA-256 of its payload bytes, the first 16 of them.
///
/// The id depends on the content alone, whatever stream the template travelled through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub [u8; 16]);

impl TemplateId {
    /// The id of the template whose encoded payload is `payload`.
    pub fn of_payload(payload: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(payload).into();
        let mut id = [0; 16];
        id.copy_from_slice(digest.split_at(16).0);
        Self(id)
    }
}

fixed_hex!(TemplateId, 16, "^[0-9a-f]{32}$", |bytes| bytes);

/// A block's hash, held in the byte order of the header; text is in the reversed order that
/// bitcoind's RPC and every explorer use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockHash(pub [u8; 32]);

fixed_hex!(BlockHash, 32, "^[0-9a-f]{64}$", |mut bytes| {
    bytes.reverse();
    bytes
});

/// Who is paid: the canonical `scriptPubKey` of an address, or the hash of a public key.
///
/// Upper and lower case bech32 of one address are therefore one miner. Ordered by bytes, which is
/// the order of ties in a statement.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MinerId(Vec<u8>);

impl MinerId {
    /// Longest id: a script of 34 bytes (p2wsh, p2tr) with room for later witness versions.
    pub const MAX_LENGTH: usize = 42;

    /// Wraps the bytes; `None` when empty or longer than [`Self::MAX_LENGTH`].
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=Self::MAX_LENGTH).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// Borrows the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for MinerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for MinerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MinerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MinerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_text(deserializer, |text| {
            Self::new(lower_hex(text)?).ok_or_else(|| "a miner id has 1 to 42 bytes".to_owned())
        })
    }
}

impl JsonSchema for MinerId {
    fn schema_name() -> Cow<'static, str> {
        "MinerId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9a-f]{2}){1,42}$" })
    }
}

/// A share's place in the record: it never changes and is never used twice.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct ShareId {
    /// When the stream `SHARES` was created, in milliseconds since 1970: sequences restart if a
    /// stream is made anew, so a sequence alone names nothing.
    pub incarnation: u64,
    /// The message's sequence in `SHARES`.
    pub sequence: u64,
    /// The share's position in the message.
    pub index: u32,
}
