//! Which verifier has which partition.

use crate::network::Connection;
use std::collections::BTreeMap;

/// The verifier, whose name begins the keys of its partitions' leases.
pub(crate) const VERIFIER: &str = "share-verifier";

/// Who holds which partition. `verifier` is the hub, with the credential of the verifier.
pub(crate) async fn holders(verifier: &Connection) -> anyhow::Result<BTreeMap<u16, String>> {
    let leases = verifier.bus.bucket(streams::LEASES);
    let mut holders = BTreeMap::new();
    for partition in 0..streams::PARTITIONS {
        if let Some(entry) = leases.get(&format!("{VERIFIER}.p.{partition}")).await? {
            holders.insert(partition, String::from_utf8_lossy(&entry.value).into_owned());
        }
    }
    Ok(holders)
}
