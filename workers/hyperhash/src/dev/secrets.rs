//! Secrets of the dev network, made once: files that only the owner reads.

use super::{bitcoind::wallet, files, home::Home};
use anyhow::Context as _;
use bitcoin::{Address, base58};
use ingress_sv2::noise::Authority;
use rand::{RngCore as _, rngs::OsRng};
use std::{fs, path::PathBuf, time::Duration};

/// The secret key that signs the Noise certificates of node `n1`'s ingress.
pub fn authority_key_file(home: &Home) -> PathBuf {
    home.secret("sv2-authority")
}

/// The seed that statements are signed with.
pub fn statement_key_file(home: &Home) -> PathBuf {
    home.secret("statement-key")
}

/// Makes the keys that are not there.
///
/// # Errors
///
/// When a file cannot be written.
pub fn mint(home: &Home) -> anyhow::Result<()> {
    let keys = [
        (authority_key_file(home), base58::encode_check(&random())),
        (statement_key_file(home), hex::encode(random())),
    ];
    for (path, key) in keys {
        if !path.exists() {
            files::write_private(&path, key.as_bytes())?;
        }
    }
    Ok(())
}

/// 32 random bytes. All but one in 2^128 are a secret key of secp256k1, and that one is refused
/// when it is read.
fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// The public authority key, as miners are configured with it.
///
/// # Errors
///
/// When the secret key is damaged.
pub fn authority_key(home: &Home) -> anyhow::Result<String> {
    let path = authority_key_file(home);
    let read = || {
        let secret = fs::read_to_string(&path)?;
        anyhow::Ok(Authority::new(&secret, Duration::ZERO)?.public())
    };
    read().with_context(|| {
        format!("{} is damaged; `hyperhash dev reset` starts over", path.display())
    })
}

/// The treasury's address. Its coins are worth nothing, so its key is public as the wallet's is.
///
/// # Errors
///
/// As [`wallet::key`].
pub fn treasury() -> anyhow::Result<Address> {
    wallet::address_of("hyperhash dev network: this treasury is public")
}

/// The address of one of the network's own miners.
///
/// # Errors
///
/// As [`wallet::key`].
pub fn miner(name: &str) -> anyhow::Result<Address> {
    wallet::address_of(&format!("hyperhash dev network: miner {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_the_public_one_follows() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        mint(&home).unwrap();
        let (authority, statement) =
            (authority_key(&home).unwrap(), fs::read_to_string(statement_key_file(&home)).unwrap());
        mint(&home).unwrap();
        assert_eq!(authority_key(&home).unwrap(), authority);
        assert_eq!(fs::read_to_string(statement_key_file(&home)).unwrap(), statement);
        assert_eq!(statement.len(), 64);
        assert!(authority.parse::<key_utils::Secp256k1PublicKey>().is_ok());
    }

    #[test]
    fn miners_and_treasury_have_addresses_of_their_own() {
        let addresses = [miner("a"), miner("b"), treasury(), wallet::address()];
        let texts: std::collections::BTreeSet<_> =
            addresses.into_iter().map(|address| address.unwrap().to_string()).collect();
        assert_eq!(texts.len(), 4);
    }
}
