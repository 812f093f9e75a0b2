//! Minted keys: what the tokens say, who signed them, who can read them.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use streams::{
    Account, Network, Node,
    keys::{KeyError, Minted, mint},
};
use subjects::{Lane, Timestamp};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LATER: Timestamp = Timestamp(1_900_000_000_000);

fn network(nodes: &[&str]) -> Network {
    let lanes = |index: usize| vec![Lane(256 + u16::try_from(index).unwrap())];
    let node = |(index, id): (usize, &&str)| Node { id: id.parse().unwrap(), lanes: lanes(index) };
    Network::new(nodes.iter().enumerate().map(node).collect()).unwrap()
}

fn minted(dir: &Path) -> Minted {
    mint(dir, &network(&["n1"]), NOW).unwrap()
}

fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

/// The claims, if the key that they name as issuer has signed them.
fn verified(token: &str) -> Value {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let claims = claims(token);
    let issuer = nkeys::KeyPair::from_public_key(claims["iss"].as_str().unwrap()).unwrap();
    issuer.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    claims
}

fn user_claims(path: &Path) -> Value {
    verified(fs::read_to_string(path).unwrap().lines().nth(1).unwrap())
}

#[test]
fn every_token_is_signed_by_the_key_above_it() {
    let dir = tempfile::tempdir().unwrap();
    let keys = minted(dir.path());
    let operator = verified(&keys.operator);
    assert_eq!(operator["iss"], operator["sub"]);
    assert_eq!(operator["nats"]["strict_signing_key_usage"], true);
    let sys = keys.account(Account::Sys).unwrap();
    assert_eq!(operator["nats"]["system_account"], json!(sys.public_key));
    for account in &keys.accounts {
        let token = verified(&account.token);
        assert_eq!(token["iss"], operator["nats"]["signing_keys"][0]);
        assert_eq!(token["sub"], json!(account.public_key));
        assert_eq!(token["name"], account.account.name());
    }
}

/// The template of the key that signed a user.
fn template(keys: &Minted, account: Account, user: &Value) -> Value {
    let account = verified(&keys.account(account).unwrap().token);
    assert_eq!(user["nats"]["issuer_account"], account["sub"]);
    let scopes = account["nats"]["signing_keys"].as_array().unwrap();
    let scope = scopes.iter().find(|scope| scope["key"] == user["iss"]);
    scope.unwrap()["template"].clone()
}

#[test]
fn a_user_may_do_what_its_role_says_and_carries_no_permissions_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let keys = minted(dir.path());
    for user in streams::users() {
        let token = user_claims(&streams::keys::creds_file(dir.path(), &user));
        assert_eq!(token["name"], user.name);
        assert_eq!((&token["nats"]["pub"], &token["nats"]["sub"]), (&json!({}), &json!({})));
        let template = template(&keys, user.account, &token);
        let permissions = user.permissions();
        let publish: Vec<_> = permissions.publish.into_iter().collect();
        let subscribe: Vec<_> = permissions.subscribe.into_iter().collect();
        assert_eq!(template["pub"]["allow"], json!(publish), "{}", user.file);
        assert_eq!(template["sub"]["allow"], json!(subscribe), "{}", user.file);
        assert_eq!(template.get("resp").is_some(), permissions.answers, "{}", user.file);
        assert_eq!(template["allowed_connection_types"], json!(["STANDARD"]));
    }
}

#[test]
fn a_node_is_bound_to_its_name_and_to_the_leaf_listener() {
    let dir = tempfile::tempdir().unwrap();
    let keys = minted(dir.path());
    let node = user_claims(&keys.nodes[0].link_creds);
    assert_eq!(node["name"], "n1");
    let template = template(&keys, Account::Nodes, &node);
    assert_eq!(template["allowed_connection_types"], json!(["LEAFNODE", "LEAFNODE_WS"]));
    for subject in template["pub"]["allow"].as_array().unwrap() {
        let own = subject.as_str().unwrap().contains("{{name()}}");
        assert!(own || subject == "block.submit.*", "{subject}");
    }
}

#[test]
fn a_private_export_needs_an_activation_by_its_account() {
    let dir = tempfile::tempdir().unwrap();
    let keys = minted(dir.path());
    let mut imports = 0;
    for keys_of in &keys.accounts {
        let account = verified(&keys_of.token);
        for export in account["nats"]["exports"].as_array().unwrap() {
            assert_eq!(export["token_req"], true, "{export}");
        }
        for import in account["nats"]["imports"].as_array().unwrap() {
            let activation = verified(import["token"].as_str().unwrap());
            let exporter = keys.accounts.iter().find(|one| import["account"] == one.public_key);
            let exporter = verified(&exporter.unwrap().token);
            assert_eq!(activation["iss"], exporter["nats"]["signing_keys"][0]);
            assert_eq!(activation["sub"], json!(keys_of.public_key));
            assert_eq!(activation["nats"]["subject"], import["subject"]);
            imports += 1;
        }
    }
    assert_eq!(imports, streams::borders().len());
}

#[test]
fn minting_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = minted(dir.path());
    assert!(!first.written.is_empty());
    let second = mint(dir.path(), &network(&["n1"]), LATER).unwrap();
    assert_eq!(second.written, Vec::<std::path::PathBuf>::new());
    assert_eq!((second.operator, second.accounts), (first.operator, first.accounts));
}

#[test]
fn a_new_node_touches_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    minted(dir.path());
    let grown = mint(dir.path(), &network(&["n1", "n2"]), LATER).unwrap();
    for path in &grown.written {
        assert!(path.to_string_lossy().contains("n2"), "{}", path.display());
    }
    assert!(grown.node(&"n2".parse().unwrap()).is_some());
}

#[test]
fn a_token_that_says_something_else_is_replaced_and_its_seed_kept() {
    let dir = tempfile::tempdir().unwrap();
    minted(dir.path());
    let path = dir.path().join("creds/data-reader.creds");
    let good = fs::read_to_string(&path).unwrap();
    let other = fs::read_to_string(dir.path().join("creds/operator-money.creds")).unwrap();
    fs::write(&path, other).unwrap();
    let again = mint(dir.path(), &network(&["n1"]), NOW).unwrap();
    assert_eq!(again.written, std::slice::from_ref(&path));
    assert_eq!(fs::read_to_string(&path).unwrap(), good);
}

#[test]
fn a_damaged_seed_is_an_error_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    minted(dir.path());
    let path = dir.path().join("seeds/operator.nk");
    fs::write(&path, "SOAK").unwrap();
    let error = mint(dir.path(), &network(&["n1"]), NOW).unwrap_err();
    assert!(matches!(&error, KeyError::Seed { path: named, .. } if *named == path));
    assert!(error.to_string().contains("restore it from the backup"), "{error}");
}

#[test]
fn only_the_owner_reads_them_and_none_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("keys");
    let keys = minted(&root);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for path in &keys.written {
        assert_eq!(mode(path), 0o600, "{}", path.display());
    }
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("seeds")), 0o700);
    let printed = format!("{keys:?}");
    for path in keys.written.iter().filter(|path| path.extension().is_some_and(|end| end == "nk")) {
        let seed = fs::read_to_string(path).unwrap();
        assert!(!printed.contains(seed.trim()), "{}", path.display());
    }
}
