//! Keys, accounts and users of the network: minted from the declarations, kept in one directory.
//!
//! ```text
//! seeds/                      the only secrets that must be backed up; offline but for minting
//! operator.jwt                for the hub's configuration
//! accounts/<ACCOUNT>.jwt      preloaded by the hub, or pushed to it
//! creds/<user>.creds          one per worker, see `access::users`
//! nodes/<node>/link.creds     the node's leaf link
//! nodes/<node>/<user>.nk      seeds of the users of the node's own server
//! ```
//! Seeds that exist are used again; a token is written anew only when what it says has changed.

mod claims;
mod vault;

pub use vault::KeyError;

use crate::{
    Account, Connection, Network, Permissions, RequestError,
    access::{User, leaf_users, users},
    jwt::{Claims, creds},
};
use async_nats::HeaderMap;
use claims::Signers;
use nkeys::KeyPair;
use serde_json::Value;
use std::path::{Path, PathBuf};
use subjects::{NodeId, Timestamp};
use vault::Vault;

/// All that a hub's and a leaf's configuration need of the keys; no secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minted {
    /// The operator's token.
    pub operator: String,
    /// The accounts, in the order of [`Account::ALL`].
    pub accounts: Vec<AccountKeys>,
    /// The nodes, by id.
    pub nodes: Vec<NodeKeys>,
    /// Files that were written, because they were missing or said something else.
    pub written: Vec<PathBuf>,
}

/// An account as the hub knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountKeys {
    /// Which account.
    pub account: Account,
    /// Its public key, which is its name on the wire.
    pub public_key: String,
    /// Its token.
    pub token: String,
}

/// What a node's own server needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeKeys {
    /// Which node.
    pub id: NodeId,
    /// The credentials of its link to the hub.
    pub link_creds: PathBuf,
    /// The users of its own server.
    pub users: Vec<LeafUser>,
}

/// A user of a node's own server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafUser {
    /// Its name.
    pub name: &'static str,
    /// Its public key, for the server's configuration.
    pub public_key: String,
    /// Its seed, for the worker.
    pub seed_file: PathBuf,
    /// What it may do.
    pub permissions: Permissions,
}

impl Minted {
    /// The keys of one account.
    pub fn account(&self, account: Account) -> Option<&AccountKeys> {
        self.accounts.iter().find(|keys| keys.account == account)
    }

    /// The keys of one node.
    pub fn node(&self, id: &NodeId) -> Option<&NodeKeys> {
        self.nodes.iter().find(|keys| keys.id == *id)
    }
}

/// Makes what is missing below `dir` and renews what has changed. Doing it again does nothing.
///
/// # Errors
/// When a file cannot be read or written, or holds no seed.
pub fn mint(dir: &Path, network: &Network, now: Timestamp) -> Result<Minted, KeyError> {
    let mut vault = Vault::open(dir)?;
    let signers = Signers::load(&mut vault)?;
    let operator = claims::operator(&signers, &mut vault, now)?;
    let mut accounts = Vec::new();
    for account in Account::ALL {
        let token = claims::account(account, &signers, &mut vault, now)?;
        let public_key = signers.public_key(account);
        accounts.push(AccountKeys { account, public_key, token });
    }
    for user in users() {
        mint_user(&user, &signers, &mut vault, now)?;
    }
    let mut nodes = Vec::new();
    for node in network.nodes() {
        nodes.push(mint_node(&node.id, &signers, &mut vault, now)?);
    }
    Ok(Minted { operator, accounts, nodes, written: vault.written() })
}

/// Where the credentials of a user of the hub are below `dir`.
pub fn creds_file(dir: &Path, user: &User) -> PathBuf {
    dir.join(format!("creds/{}.creds", user.file))
}

fn mint_user(
    user: &User,
    signers: &Signers,
    vault: &mut Vault,
    now: Timestamp,
) -> Result<(), KeyError> {
    let seed = vault.seed(&format!("users/{}.nk", user.file), KeyPair::new_user)?;
    let claims = claims::user(user.name, &seed, &signers.public_key(user.account));
    let path = format!("creds/{}.creds", user.file);
    mint_creds(&path, &claims, signers.role(user.account, user.file), &seed, vault, now)
}

fn mint_node(
    id: &NodeId,
    signers: &Signers,
    vault: &mut Vault,
    now: Timestamp,
) -> Result<NodeKeys, KeyError> {
    let seed = vault.seed(&format!("nodes/{id}.nk"), KeyPair::new_user)?;
    let claims = claims::user(id.as_str(), &seed, &signers.public_key(Account::Nodes));
    let path = format!("nodes/{id}/link.creds");
    let role = signers.role(Account::Nodes, claims::NODE);
    mint_creds(&path, &claims, role, &seed, vault, now)?;
    let mut users = Vec::new();
    for user in leaf_users(id) {
        let file = format!("../nodes/{id}/{}.nk", user.file);
        let seed = vault.seed(&file, KeyPair::new_user)?;
        users.push(LeafUser {
            name: user.name,
            public_key: seed.public_key(),
            seed_file: vault.path(&format!("nodes/{id}/{}.nk", user.file)),
            permissions: user.permissions(),
        });
    }
    Ok(NodeKeys { id: id.clone(), link_creds: vault.path(&path), users })
}

fn mint_creds(
    path: &str,
    claims: &Claims,
    issuer: &KeyPair,
    seed: &KeyPair,
    vault: &mut Vault,
    now: Timestamp,
) -> Result<(), KeyError> {
    let earlier = vault.read(path)?.and_then(|text| text.lines().nth(1).map(str::to_owned));
    let token = claims.sign(issuer, now, earlier.as_slice())?;
    vault.write(path, &creds(&token, &seed.seed()?))
}

/// Tells a running hub the accounts' claims.
///
/// # Errors
/// When `sys` is not the user of SYS, or the server does not take a claim.
pub async fn push(sys: &Connection, minted: &Minted) -> Result<(), RequestError> {
    for keys in &minted.accounts {
        let subject = "$SYS.REQ.CLAIMS.UPDATE".to_owned();
        sys.ask_with::<Value>(subject, HeaderMap::new(), keys.token.clone().into_bytes()).await?;
    }
    Ok(())
}
