//! The node's link to the hub, when it is bad and when it is gone.

use super::{
    Field, Scale,
    hearing::{Heard, Hearing},
    link::{Link, Weather},
};
use crate::network;
use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tokio::time::sleep;
use worker_runtime::clock::Clock as _;

/// An hour of shares of the network's two miners, at the dozen a minute that a miner should send.
const AN_HOUR: usize = 2 * 12 * 60;

/// Enough to see the same, and what is waited for at a time.
const PORTION: usize = 60;

/// The node mines over a link of 200 ms each way that loses 1 % of its segments, and once has to
/// open it anew.
pub(super) async fn slow(field: &mut Field<'_>) -> anyhow::Result<()> {
    let detour = Detour::begin(field).await?;
    detour.link.turn(Weather::Slow);
    let begun = field.network.clock().monotonic();
    field.until_recorded_more(10).await?;
    detour.breaks_once(field, Weather::Slow).await?;
    let pause = field.secs(0, 180);
    sleep(pause).await; // time itself: a link is slow for a while
    field.until_acknowledged(10).await?;
    field.until_recorded_more(10).await?;
    let took = field.network.clock().monotonic().saturating_sub(begun);
    let (bytes, lost) = (detour.link.bytes(), detour.link.lost());
    field.note(format!("{bytes} bytes over the slow link in {took:?}, {lost} segments lost"));
    detour.end(field).await
}

/// Nothing passes between node and hub while the node takes an hour of shares. When the link is
/// back, each of them arrives, or is refused by name because its tip is too old.
pub(super) async fn gone(field: &mut Field<'_>) -> anyhow::Result<()> {
    let detour = Detour::begin(field).await?;
    field.work_for_a_while(Duration::from_secs(2)).await;
    let hearing = Hearing::begin(field.network).await?;
    detour.link.turn(Weather::Gone);
    let (passed, begun) = (detour.link.bytes(), field.network.clock().monotonic());
    let portions = match field.scale {
        Scale::Short => 1,
        Scale::Full => AN_HOUR.div_ceil(PORTION),
    };
    for _ in 0..portions {
        field.until_acknowledged(PORTION).await?;
    }
    let cut = field.network.clock().monotonic().saturating_sub(begun);
    ensure!(detour.link.bytes() == passed, "something passed over a link that was gone");

    let healed = field.network.clock().monotonic();
    detour.link.turn(Weather::Fair);
    let Heard { accepted, refused } = hearing.until_all(field.network).await?;
    let took = field.network.clock().monotonic().saturating_sub(healed);
    field.note(format!(
        "{} shares acknowledged around {cut:?} without a link; when it was back, {accepted} were \
         accepted and {refused} refused as too late within {took:?}",
        accepted.saturating_add(refused)
    ));
    detour.end(field).await
}

/// The node's way to the hub, led over a link of ours by its own configuration.
struct Detour {
    link: Link,
    file: PathBuf,
    /// The configuration as it was.
    straight: String,
}

impl Detour {
    async fn begin(field: &mut Field<'_>) -> anyhow::Result<Self> {
        let file = field.network.data().join("config/leaf.conf");
        let straight = std::fs::read_to_string(&file).context("no configuration of the leaf")?;
        let hub = hub_of(&straight)?;
        let link = Link::to(hub, field.seed()).await?;
        let detour = Self { link, file, straight };
        let to = |address: SocketAddr| format!("\"tls://{address}\"");
        let around = detour.straight.replace(&to(hub), &to(detour.link.address()));
        detour.configure(field, &around).await?;
        detour.carries(field, 1).await?;
        Ok(detour)
    }

    /// Gives the leaf another configuration, as its operator would.
    async fn configure(&self, field: &Field<'_>, config: &str) -> anyhow::Result<()> {
        std::fs::write(&self.file, config)?;
        field.network.signal("servers", "leaf", Signal::HUP).await?;
        Ok(())
    }

    /// Waits until so many connections went over the link.
    async fn carries(&self, field: &Field<'_>, connections: u64) -> anyhow::Result<()> {
        let deadline = field.network.clock().monotonic() + network::PATIENCE;
        while self.link.connections() < connections {
            let in_time = field.network.clock().monotonic() < deadline;
            ensure!(in_time, "the leaf opens no link within {:?}", network::PATIENCE);
            sleep(Duration::from_millis(50)).await; // polls
        }
        Ok(())
    }

    /// Breaks the link and lets the leaf open it again.
    async fn breaks_once(&self, field: &Field<'_>, then: Weather) -> anyhow::Result<()> {
        let carried = self.link.connections();
        self.link.turn(Weather::Gone);
        field.until_acknowledged(1).await?;
        self.link.turn(then);
        self.carries(field, carried + 1).await
    }

    /// Leads the node straight to the hub again.
    async fn end(self, field: &Field<'_>) -> anyhow::Result<()> {
        self.configure(field, &self.straight).await?;
        drop(self.link);
        field.network.ready().await?;
        Ok(())
    }
}

/// Where a leaf's configuration says that the hub is, whose only server it must be.
fn hub_of(config: &str) -> anyhow::Result<SocketAddr> {
    let urls = config.lines().find_map(|line| line.trim().strip_prefix("urls: [\"tls://"));
    let address = urls.and_then(|rest| rest.strip_suffix("\"]"));
    let address = address.context("the leaf's configuration names no hub")?;
    address.parse().context("the leaf's configuration names more than one hub")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use streams::config;
    use subjects::NodeId;

    /// The configuration that the dev network writes, with these servers of the hub.
    fn written(hub: &[&str]) -> String {
        let node: NodeId = "n1".parse().unwrap();
        let file = |name: &str| Path::new("/tls").join(name);
        let leaf = config::Leaf {
            node: node.clone(),
            clients: "127.0.0.1:4222".parse().unwrap(),
            monitor: "127.0.0.1:8222".parse().unwrap(),
            store: "/store".into(),
            store_bytes: 1,
            hub: hub.iter().map(|address| format!("tls://{address}")).collect(),
            tls: config::Tls { ca: file("ca"), cert: file("cert"), key: file("key") },
        };
        let folder = tempfile::tempdir().unwrap();
        let nodes = vec![streams::Node { id: node, lanes: Vec::new() }];
        let network = streams::Network::new(nodes).unwrap();
        let keys = streams::keys::mint(folder.path(), &network, subjects::Timestamp(0)).unwrap();
        config::leaf(&leaf, &keys).unwrap()
    }

    #[test]
    fn the_hub_is_found_in_the_configuration_that_we_write() {
        let one = written(&["127.0.0.1:7422"]);
        assert_eq!(hub_of(&one).unwrap(), "127.0.0.1:7422".parse().unwrap());
        assert!(hub_of(&written(&["127.0.0.1:7422", "127.0.0.1:7423"])).is_err());
        assert!(hub_of("listen: \"127.0.0.1:1\"").is_err());
    }
}
