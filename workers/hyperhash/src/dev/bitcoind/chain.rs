//! The dev network's chain, which begins with the committed blocks.

use super::config::CHALLENGE;
use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bitcoin::{Block, consensus::serialize};
use bitcoind_rpc::{NodeState, Rpc};
use serde_json::{Value, json};
use std::time::Duration;
use subjects::BlockHash;

/// How long writing the whole chain state may take: it is small, but disks may be slow.
const FLUSH_DEADLINE: Duration = Duration::from_secs(60);

/// Heights 1 to 120. More than 100, so that the first coins can be spent at once.
const COMMITTED: &str = include_str!("../../../../../deploy/regtest/chain.txt");

/// Makes sure that bitcoind is on the dev chain and gives out templates.
///
/// # Errors
///
/// When it is on another chain, refuses a block, or gives no template.
pub async fn prepare(rpc: &Rpc) -> anyhow::Result<NodeState> {
    let before = rpc.state().await?;
    refuse_other_network(&before)?;
    submit_committed(rpc, before.blocks).await?;
    // It writes what it counts to disk first. Otherwise a crash would take these blocks along, and
    // there are no peers to ask for them.
    rpc.call::<Value>("gettxoutsetinfo", json!(["none"]), FLUSH_DEADLINE).await?;
    let ready = rpc.state().await?;
    ensure!(!ready.initial_block_download, "bitcoind still believes to be far behind its network");
    rpc.template(true).await.context(
        "this bitcoind gives no block template on the private signet; with \
         HYPERHASH_DEV_SERVERS=private the one in the private root is used instead",
    )?;
    Ok(ready)
}

fn refuse_other_network(state: &NodeState) -> anyhow::Result<()> {
    let challenge = state.signet_challenge.as_ref().map(|challenge| hex::encode(&challenge.0));
    ensure!(
        state.chain == "signet" && challenge.as_deref() == Some(CHALLENGE),
        "bitcoind is on the chain `{}` with challenge {challenge:?}, not on a signet with \
         challenge {CHALLENGE}: its data is another network's; `hyperhash dev reset` starts over",
        state.chain
    );
    Ok(())
}

/// Submits the committed blocks that are missing, and compares the others.
async fn submit_committed(rpc: &Rpc, height: u32) -> anyhow::Result<()> {
    for (block, at) in committed()?.iter().zip(1_u32..) {
        if at <= height {
            let ours = BlockHash(*block.block_hash().as_ref());
            let found = rpc.block_hash(at).await?;
            ensure!(
                found == Some(ours),
                "bitcoind follows another chain: its block {at} is {found:?}, the dev network's \
                 is {ours:?}; `hyperhash dev reset` starts over"
            );
        } else if let Some(reason) = rpc.submit_block(&serialize(block)).await?.0
            // A peer was faster.
            && reason != "duplicate"
        {
            bail!("bitcoind refuses block {at} of the dev network: {reason}");
        }
    }
    Ok(())
}

/// The committed blocks, from height 1.
///
/// # Errors
///
/// When the file is damaged.
pub fn committed() -> anyhow::Result<Vec<Block>> {
    COMMITTED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| Ok(bitcoin::consensus::deserialize(&BASE64_STANDARD.decode(line)?)?))
        .collect::<anyhow::Result<_>>()
        .context("deploy/regtest/chain.txt is damaged")
}

#[cfg(test)]
mod tests {
    use super::{super::wallet, *};
    use bitcoin::{CompactTarget, Network, constants::genesis_block};

    #[test]
    fn the_committed_blocks_are_a_chain_of_work_that_pays_the_dev_wallet() {
        let blocks = committed().unwrap();
        assert_eq!(blocks.len(), 120);
        let mut previous = genesis_block(Network::Signet).block_hash();
        for block in &blocks {
            let target = CompactTarget::from_consensus(0x1e03_77ae).into();
            assert_eq!(block.header.prev_blockhash, previous);
            previous = block.header.validate_pow(target).unwrap();
            assert!(block.check_merkle_root() && block.check_witness_commitment());
            let output = &block.txdata[0].output[0];
            assert_eq!(output.script_pubkey, wallet::address().unwrap().script_pubkey());
            assert_eq!(output.value.to_sat(), 50 * 100_000_000);
        }
    }

    #[test]
    fn another_chain_is_refused_by_name() {
        let state = |chain: &str, challenge: Option<&[u8]>| NodeState {
            chain: chain.into(),
            blocks: 0,
            headers: 0,
            best: BlockHash([0; 32]),
            time: 0,
            median_time: 0,
            initial_block_download: false,
            signet_challenge: challenge.map(|bytes| subjects::HexBytes(bytes.to_vec())),
            next_nbits: 0,
            mempool_transactions: 0,
        };
        assert!(refuse_other_network(&state("signet", Some(&[0x51]))).is_ok());
        for (chain, challenge) in [("main", None), ("signet", Some([0x52].as_slice()))] {
            let error = refuse_other_network(&state(chain, challenge)).unwrap_err().to_string();
            assert!(error.contains(chain) && error.contains("dev reset"), "{error}");
        }
    }
}
