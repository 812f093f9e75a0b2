//! NATS JWTs, version 2: an Ed25519 signature over `header.claims` (NATS ADR-14), with the claims
//! as plain JSON.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use subjects::Timestamp;

const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// What a token says, apart from when it was said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claims {
    /// The name that people read; of a node's user the one that its template inserts.
    pub(crate) name: String,
    /// Public key of whom it is about.
    pub(crate) subject: String,
    /// The NATS part, with `type` and `version`.
    pub(crate) nats: Value,
}

impl Claims {
    /// The token among `earlier` that says the same by the same issuer, or a new one issued `now`.
    ///
    /// A token that is kept is the same text, so that minting twice changes nothing.
    pub(crate) fn sign(
        &self,
        issuer: &KeyPair,
        now: Timestamp,
        earlier: &[String],
    ) -> Result<String, nkeys::error::Error> {
        let says_the_same = |token: &&String| self.is_said_by(issuer, token);
        match earlier.iter().find(says_the_same) {
            Some(token) => Ok(token.clone()),
            None => self.issue(issuer, now),
        }
    }

    fn issue(&self, issuer: &KeyPair, now: Timestamp) -> Result<String, nkeys::error::Error> {
        let mut claims = json!({
            "iat": now.0 / 1000,
            "iss": issuer.public_key(),
            "name": self.name,
            "sub": self.subject,
            "nats": self.nats,
        });
        // The id is the digest of the rest, as the reference implementation has it.
        let id = hex_of(&Sha256::digest(claims.to_string()));
        if let Value::Object(claims) = &mut claims {
            claims.insert("jti".to_owned(), json!(id));
        }
        let head = URL_SAFE_NO_PAD.encode(HEADER);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = issuer.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn is_said_by(&self, issuer: &KeyPair, token: &str) -> bool {
        let Some(claims) = verified_claims(issuer, token) else {
            return false;
        };
        let is = |claim: &str, value: &Value| claims.get(claim) == Some(value);
        is("iss", &json!(issuer.public_key()))
            && is("name", &json!(self.name))
            && is("sub", &json!(self.subject))
            && is("nats", &self.nats)
    }
}

/// The claims of a token whose signature is `issuer`'s.
fn verified_claims(issuer: &KeyPair, token: &str) -> Option<Map<String, Value>> {
    let (signed, signature) = token.rsplit_once('.')?;
    issuer.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    claims(token)
}

/// The claims of a token, whoever signed it.
pub(crate) fn claims(token: &str) -> Option<Map<String, Value>> {
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&body).ok()
}

/// The text of a credentials file.
pub(crate) fn creds(token: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
