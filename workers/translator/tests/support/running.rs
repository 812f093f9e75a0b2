//! The worker in this process.

use super::{
    miner::Miner,
    pool::{DEADLINE, Pool},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use translator::{Config, Translator};
use worker_runtime::{Context, Worker as _, testing};

/// The whole worker.
pub struct Running {
    pub ctx: Context<Config>,
    pub address: SocketAddr,
}

impl Running {
    /// Starts one for these pools, and waits until miners may connect.
    pub async fn start(pools: &[&Pool], more: &str) -> Self {
        let urls: Vec<_> = pools.iter().map(|pool| pool.url()).collect();
        Self::start_with(&urls, more).await
    }

    pub async fn start_with(urls: &[String], more: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], testing::free_port().unwrap()));
        let text = format!(
            "preset = \"signet\"\nupstreams = {urls:?}\nlisten = \"{address}\"\n{more}\n\
             [deadlines]\nretry_first_ms = 20\nretry_longest_secs = 1\n"
        );
        let config = worker_runtime::config::parse(&text).unwrap();
        let ctx = Context::detached("translator", config);
        ctx.spawn("main", Translator::run(ctx.clone()));
        let listening = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await; // polls
            }
        };
        timeout(DEADLINE, listening).await.unwrap();
        Self { ctx, address }
    }

    pub async fn miner(&self, user: &str) -> Miner {
        let mut miner = Miner::connect(self.address).await;
        miner.greet(user).await;
        miner
    }

    /// The value of a figure, 0 if it was never touched.
    pub fn figure(&self, name: &str) -> u64 {
        let text = self.ctx.metrics().encode().unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}
