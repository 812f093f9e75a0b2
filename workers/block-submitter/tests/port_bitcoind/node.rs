//! Against a real bitcoind.

use crate::harness::{Reader, Submitter, ask, bus, commitment, count, found, template};
use bitcoind_rpc::{
    BlockTemplate, Rpc, RpcConfig, merkle,
    transactions::{Object, Packer},
};
use block_submitter::worker::Reply;
use serde_json::{Value, json};
use subjects::{
    Sats, Timestamp,
    blocks::{Answer, BlockResult},
    templates::{MerkleHash, New},
};
use worker_runtime::{Bus, Publication, testing::bitcoind::Node};

fn rpc(node: &Node) -> Rpc {
    Rpc::new(RpcConfig::new(node.rpc_url(), node.cookie_file())).unwrap()
}

/// What a publisher says of bitcoind's template; its transactions are stored.
async fn publish(bus: &Bus, number: u64, made: &BlockTemplate) -> New {
    let wtxids: Vec<_> = made.transactions.iter().map(|tx| tx.wtxid).collect();
    let txids: Vec<_> = made.transactions.iter().map(|tx| tx.txid).collect();
    let empty = template(number, made.height, made.prevhash);
    let fees = made.coinbase_value - empty.subsidy.to_u64();
    let new = New {
        fees: Sats::new(fees).unwrap(),
        coinbase_outputs: vec![commitment(&wtxids)],
        merkle_path: merkle::path(&txids).into_iter().map(MerkleHash).collect(),
        ..empty
    };
    let packer = Packer::new(new.provider.clone());
    let packed = packer.pack(Timestamp(1), new.id(), &made.transactions).unwrap();
    for Object { name, bytes } in &packed.objects {
        bus.objects("TEMPLATE_TXS").put(name, bytes).await.unwrap();
    }
    new
}

/// A regtest node with transactions in its mempool.
async fn node_with_transactions() -> Node {
    let node = Node::regtest().await.unwrap();
    node.call("createwallet", json!(["w"])).await.unwrap();
    let address = node.call("getnewaddress", json!([])).await.unwrap();
    node.call("generatetoaddress", json!([105, address])).await.unwrap();
    for _ in 0..4 {
        node.call("sendtoaddress", json!([address, 1])).await.unwrap();
    }
    node
}

async fn best(node: &Node) -> Value {
    node.call("getbestblockhash", json!([])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_with_transactions_is_accepted_then_a_duplicate_then_confirmed() {
    let (server, bus) = bus().await;
    let node = node_with_transactions().await;
    let ours = Submitter::start(&server, "core-a", rpc(&node));
    let made = rpc(&node).template(false).await.unwrap();
    assert_eq!(made.transactions.len(), 4);
    let new = publish(&bus, 1, &made).await;
    let (claim, _) = found(&bus, &new, made.nbits, made.min_ntime).await;
    let Reply::Submitted(said) = ask(&bus, "core-a", &claim).await else { panic!() };
    assert_eq!((said.answer, said.detail), (Answer::Accepted, None));
    println!("claim to bitcoind's answer: {} ms", said.latency_ms);
    assert_eq!(best(&node).await, json!(claim.hash));

    // Another provider's submitter, which here asks the same bitcoind, finds it done.
    let theirs = Submitter::start(&server, "core-b", rpc(&node));
    let mut reader = Reader::new(&bus);
    let answers = [reader.submitted().await.answer, reader.submitted().await.answer];
    assert_eq!(answers, [Answer::Accepted, Answer::Duplicate]);

    node.mine(4).await.unwrap();
    assert_eq!(count(&bus, "blocks.outcome.*").await, 0);
    node.mine(1).await.unwrap();
    let outcome = reader.outcome().await;
    assert_eq!((outcome.hash, outcome.result), (claim.hash, BlockResult::Confirmed));
    ours.stop().await;
    theirs.stop().await;
    assert_eq!(count(&bus, "blocks.outcome.*").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_the_chain_leaves_is_orphaned() {
    let (server, bus) = bus().await;
    let node = node_with_transactions().await;
    let submitter = Submitter::start(&server, "core-a", rpc(&node));
    let made = rpc(&node).template(false).await.unwrap();
    let new = publish(&bus, 1, &made).await;
    let (claim, _) = found(&bus, &new, made.nbits, made.min_ntime).await;
    ask(&bus, "core-a", &claim).await;
    assert_eq!(best(&node).await, json!(claim.hash));
    node.call("invalidateblock", json!([claim.hash])).await.unwrap();
    node.mine(6).await.unwrap();
    let outcome = Reader::new(&bus).outcome().await;
    assert_eq!((outcome.hash, outcome.result), (claim.hash, BlockResult::Orphaned));
    submitter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_bitcoind_rejects_is_refused_in_its_own_words() {
    let (server, bus) = bus().await;
    let node = node_with_transactions().await;
    let submitter = Submitter::start(&server, "core-a", rpc(&node));
    let made = rpc(&node).template(false).await.unwrap();
    let honest = publish(&bus, 1, &made).await;
    // One satoshi too many.
    let fees = Sats::new(honest.fees.to_u64() + 1).unwrap();
    let greedy = BlockTemplate { coinbase_value: made.coinbase_value + 1, ..made.clone() };
    let new = publish(&bus, 2, &greedy).await;
    assert_eq!(new.fees, fees);
    let (claim, solved) = found(&bus, &new, made.nbits, made.min_ntime).await;
    bus.publish(Publication::once(&solved)).await.unwrap();
    let mut reader = Reader::new(&bus);
    let said = reader.submitted().await;
    assert_eq!((said.answer, said.detail.as_deref()), (Answer::Rejected, Some("bad-cb-amount")));
    node.mine(6).await.unwrap();
    let outcome = reader.outcome().await;
    assert_eq!((outcome.hash, outcome.result), (claim.hash, BlockResult::Refused));
    submitter.stop().await;
}
