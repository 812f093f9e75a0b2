//! The wallet that keeps the dev network's blocks from being empty.

use crate::dev::narrator::Narrator;
use anyhow::Context as _;
use bitcoin::{
    Address, CompressedPublicKey, KnownHrp, NetworkKind, PrivateKey,
    hashes::{Hash as _, sha256},
    secp256k1::{Secp256k1, SecretKey},
};
use bitcoind_rpc::{Rpc, RpcConfig, RpcError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The wallet's name at bitcoind.
const NAME: &str = "dev";

/// The committed chain pays to this key, which is no secret.
const PHRASE: &str = "hyperhash dev network: this key is public";

/// Time between two payments: a block of ours takes some ten seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// Fee rate of the payments, in sat per virtual byte: one payment alone, 110 bytes, is above every
/// dust threshold, so that every finder's output can carry the fees.
const FEE_RATE: u32 = 20;

/// The key behind a phrase.
///
/// # Errors
///
/// Never for the phrases used here: only for one in 2^128 hashes there is no key.
pub fn key(phrase: &str) -> anyhow::Result<PrivateKey> {
    let secret = SecretKey::from_slice(sha256::Hash::hash(phrase.as_bytes()).as_byte_array())?;
    Ok(PrivateKey::new(secret, NetworkKind::Test))
}

/// The address of a phrase's key.
///
/// # Errors
///
/// As [`key`].
pub fn address_of(phrase: &str) -> anyhow::Result<Address> {
    let public = CompressedPublicKey::from_private_key(&Secp256k1::new(), &key(phrase)?)?;
    Ok(Address::p2wpkh(&public, KnownHrp::Testnets))
}

/// The dev wallet's address.
///
/// # Errors
///
/// As [`key`].
pub fn address() -> anyhow::Result<Address> {
    address_of(PHRASE)
}

/// The wallet at a bitcoind.
#[derive(Debug)]
pub struct Wallet {
    node: Rpc,
    wallet: Rpc,
}

impl Wallet {
    /// The dev wallet at the bitcoind of `config`; it is made with its first use.
    ///
    /// # Errors
    ///
    /// When the configuration names no bitcoind.
    pub fn at(config: &RpcConfig) -> Result<Self, RpcError> {
        let url = format!("{}/wallet/{NAME}", config.url);
        let wallet = Rpc::new(RpcConfig { url, ..config.clone() })?;
        Ok(Self { node: Rpc::new(config.clone())?, wallet })
    }

    /// Loads the wallet, making it if it is not there.
    ///
    /// # Errors
    ///
    /// When bitcoind refuses.
    pub async fn open(&self) -> anyhow::Result<()> {
        let loaded: Vec<String> = ask(&self.node, "listwallets", json!([])).await?;
        if !loaded.iter().any(|name| name == NAME) {
            match ask::<Value>(&self.node, "loadwallet", json!([NAME, true])).await {
                Err(RpcError::Answer { code: NO_SUCH_WALLET, .. }) => self.make().await?,
                loaded => drop(loaded.context(
                    "the dev wallet cannot be loaded; `hyperhash dev reset` starts over",
                )?),
            }
        }
        // Asked every time: an earlier start may have been cut off before the import.
        let held: Value = ask(&self.wallet, "listdescriptors", json!([])).await?;
        let none = held.get("descriptors").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if none { self.import().await } else { Ok(()) }
    }

    async fn make(&self) -> anyhow::Result<()> {
        // Positions: name, disable_private_keys, blank, passphrase, avoid_reuse, descriptors,
        // load_on_startup. Blank: it gets the one key that the committed chain pays to.
        let made = json!([NAME, false, true, "", false, true, true]);
        ask::<Value>(&self.node, "createwallet", made).await?;
        Ok(())
    }

    async fn import(&self) -> anyhow::Result<()> {
        let descriptor = format!("wpkh({})", key(PHRASE)?.to_wif());
        let info: Value = ask(&self.node, "getdescriptorinfo", json!([descriptor])).await?;
        let checksum = info.get("checksum").and_then(Value::as_str).context("no checksum")?;
        let import = json!([[{ "desc": format!("{descriptor}#{checksum}"), "timestamp": 0 }]]);
        let results: Vec<Value> = ask(&self.wallet, "importdescriptors", import).await?;
        let done = results.iter().all(|result| result.get("success") == Some(&Value::Bool(true)));
        anyhow::ensure!(done, "bitcoind did not import the dev wallet's key: {results:?}");
        Ok(())
    }

    /// Pays one confirmed coin from the wallet to itself, less a fee. The number of coins stays
    /// what it is, so the wallet is as quick after a month as at the start. False when all coins
    /// wait for a block.
    ///
    /// # Errors
    ///
    /// When bitcoind refuses.
    pub async fn pay(&self) -> anyhow::Result<bool> {
        // Positions: least and most confirmations, addresses, unsafe ones too, options.
        let confirmed = json!([1, 9_999_999, [], true, { "maximumCount": 1 }]);
        let coins: Vec<Coin> = ask(&self.wallet, "listunspent", confirmed).await?;
        let Some(coin) = coins.first() else { return Ok(false) };
        let to = address()?.to_string();
        // Positions: recipients, conf_target, estimate_mode, fee_rate, options.
        let sweep = json!([[to], null, "unset", FEE_RATE, { "inputs": [coin] }]);
        ask::<Value>(&self.wallet, "sendall", sweep).await?;
        Ok(true)
    }
}

/// A coin of the wallet.
#[derive(Debug, Deserialize, Serialize)]
struct Coin {
    txid: String,
    vout: u32,
}

/// `RPC_WALLET_NOT_FOUND` of Bitcoin Core's `rpc/protocol.h`.
const NO_SUCH_WALLET: i64 = -18;

async fn ask<T: DeserializeOwned>(
    rpc: &Rpc,
    method: &'static str,
    params: Value,
) -> Result<T, RpcError> {
    rpc.call(method, params, rpc.deadline()).await
}

/// A wallet that bitcoind has forgotten, e.g. after a crash, is opened again.
async fn pay(wallet: &Wallet) -> anyhow::Result<()> {
    if wallet.pay().await.is_err() {
        wallet.open().await?;
        wallet.pay().await?;
    }
    Ok(())
}

/// Pays all the time, so that blocks have fees, until `stop`.
pub async fn keep_paying(wallet: Wallet, narrator: Arc<Narrator>, stop: CancellationToken) {
    let mut failing = false;
    while !stop.is_cancelled() {
        let paid = tokio::select! {
            paid = pay(&wallet) => paid,
            () = stop.cancelled() => return,
        };
        // bitcoind's own restarts are told by its keeper; one line a fault is enough here.
        match paid {
            Ok(_) => failing = false,
            Err(error) if !failing => {
                narrator.warn("wallet", &format!("no payment for now: {error:#}"));
                failing = true;
            }
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_have_addresses_of_the_test_networks() {
        assert_eq!(address().unwrap().to_string(), "tb1qchgnvp9jqw4lwkae44meqlf2mv7gz4e7dyn402");
        assert_ne!(address_of("another").unwrap(), address().unwrap());
    }
}
