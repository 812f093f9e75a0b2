//! Signed statements: a flattened JWS with `EdDSA` over Ed25519 (RFC 7515, RFC 8037) whose payload is
//! the canonical JSON (RFC 8785) of the body.
//!
//! The same body, key and times give the same bytes: Ed25519 signatures are deterministic
//! (RFC 8032), and so is canonical JSON.

use crate::statement::{Unbalanced, check};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey, pkcs8::DecodePrivateKey};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer as _};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subjects::{
    MinerId, Sats, Timestamp, Work,
    payouts::{BlockStatement, Payee, Statement},
};

/// The only algorithm.
const ALGORITHM: &str = "EdDSA";

/// Largest integer that canonical JSON can hold without loss: 2^53 - 1 (RFC 8785, section 3.2.2.3).
const MAX_INTEGER: u64 = 9_007_199_254_740_991;

/// The key that statements are signed with.
pub struct StatementKey {
    key: SigningKey,
    id: String,
}

/// When a statement was issued, and until when it may be paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Issued, in seconds since 1970.
    pub issued_secs: u64,
    /// Not to be paid from then on, in seconds since 1970.
    pub expires_secs: u64,
}

/// A statement whose signature is good and whose sums are right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub body: BlockStatement,
    /// When.
    pub validity: Validity,
}

/// The protected header. An extension that is not understood must not be accepted (RFC 7515,
/// section 4.1.11), so unknown members are refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Protected {
    alg: String,
    exp: u64,
    iat: u64,
    kid: String,
}

/// The file does not hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "neither an Ed25519 private key in PEM (PKCS #8), as `openssl genpkey -algorithm ed25519` \
     writes it, nor a seed of 64 hexadecimal digits"
)]
pub struct InvalidKey;

/// A body cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Canonical JSON would change it.
    #[error("canonical JSON cannot hold the statement: {0}")]
    NotCanonical(String),
}

/// A statement must not be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A part is not base64url or not the JSON that it should be.
    #[error("{part} cannot be read: {reason}")]
    Unreadable {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
    /// Another algorithm than `EdDSA`.
    #[error("the algorithm is `{0}`, not `EdDSA`")]
    Algorithm(String),
    /// Signed with another key.
    #[error("signed with key `{found}`, not `{expected}`")]
    OtherKey {
        /// The key asked for.
        expected: String,
        /// The key that is named.
        found: String,
    },
    /// The signature is not the key's.
    #[error("the signature is wrong")]
    Signature,
    /// The body is not in canonical form.
    #[error("the body is not canonical JSON")]
    NotCanonical,
    /// The id outside is not the id inside.
    #[error("the statement's id is not its body's")]
    Id,
    /// The body does not add up.
    #[error(transparent)]
    Unbalanced(#[from] Unbalanced),
}

impl StatementKey {
    /// Reads a key: PEM (PKCS #8), or the 32 bytes of the seed as hexadecimal digits.
    ///
    /// # Errors
    ///
    /// When the text is neither.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidKey> {
        let text = text.expose_secret().trim();
        let key = if text.starts_with("-----BEGIN") {
            SigningKey::from_pkcs8_pem(text).map_err(|_| InvalidKey)?
        } else {
            let mut seed = [0; 32];
            hex::decode_to_slice(text, &mut seed).map_err(|_| InvalidKey)?;
            SigningKey::from_bytes(&seed)
        };
        let id = key_id(&key.verifying_key());
        Ok(Self { key, id })
    }

    /// What statements call the key by.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// Signs a body.
    ///
    /// # Errors
    ///
    /// When canonical JSON cannot hold it.
    pub fn sign(&self, body: BlockStatement, times: Validity) -> Result<Statement, SignError> {
        let id = body.id;
        let protected = Protected {
            alg: ALGORITHM.to_owned(),
            exp: times.expires_secs,
            iat: times.issued_secs,
            kid: self.id.clone(),
        };
        let protected = BASE64URL.encode(canonical(&protected)?);
        let mut signed = format!("{protected}.");
        let begin = signed.len();
        BASE64URL.encode_string(canonical_body(body)?, &mut signed);
        let signature = BASE64URL.encode(self.key.sign(signed.as_bytes()).to_bytes());
        let payload = signed.split_off(begin);
        Ok(Statement { id, payload, protected, signature })
    }
}

impl fmt::Debug for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StatementKey({})", self.id)
    }
}

impl Validity {
    /// Issued at `at`, good for `days` days.
    pub fn from(at: Timestamp, days: u32) -> Self {
        let issued_secs = at.0.checked_div(1_000).unwrap_or_default();
        let expires_secs = issued_secs.saturating_add(u64::from(days).saturating_mul(86_400));
        Self { issued_secs, expires_secs }
    }

