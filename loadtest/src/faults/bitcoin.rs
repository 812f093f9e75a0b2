//! A bitcoind that dies, and a chain that changes its mind.

use super::Field;
use crate::network::Status;
use crate::node::Node;
use anyhow::{Context as _, ensure};
use serde_json::json;
use std::time::Duration;

/// Most acknowledged shares that a reorganisation may cost: those on their way at that moment.
const MOST_LOST: u64 = 5;

/// What a bitcoind has not written to disk is lost with it, and that is up to an hour. Elsewhere
/// its peers have it. This one has none and would forget confirmed blocks, which no chain does: it
/// is told to write, and loses what comes after that.
pub(super) async fn killed(field: &mut Field<'_>) -> anyhow::Result<()> {
    for _ in 0..field.times(1, 5) {
        let node = Node::preferred(field.network).await?;
        // The only call that writes everything first.
        node.call("gettxoutsetinfo", json!([])).await?;
        field.kill_while_it_works("servers", "bitcoind").await?;
    }
    Ok(())
}

/// Our blocks leave the chain, miners go on on the shorter one, and the lost branch comes back if
/// it is still the longer one. Whoever was told that a share counts keeps it.
pub(super) async fn reorganised(field: &mut Field<'_>) -> anyhow::Result<()> {
    let node = Node::preferred(field.network).await?;
    let before = refused_late(&field.until_judged().await?);
    let mut reorganisations = 0;
    for _ in 0..field.times(1, 3) {
        for depth in [1_u64, 2, 6] {
            let tip = node.call("getblockcount", json!([])).await?.as_u64().context("no height")?;
            let first = node.call("getblockhash", json!([tip.saturating_sub(depth - 1)])).await?;
            node.call("invalidateblock", json!([first])).await?;
            field.until_acknowledged(30).await?;
            node.call("reconsiderblock", json!([first])).await?;
            field.until_acknowledged(30).await?;
            field.work_for_a_while(Duration::from_secs(1)).await;
            reorganisations += 2;
        }
    }
    let lost = refused_late(&field.until_judged().await?).saturating_sub(before);
    field.note(format!("{lost} acknowledged shares refused as late in {reorganisations} changes"));
    let most = MOST_LOST * reorganisations;
    ensure!(lost <= most, "{lost} acknowledged shares were refused as late, {most} may be");
    Ok(())
}

/// Shares that Core refused for their tip, which an ingress had acknowledged.
fn refused_late(status: &Status) -> u64 {
    let of = |reason| status.number(&format!("/shares/refused/{reason}")).unwrap_or_default();
    of("too-late") + of("tip-closed")
}
