//! One golden example per type: a small story around one block of ours.

mod blocks;
mod rounds;
mod shares;
mod templates;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ed25519_dalek::{Signer as _, SigningKey};
use subjects::{
    BlockHash, HexBytes, MinerId, Sats, TemplateId, Timestamp, parked::Parked, payouts,
};

/// A type with a golden example.
pub trait Example: Sized {
    /// The example; it never changes, so that readers can test against it.
    fn example() -> Self;
}

/// Seed of the key in RFC 8037, appendix A.1: the golden statement is signed with it.
pub const STATEMENT_SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];

/// Thumbprint of its public key (RFC 8037, appendix A.3).
const STATEMENT_KEY_ID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

const HEIGHT: u32 = 840_321;
const NBITS: u32 = 0x1703_4219;
const SUBSIDY: u64 = 312_500_000;
const FEES: u64 = 4_321_987;
/// Incarnation of `SHARES`, in milliseconds since 1970.
const RECORD: u64 = 1_767_225_600_000;
/// When the story begins, in milliseconds since 1970.
const NOON: u64 = 1_767_268_800_000;
/// The same in seconds.
const NOON_SECS: u32 = 1_767_268_800;

const IDENTITY: &str = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";

fn at(seconds: u64) -> Timestamp {
    Timestamp(NOON + 1_000 * seconds)
}

fn sats(amount: u64) -> Sats {
    Sats::new(amount).unwrap_or(Sats::MAX)
}

fn prevhash() -> BlockHash {
    BlockHash(ascending(0x20))
}

fn block_hash() -> BlockHash {
    let mut hash = ascending(0x60);
    // The most significant bytes stand last.
    hash.split_at_mut(22).1.fill(0);
    BlockHash(hash)
}

fn template_id() -> TemplateId {
    TemplateId(ascending(0xa0))
}

fn provider() -> subjects::ProviderId {
    token("main")
}

fn node() -> subjects::NodeId {
    token("n1")
}

/// The finder: the p2wpkh script of [`IDENTITY`].
fn finder() -> MinerId {
    miner("0014e8df018c7e326cc253faac7e46cdc51e68542c42")
}

/// A second miner.
fn other_miner() -> MinerId {
    miner("0014751e76e8199196d454941c45d1b3a323f1433bd6")
}

/// A third one.
fn third_miner() -> MinerId {
    miner("51200f0c8db753acbd17343a39c2f3f4e35e4be6da749f9e35137ab220e7b238a667")
}

fn header() -> HexBytes {
    HexBytes(ascending::<80>(0).to_vec())
}

fn coinbase() -> HexBytes {
    HexBytes(ascending::<64>(1).to_vec())
}

/// Bytes that count up.
fn ascending<const N: usize>(first: u8) -> [u8; N] {
    let mut next = first;
    [(); N].map(|()| {
        let byte = next;
        next = next.wrapping_add(1);
        byte
    })
}

#[expect(clippy::expect_used, reason = "only literals of this module are parsed")]
fn token<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

#[expect(clippy::expect_used, reason = "only literals of this module are parsed")]
fn miner(script: &str) -> MinerId {
    serde_json::from_value(script.into()).expect("a miner id")
}

impl Example for Parked {
    fn example() -> Self {
        Self {
            worker: "share-recorder".to_owned(),
            reason: "unreadable: field `node`: `N1` is not a name".to_owned(),
            stream: "SHARES".to_owned(),
            stream_sequence: 80_124,
            subject: "shares.accepted.n1.300".to_owned(),
            kind: "hyperhash.shares.v1.accepted".to_owned(),
            body: HexBytes(vec![0x0a, 0x02, 0x4e, 0x31]),
            at: at(700),
        }
    }
}

impl Example for payouts::Statement {
    #[expect(clippy::expect_used, reason = "the golden body is canonical JSON")]
    fn example() -> Self {
        let body = payouts::BlockStatement::example();
        let iat = u64::from(NOON_SECS) + 60_000;
        let exp = iat + 30 * 86_400;
        let protected =
            format!(r#"{{"alg":"EdDSA","exp":{exp},"iat":{iat},"kid":"{STATEMENT_KEY_ID}"}}"#);
        let payload = serde_json_canonicalizer::to_vec(&body).expect("a statement is JSON");
        let (protected, payload) = (BASE64URL.encode(protected), BASE64URL.encode(payload));
        let key = SigningKey::from_bytes(&STATEMENT_SEED);
        let signature = key.sign(format!("{protected}.{payload}").as_bytes());
        let signature = BASE64URL.encode(signature.to_bytes());
        Self { id: body.id, payload, protected, signature }
    }
}