    /// Whether a statement may no longer be paid; it is then signed anew, with the same body.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now.0 >= self.expires_secs.saturating_mul(1_000)
    }
}

/// The thumbprint of a public key (RFC 7638, RFC 8037 appendix A.3).
pub fn key_id(key: &VerifyingKey) -> String {
    let x = BASE64URL.encode(key.as_bytes());
    BASE64URL.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

/// Checks a statement: algorithm, key, signature, canonical form, and that it adds up. Says
/// nothing about whether it has expired.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn verify(statement: &Statement, key: &VerifyingKey) -> Result<Verified, VerifyError> {
    let protected: Protected = read("the protected header", &statement.protected)?.1;
    if protected.alg != ALGORITHM {
        return Err(VerifyError::Algorithm(protected.alg));
    }
    let expected = key_id(key);
    if protected.kid != expected {
        return Err(VerifyError::OtherKey { expected, found: protected.kid });
    }
    let signed = format!("{}.{}", statement.protected, statement.payload);
    let signature = bytes("the signature", &statement.signature)?;
    let signature = Signature::from_slice(&signature).map_err(|_| VerifyError::Signature)?;
    key.verify_strict(signed.as_bytes(), &signature).map_err(|_| VerifyError::Signature)?;
    let body = body_of(statement)?;
    let validity = Validity { issued_secs: protected.iat, expires_secs: protected.exp };
    Ok(Verified { body, validity })
}

/// Reads a statement's body and checks everything but the signature.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn body_of(statement: &Statement) -> Result<BlockStatement, VerifyError> {
    let (bytes, plain): (_, serde_json::Value) = read("the payload", &statement.payload)?;
    if serde_json_canonicalizer::to_vec(&plain).ok().as_ref() != Some(&bytes) {
        return Err(VerifyError::NotCanonical);
    }
    let (_, body): (_, BlockStatement) = read("the payload", &statement.payload)?;
    if body.id != statement.id {
        return Err(VerifyError::Id);
    }
    check(&body)?;
    Ok(body)
}

/// A payee with its members in canonical order.
#[derive(Serialize)]
struct CanonicalPayee<'a> {
    amount: Sats,
    miner: &'a MinerId,
    work: Work,
}

/// Canonical JSON of a body. The payees, who may be a million, are written in canonical order at
/// once; what is left is small.
fn canonical_body(mut body: BlockStatement) -> Result<Vec<u8>, SignError> {
    let refuse = |error: String| SignError::NotCanonical(error);
    let payees = std::mem::take(&mut body.payees);
    let rest = String::from_utf8(canonical(&body)?).map_err(|error| refuse(error.to_string()))?;
    // There once: within a string, a quotation mark has a backslash before it.
    let (before, after) =
        rest.split_once(r#""payees":[]"#).ok_or_else(|| refuse("no payees".to_owned()))?;
    let mut whole = format!("{before}\"payees\":").into_bytes();
    let payees = payees.iter().map(|Payee { miner, work, amount }| CanonicalPayee {
        amount: *amount,
        miner,
        work: *work,
    });
    let written = serde_json::Serializer::new(&mut whole).collect_seq(payees);
    written.map_err(|error| refuse(error.to_string()))?;
    whole.extend_from_slice(after.as_bytes());
    Ok(whole)
}

/// Canonical JSON, and the proof that nothing was lost: it holds numbers as doubles.
fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, SignError> {
    let refuse = |error: serde_json::Error| SignError::NotCanonical(error.to_string());
    let plain = serde_json::to_value(value).map_err(refuse)?;
    if let Some(number) = lossy_number(&plain) {
        return Err(SignError::NotCanonical(format!("{number} is beyond 2^53")));
    }
    serde_json_canonicalizer::to_vec(&plain).map_err(refuse)
}

/// The first number that a double cannot hold.
fn lossy_number(value: &serde_json::Value) -> Option<&serde_json::Number> {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => None,
        Value::Number(number) => {
            let fits = number.as_u64().is_some_and(|number| number <= MAX_INTEGER);
            (!fits).then_some(number)
        }
        Value::Array(items) => items.iter().find_map(lossy_number),
        Value::Object(members) => members.values().find_map(lossy_number),
    }
}

fn bytes(part: &'static str, text: &str) -> Result<Vec<u8>, VerifyError> {
    let unreadable = |reason: String| VerifyError::Unreadable { part, reason };
    BASE64URL.decode(text).map_err(|error| unreadable(error.to_string()))
}

fn read<T: for<'de> Deserialize<'de>>(
    part: &'static str,
    text: &str,
) -> Result<(Vec<u8>, T), VerifyError> {
    let bytes = bytes(part, text)?;
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| VerifyError::Unreadable { part, reason: error.to_string() })?;
    Ok((bytes, value))
}
