//! Messages that nobody can read, and messages that were counted before.

use super::Field;
use anyhow::ensure;
use subjects::{Lane, Message, Payload as _, Timestamp, shares::Submitted};
use worker_runtime::{Publication, outcome::Expect, transform::Start};

/// A lane of the node that its ingress does not use now.
const LANE: Lane = Lane(257);

/// The node sends garbage, an empty body, and a batch of its own once more, under a new id.
pub(super) async fn poison(field: &mut Field<'_>) -> anyhow::Result<()> {
    let leaf = field.network.leaf_ingress().await?;
    let good = Submitted {
        node: "n1".parse()?,
        lane: LANE,
        boot_epoch: subjects::BootEpoch(0),
        batch: 0,
        opened_at: Timestamp(0),
        workers: Vec::new(),
        jobs: Vec::new(),
        shares: Vec::new(),
    };
    let bodies = [vec![0xff; 300], Vec::new(), b"{\"not\":\"a batch\"}".to_vec(), good.encode()];
    for (number, body) in (0_u32..).zip(bodies) {
        let message = Message { body, ..good.to_message() };
        let message = Message { id: format!("{}/poison/{number}", message.id), ..message };
        leaf.bus.publish(Publication { message, expect: Expect::Any }).await?;
    }
    leaf.finish().await?;
    // The stream of the lane's partition goes on behind it.
    field.until_acknowledged(30).await?;
    let core = field.network.bus("operator").await?;
    let parked = core.first(streams::PARKED, "parked.share-verifier", Start::First).await?;
    ensure!(!parked.body.is_empty(), "nothing says what could not be read");
    core.finish().await
}
