//! What the operator says of accounts, and accounts of users.

use super::vault::{KeyError, Vault};
use crate::{
    Account, Permissions,
    access::{Border, Kind, borders, link_permissions, users},
    jwt::{self, Claims},
    names::covers,
};
use nkeys::KeyPair;
use serde_json::{Map, Value, json};
use subjects::Timestamp;

/// How long the right to answer a request lasts: as long as anybody waits for an answer.
const ANSWER_NANOS: u64 = 30_000_000_000;

/// Most consumers that strangers may have in DATA at once, and most connections: each costs the
/// server some kilobytes, and a data team has a handful.
const STRANGERS: i64 = 1_000;

/// The keys that sign.
#[derive(Debug)]
pub(super) struct Signers {
    operator: KeyPair,
    operator_signer: KeyPair,
    accounts: Vec<AccountSigners>,
}

/// The keys of one account.
#[derive(Debug)]
struct AccountSigners {
    account: Account,
    /// The key that is the account; it signs nothing and may be offline.
    identity: KeyPair,
    /// The key that lets other accounts in.
    signer: KeyPair,
    /// A key for each role: who it signs may do what the role's template says, and no more.
    roles: Vec<Role>,
}

/// What users that are signed by one key may do.
#[derive(Debug)]
struct Role {
    name: &'static str,
    key: KeyPair,
    permissions: Permissions,
    connections: &'static [&'static str],
}

/// The role of the nodes' links.
pub(super) const NODE: &str = "node";

impl Signers {
    pub(super) fn load(vault: &mut Vault) -> Result<Self, KeyError> {
        let mut accounts = Vec::new();
        for account in Account::ALL {
            let identity = vault.seed(&format!("accounts/{account}.nk"), KeyPair::new_account)?;
            let signer = format!("accounts/{account}-signing.nk");
            let signer = vault.seed(&signer, KeyPair::new_account)?;
            let roles = roles(account, vault)?;
            accounts.push(AccountSigners { account, identity, signer, roles });
        }
        Ok(Self {
            operator: vault.seed("operator.nk", KeyPair::new_operator)?,
            operator_signer: vault.seed("operator-signing.nk", KeyPair::new_operator)?,
            accounts,
        })
    }

    /// The account's public key.
    pub(super) fn public_key(&self, account: Account) -> String {
        self.of(account).identity.public_key()
    }

    /// The key of a role, named after the credentials of its users.
    #[expect(clippy::expect_used, reason = "`load` makes a key for every user and for the nodes")]
    pub(super) fn role(&self, account: Account, name: &str) -> &KeyPair {
        let role = self.of(account).roles.iter().find(|role| role.name == name);
        &role.expect("every role has a key").key
    }

    #[expect(clippy::expect_used, reason = "`load` makes keys for every account")]
    fn of(&self, account: Account) -> &AccountSigners {
        self.accounts.iter().find(|keys| keys.account == account).expect("every account has keys")
    }
}

fn roles(account: Account, vault: &mut Vault) -> Result<Vec<Role>, KeyError> {
    let of_users = users().into_iter().filter(|user| user.account == account);
    let mut named: Vec<_> =
        of_users.map(|user| (user.file, user.permissions(), ["STANDARD"].as_slice())).collect();
    if account == Account::Nodes {
        let link = link_permissions("{{name()}}");
        named.push((NODE, link, ["LEAFNODE", "LEAFNODE_WS"].as_slice()));
    }
    let mut roles = Vec::new();
    for (name, permissions, connections) in named {
        let key = vault.seed(&format!("roles/{name}.nk"), KeyPair::new_account)?;
        roles.push(Role { name, key, permissions, connections });
    }
    Ok(roles)
}

/// The operator's token.
pub(super) fn operator(
    signers: &Signers,
    vault: &mut Vault,
    now: Timestamp,
) -> Result<String, KeyError> {
    let claims = Claims {
        name: "Hyper Hash Network".to_owned(),
        subject: signers.operator.public_key(),
        nats: json!({
            "type": "operator",
            "version": 2,
            "signing_keys": [signers.operator_signer.public_key()],
            "system_account": signers.public_key(Account::Sys),
            // The operator's own key stays offline.
            "strict_signing_key_usage": true,
        }),
    };
    keep(&claims, &signers.operator, "operator.jwt", vault, now)
}

/// An account's token.
pub(super) fn account(
    account: Account,
    signers: &Signers,
    vault: &mut Vault,
    now: Timestamp,
) -> Result<String, KeyError> {
    let path = format!("accounts/{account}.jwt");
    let earlier = activations(vault.read(&path)?.as_deref());
    let mut imports = Vec::new();
    for border in borders().iter().filter(|border| border.to == account) {
        imports.push(import(border, signers, &earlier, now)?);
    }
    let exports: Vec<_> = exports(account).iter().map(export).collect();
    let keys = signers.of(account);
    let mut signing_keys = vec![json!(keys.signer.public_key())];
    signing_keys.extend(keys.roles.iter().map(scope));
    let nobody = json!({ "deny": [">"] });
    let claims = Claims {
        name: account.name().to_owned(),
        subject: keys.identity.public_key(),
        nats: json!({
            "type": "account",
            "version": 2,
            "limits": limits(account),
            "signing_keys": signing_keys,
            // A user whose token forgets to say what it may do may do nothing.
            "default_permissions": { "pub": nobody, "sub": nobody },
            "exports": exports,
            "imports": imports,
        }),
    };
    keep(&claims, &signers.operator_signer, &path, vault, now)
}

