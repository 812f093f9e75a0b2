//! Signed statements: what a stranger can check, and what is turned away.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/hearing.rs"]
mod hearing;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use common::{SEED, Slice, history, sats, settings};
use hearing::{SAID_AT, run};
use payout_calculator::signature::{StatementKey, Validity, VerifyError, key_id, verify};
use subjects::{
    Payload, Timestamp,
    blocks::BlockResult,
    payouts::{RewardRule, Statement},
};

const RULE: RewardRule = RewardRule::Window { factor: 2 };

fn statement() -> Statement {
    let block = common::Block {
        finder: 1,
        subsidy: 5_000_000_000,
        fees: 7,
        pays_finder: true,
        result: BlockResult::Confirmed,
    };
    let slice = Slice { lines: [(1, 5), (2, 3)].into(), network_work: 1, block: Some(block) };
    let history = history(&[slice]);
    let facts = history.rounds.iter().chain(&history.blocks);
    run(RULE, facts, &history.lines).into_values().next().unwrap()
}

/// RFC 8037, appendix A: the key pair and its thumbprint.
#[test]
fn the_key_id_is_the_thumbprint_of_the_standards_example() {
    let key = StatementKey::parse(&SEED.to_owned().into()).unwrap();
    assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(
        BASE64URL.encode(key.public().as_bytes()),
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    );
    assert_eq!(key_id(&key.public()), key.id());
}

#[test]
fn a_key_is_read_from_pem_and_from_a_seed() {
    let pem = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";
    let from_pem = StatementKey::parse(&pem.to_owned().into()).unwrap();
    let from_seed = StatementKey::parse(&format!("{SEED}\n").into()).unwrap();
    assert_eq!(from_pem.public(), from_seed.public());
    for wrong in [
        "",
        "00",
        SEED.trim_start_matches('9'),
        "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----",
    ] {
        assert!(StatementKey::parse(&wrong.to_owned().into()).is_err(), "{wrong}");
    }
    assert!(!format!("{from_seed:?}").contains("9d61b19d"), "a key never prints");
}

#[test]
fn a_statement_verifies_and_tells_its_times() {
    let verified = verify(&statement(), &settings(RULE).key.public()).unwrap();
    assert_eq!(verified.body.subsidy, sats(5_000_000_000));
    let issued_secs = SAID_AT.0 / 1_000;
    let expires_secs = issued_secs + 30 * 86_400;
    assert_eq!(verified.validity, Validity { issued_secs, expires_secs });
    assert!(!verified.validity.is_over(SAID_AT));
    assert!(verified.validity.is_over(Timestamp(expires_secs * 1_000)));
}

/// The bytes themselves: a change of the canonical form or the header breaks every reader.
#[test]
fn the_signed_bytes_never_change() {
    let statement = statement();
    let text = |part: &str| String::from_utf8(BASE64URL.decode(part).unwrap()).unwrap();
    insta::assert_snapshot!(text(&statement.protected));
    insta::assert_snapshot!(text(&statement.payload));
    insta::assert_snapshot!(statement.signature);
}

fn refused(change: impl FnOnce(&mut Statement)) -> VerifyError {
    let mut statement = statement();
    change(&mut statement);
    verify(&statement, &settings(RULE).key.public()).unwrap_err()
}

fn rewritten(part: &str, from: &str, to: &str) -> String {
    let text = String::from_utf8(BASE64URL.decode(part).unwrap()).unwrap();
    assert!(text.contains(from), "{text}");
    BASE64URL.encode(text.replace(from, to))
}

#[test]
fn whatever_was_changed_is_noticed() {
    let payload =
        refused(|signed| signed.payload = rewritten(&signed.payload, "5000000000", "5000000001"));
    assert_eq!(payload, VerifyError::Signature);
    let expiry =
        refused(|signed| signed.protected = rewritten(&signed.protected, "\"exp\":1", "\"exp\":2"));
    assert_eq!(expiry, VerifyError::Signature);
    let algorithm =
        refused(|signed| signed.protected = rewritten(&signed.protected, "EdDSA", "none"));
    assert_eq!(algorithm, VerifyError::Algorithm("none".to_owned()));
    let critical = refused(|signed| {
        signed.protected = rewritten(&signed.protected, "{\"alg\"", "{\"crit\":[\"x\"],\"alg\"");
    });
    assert!(matches!(critical, VerifyError::Unreadable { part: "the protected header", .. }));
    assert_eq!(refused(|signed| signed.signature = "AAAA".to_owned()), VerifyError::Signature);
    assert_eq!(refused(|signed| signed.id.height += 1), VerifyError::Id);
    let padded = refused(|signed| signed.signature.push('='));
    assert!(matches!(padded, VerifyError::Unreadable { part: "the signature", .. }));
}

#[test]
fn another_key_is_another_signer() {
    let other = StatementKey::parse(&"11".repeat(32).into()).unwrap();
    let error = verify(&statement(), &other.public()).unwrap_err();
    assert!(matches!(error, VerifyError::OtherKey { .. }), "{error}");
}

#[test]
fn a_signed_body_that_is_not_canonical_or_does_not_add_up_is_not_believed() {
    use ed25519_dalek::{Signer, SigningKey};
    let seed: [u8; 32] = hex::decode(SEED).unwrap().try_into().unwrap();
    let resigned = |from: &str, to: &str| {
        refused(|signed| {
            signed.payload = rewritten(&signed.payload, from, to);
            let text = format!("{}.{}", signed.protected, signed.payload);
            let signature = SigningKey::from_bytes(&seed).sign(text.as_bytes());
            signed.signature = BASE64URL.encode(signature.to_bytes());
        })
    };
    assert_eq!(resigned("{\"block_hash\"", "{ \"block_hash\""), VerifyError::NotCanonical);
    assert!(matches!(resigned("\"amount\":7", "\"amount\":8"), VerifyError::Unbalanced(_)));
}

#[test]
fn a_number_beyond_what_canonical_json_holds_is_not_signed() {
    let key = settings(RULE).key;
    let mut body = verify(&statement(), &key.public()).unwrap().body;
    body.window.shares = 1 << 53;
    let error = key.sign(body, Validity::from(SAID_AT, 1)).unwrap_err();
    assert!(error.to_string().contains("9007199254740992"), "{error}");
}

/// The payees' place in the body is found, whatever a text says.
#[test]
fn a_text_that_looks_like_payees_is_signed_as_it_is() {
    let key = settings(RULE).key;
    let mut body = verify(&statement(), &key.public()).unwrap().body;
    body.finder.identity = r#"","payees":[]"payees":[]"#.to_owned();
    let signed = key.sign(body.clone(), Validity::from(SAID_AT, 1)).unwrap();
    assert_eq!(verify(&signed, &key.public()).unwrap().body, body);
}

/// The example that readers in other languages test against is a statement of ours.
#[test]
fn the_golden_statement_of_the_schemas_verifies() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../schemas/examples/hyperhash.payouts.v1.statement.json"
    );
    let golden = Statement::decode(&std::fs::read(path).unwrap()).unwrap();
    let verified = verify(&golden, &settings(RULE).key.public()).unwrap();
    assert_eq!(verified.body.id, golden.id);
}
