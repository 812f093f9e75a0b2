//! What the chain itself says of our blocks.

use bitcoind_rpc::{Rpc, RpcConfig};
use loadtest::network::Network;
use serde_json::{Value, json};
use subjects::{
    Payload,
    blocks::{Outcome, Solved},
    payouts::{FeesPaidBy, Statement},
    templates,
};
use worker_runtime::transform::Start;

/// The coinbase of every stated block, read back from bitcoind: subsidy to the treasury, fees to
/// the finder; and the parts of its statement add up to it.
pub(crate) async fn pays_as_stated(network: &Network) {
    let bus = network.bus("data-reader").await.unwrap();
    let statements: Vec<Statement> = bus.all(streams::PAYOUTS, Statement::FILTER).await.unwrap();
    let confirmed: Vec<Outcome> = bus.all(streams::BLOCKS, Outcome::FILTER).await.unwrap();
    let solved: Vec<Solved> = bus.all(streams::BLOCKS, Solved::FILTER).await.unwrap();
    let template =
        bus.first(streams::TEMPLATES, templates::New::FILTER, Start::First).await.unwrap();
    let treasury = templates::New::decode(&template.body).unwrap().coinbase_rule.treasury_script;
    assert!(!statements.is_empty() && !confirmed.is_empty());
    let rpc = rpc(network).await;
    for statement in statements {
        let body = statement.body().unwrap();
        let block: Value =
            rpc.call("getblock", json!([body.block_hash, 2]), rpc.deadline()).await.unwrap();
        assert_eq!(block["height"], body.height);
        let outputs = block["tx"][0]["vout"].as_array().unwrap();
        let value = |index: usize| sats(&outputs[index]["value"]);
        let script =
            |index: usize| outputs[index]["scriptPubKey"]["hex"].as_str().unwrap().to_owned();
        let (subsidy, fees) = (body.subsidy.to_u64(), body.fees.to_u64());
        assert_eq!(body.treasury.to_u64() + body.nodes.to_u64() + body.miners.to_u64(), subsidy);
        let paid: u64 = body.payees.iter().map(|payee| payee.amount.to_u64()).sum();
        assert_eq!(paid, body.miners.to_u64());
        assert_eq!(value(0) + value(1), subsidy + fees);
        assert_eq!(script(0), treasury.to_string());
        assert_eq!(script(1), body.finder.miner.to_string());
        if body.finder.paid_by == FeesPaidBy::Coinbase {
            assert_eq!((value(0), value(1)), (subsidy, fees));
        }
        let solved = solved.iter().find(|solved| solved.hash == body.block_hash).unwrap();
        assert_eq!((solved.subsidy, solved.fees), (body.subsidy, body.fees));
    }
    bus.finish().await.unwrap();
}

async fn rpc(network: &Network) -> Rpc {
    let status = network.status().await.unwrap();
    let text = |key: &str| status.text(&format!("/endpoints/bitcoind/{key}")).unwrap();
    Rpc::new(RpcConfig::new(text("url"), text("cookie"))).unwrap()
}

/// bitcoind writes bitcoins with eight decimals.
fn sats(value: &Value) -> u64 {
    let text = format!("{:.8}", value.as_f64().unwrap());
    text.replace('.', "").parse().unwrap()
}