/// What a user's token says: who it is. What it may do stands in its role, so that a change of
/// permissions is one push of the account and no new credentials.
pub(super) fn user(name: &str, key: &KeyPair, account: &str) -> Claims {
    Claims {
        name: name.to_owned(),
        subject: key.public_key(),
        nats: json!({
            "type": "user", "version": 2, "issuer_account": account, "pub": {}, "sub": {},
        }),
    }
}

fn scope(role: &Role) -> Value {
    let mut template = allowances(&role.permissions);
    template.insert("allowed_connection_types".to_owned(), json!(role.connections));
    json!({
        "kind": "user_scope",
        "key": role.key.public_key(),
        "role": role.name,
        "template": template,
    })
}

fn allowances(permissions: &Permissions) -> Map<String, Value> {
    // An empty list would allow everything.
    let only = |subjects: &std::collections::BTreeSet<String>| {
        if subjects.is_empty() { json!({ "deny": [">"] }) } else { json!({ "allow": subjects }) }
    };
    let mut claims = Map::from_iter([
        ("pub".to_owned(), only(&permissions.publish)),
        ("sub".to_owned(), only(&permissions.subscribe)),
        ("subs".to_owned(), json!(-1)),
        ("data".to_owned(), json!(-1)),
        ("payload".to_owned(), json!(-1)),
    ]);
    if permissions.answers {
        claims.insert("resp".to_owned(), json!({ "max": 1, "ttl": ANSWER_NANOS }));
    }
    claims
}

fn limits(account: Account) -> Value {
    let (connections, leaves, consumers, storage) = match account {
        Account::Nodes => (-1, -1, -1, -1),
        Account::Core | Account::Money => (-1, 0, -1, -1),
        Account::Data => (STRANGERS, 0, STRANGERS, -1),
        Account::Sys => (-1, 0, 0, 0),
    };
    json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": connections, "leaf": leaves, "consumer": consumers, "streams": storage,
        "mem_storage": storage, "disk_storage": storage,
    })
}

/// What `account` exports: an export that lies within another is imported through that one,
/// because the server refuses an account whose exports overlap.
fn exports(account: Account) -> Vec<Border> {
    let own: Vec<_> = borders().into_iter().filter(|border| border.from == account).collect();
    let within = |inner: &Border, outer: &Border| {
        inner.kind == outer.kind
            && inner.subject != outer.subject
            && covers(&outer.subject, &inner.subject)
    };
    let widest = own.iter().filter(|one| !own.iter().any(|other| within(one, other)));
    widest.cloned().collect()
}

fn export(border: &Border) -> Value {
    json!({
        "name": border.subject,
        "subject": border.subject,
        "type": border.kind.name(),
        // Private: nobody gets in without an activation by this account.
        "token_req": true,
    })
}

fn import(
    border: &Border,
    signers: &Signers,
    earlier: &[String],
    now: Timestamp,
) -> Result<Value, KeyError> {
    let exporter = signers.public_key(border.from);
    let activation = Claims {
        name: border.subject.clone(),
        subject: signers.public_key(border.to),
        nats: json!({
            "type": "activation",
            "version": 2,
            "subject": border.subject,
            "kind": border.kind.name(),
            "issuer_account": exporter,
        }),
    };
    let mut import = json!({
        "name": border.subject,
        "subject": border.subject,
        "account": exporter,
        "type": border.kind.name(),
        "token": activation.sign(&signers.of(border.from).signer, now, earlier)?,
    });
    if let (Value::Object(import), Kind::Service) = (&mut import, border.kind) {
        import.insert("local_subject".to_owned(), json!(border.local));
    }
    Ok(import)
}

/// The activations that an account's present token carries.
fn activations(token: Option<&str>) -> Vec<String> {
    let claims = token.and_then(jwt::claims).unwrap_or_default();
    let imports = claims.get("nats").and_then(|nats| nats.get("imports"));
    let imports = imports.and_then(Value::as_array).cloned().unwrap_or_default();
    let token = |import: &Value| Some(import.get("token")?.as_str()?.to_owned());
    imports.iter().filter_map(token).collect()
}

fn keep(
    claims: &Claims,
    issuer: &KeyPair,
    path: &str,
    vault: &mut Vault,
    now: Timestamp,
) -> Result<String, KeyError> {
    let earlier = vault.read(path)?;
    let token = claims.sign(issuer, now, earlier.as_slice())?;
    vault.write(path, &token)?;
    Ok(token)
}
