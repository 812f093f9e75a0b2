//! Real servers for port tests: each on ports and data of its own, gone when it is dropped.
//!
//! Servers are looked for in this order: the environment (`HYPERHASH_NATS_SERVER`), the system's
//! own when it is new enough, the private root that `hyperhash dev` builds (`HYPERHASH_DEV_ROOT`,
//! by default `hyperhash/rootfs/current` in the user's cache folder).

pub mod bitcoind;
pub mod nats;
pub mod postgres;

mod root;

pub use root::dev_root;

use crate::{Bus, BusConfig, Context};
use anyhow::Context as _;
use std::{
    future::Future,
    net::{Ipv4Addr, TcpListener},
    process::Child,
    time::Duration,
};
use tokio::time::Instant;

/// How long a server may take to answer after its start.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A context without configuration.
pub fn context(name: &'static str) -> Context<()> {
    Context::detached(name, ())
}

/// Reads the configuration again, which is the same.
pub fn reload<C: Clone>(ctx: &Context<C>) {
    let shell = ctx.shell().config.load().as_ref().clone();
    ctx.reloaded(ctx.config.load().as_ref().clone(), shell);
}

/// A connection to a server under a worker's name.
pub async fn bus(server: &nats::Server, name: &'static str) -> anyhow::Result<Bus> {
    Ok(context(name).connect(&BusConfig::new(server.url())).await?)
}

/// Waits until a condition holds, and says which one if it does not within `deadline`.
pub async fn until<F>(
    what: &str,
    deadline: Duration,
    mut holds: impl FnMut() -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = bool>,
{
    let end = Instant::now() + deadline;
    while !holds().await {
        anyhow::ensure!(Instant::now() < end, "not within {} ms: {what}", deadline.as_millis());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// A loopback port that is free at this moment.
pub fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// A signal to one process that we started.
fn signal(child: &Child, signal: rustix::process::Signal) -> anyhow::Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).context("cannot signal a server")
}

/// Ends a process that we started, politely if it obeys within `grace`.
fn end(child: &mut Child, first: rustix::process::Signal, grace: Duration) {
    let looks = grace.as_millis() / LOOK.as_millis();
    if signal(child, first).is_ok() {
        for _ in 0..looks {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
    // It may be gone already, and then both calls fail, which is as well.
    drop(child.kill());
    drop(child.wait());
}
