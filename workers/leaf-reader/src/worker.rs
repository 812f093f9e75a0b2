//! Binds the reading to the bus: the nodes of each partition that this instance holds.

use crate::{
    Config,
    reading::{Figures, Reading, ReadingError},
};
use std::collections::BTreeMap;
use subjects::NodeId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker_runtime::{
    Bus, Context, Worker,
    bus::{Change, ReadError},
    lease::{HeldPartition, PartitionsConfig, partitions},
};

/// Reads the leaves of its partitions.
#[derive(Clone, Copy, Debug)]
pub struct LeafReader;

impl Worker for LeafReader {
    const NAME: &'static str = "leaf-reader";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        let config = ctx.config.load_full();
        let core = ctx.connect(&config.bus).await?.routes(streams::routes());
        let nodes = ctx.connect(&config.nodes_bus).await?;
        let spread = PartitionsConfig {
            bucket: streams::LEASES.to_owned(),
            prefix: Self::NAME.to_owned(),
            count: streams::PARTITIONS,
            holder: ctx.instance().to_owned(),
            ttl: streams::LEASE,
        };
        partitions(&ctx, &core, &spread, |held| {
            let partition = Partition {
                ctx: ctx.clone(),
                core: core.clone(),
                nodes: nodes.clone(),
                leaves: BTreeMap::new(),
                running: JoinSet::new(),
            };
            partition.read(held)
        })
        .await
    }
}

/// The work on one partition.
struct Partition {
    ctx: Context<Config>,
    core: Bus,
    nodes: Bus,
    /// Leaves that are read, each with the way to stop that.
    leaves: BTreeMap<NodeId, CancellationToken>,
    running: JoinSet<Result<(), ReadingError>>,
}

impl Partition {
    /// Reads the leaves of the partition until it has to be handed over.
    async fn read(mut self, held: HeldPartition) -> anyhow::Result<()> {
        let result = self.follow(&held).await;
        for stop in self.leaves.values() {
            stop.cancel();
        }
        let mut result = result;
        while let Some(ended) = self.running.join_next().await {
            result = result.and(self.ended(&held, ended));
        }
        result
    }

    /// Begins with every leaf that is entered, ends with every one that is taken out.
    async fn follow(&mut self, held: &HeldPartition) -> anyhow::Result<()> {
        let mut watch = self.core.bucket(streams::LEAVES).watch(">");
        loop {
            tokio::select! {
                () = held.stop.cancelled() => break,
                Some(ended) = self.running.join_next() => self.ended(held, ended)?,
                change = watch.next() => match change {
                    Ok(Change::Put(entry)) => self.begin(held, &entry.key),
                    Ok(Change::Removed { key, .. }) => self.end(&key),
                    Err(ReadError::Stopped) => break,
                    Err(error) => return Err(error.into()),
                },
            }
        }
        watch.close().await;
        Ok(())
    }

    fn begin(&mut self, held: &HeldPartition, key: &str) {
        let Ok(node) = key.parse::<NodeId>() else {
            tracing::error!(key, "the bucket of leaves holds a key that is no node's id");
            return;
        };
        // Core's own ingresses publish into CORE themselves.
        let is_ours = streams::partition_of_node(&node) == held.partition;
        if !is_ours || node == NodeId::core() || self.leaves.contains_key(&node) {
            return;
        }
        let stop = held.stop.child_token();
        self.leaves.insert(node.clone(), stop.clone());
        for stream in [streams::OUT_SHARES, streams::OUT_FACTS] {
            let reading = Reading {
                core: self.core.clone(),
                leaf: self.nodes.in_domain(node.as_str()),
                node: node.clone(),
                stream,
                figures: Figures::new(self.ctx.metrics(), stream),
            };
            let stop = stop.clone();
            self.running.spawn(async move { reading.run(&stop).await });
        }
    }

    fn end(&mut self, key: &str) {
        let gone = key.parse::<NodeId>().ok().and_then(|node| self.leaves.remove(&node));
        if let Some(stop) = gone {
            stop.cancel();
        }
    }

    /// What the end of one reading means for the partition.
    fn ended(
        &self,
        held: &HeldPartition,
        ended: Result<Result<(), ReadingError>, tokio::task::JoinError>,
    ) -> anyhow::Result<()> {
        match ended? {
            Ok(()) | Err(ReadingError::Stopped) => Ok(()),
            Err(ReadingError::TakenOver(node)) => {
                let (partition, node) = (held.partition, node.as_str());
                tracing::warn!(partition, node, "another reader works on this partition");
                held.stop.cancel();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
