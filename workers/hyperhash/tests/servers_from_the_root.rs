//! The servers of the dev network, for real: found, prepared twice, used, ended without a trace.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bitcoind_rpc::Rpc;
use hyperhash::dev::{
    bitcoind::{chain, wallet::Wallet},
    home::Home,
    hub::HubServers,
    narrator::Narrator,
    parts::{self, Parts},
    postgresql::database::{self, Role},
    process::{managed::Keeper, sweep},
    providers::Provider,
    ready::until_ready,
    servers::{self, Servers},
    settings::{self, Ports},
};
use sqlx::{Connection as _, Executor as _};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// What a network has unless it is asked for more.
const ONE: &[Provider] = &[Provider::Dev];

const LIMIT: Duration = Duration::from_secs(120);
const HUB: HubServers = HubServers::One;

struct Bench {
    home: Home,
    keeper: Keeper,
    servers: Servers,
    ports: Ports,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::prepare(&folder.path().join("net")).unwrap();
        let keeper = Keeper::new(&home, Arc::new(Narrator::silent()));
        let root = std::env::var_os("HYPERHASH_DEV_ROOT").map(PathBuf::from);
        let servers = servers::find(root.or_else(servers::cached_root).as_deref()).unwrap();
        let names = parts::ports(HUB, ONE);
        let ports = settings::settle_ports(&home, HUB, &names, &[], |_| {}).unwrap();
        Self { home, keeper, servers, ports, _folder: folder }
    }

    fn parts(&self) -> Parts<'_> {
        let Self { home, servers, ports, .. } = self;
        Parts { home, servers, ports, hub: HUB, providers: ONE }
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.keeper.records.last_first().unwrap(), []);
        assert_eq!(sweep::marked(self.home.folder()).unwrap(), []);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(&self.home.folder().display().to_string()), "{mounts}");
    }
}

#[tokio::test]
async fn bitcoind_starts_on_the_committed_chain_and_goes_on_from_there() {
    let bench = Bench::new();
    let config = bench.parts().bitcoind_rpc(Provider::Dev).unwrap();
    let rpc = Rpc::new(config.clone()).unwrap();
    let wallet = Wallet::at(&config).unwrap();
    let mut height = None;
    for _ in 0..2 {
        let bitcoind = bench.keeper.keep(bench.parts().bitcoind(Provider::Dev).unwrap());
        let answers = || async { Ok(rpc.state().await.map(drop)?) };
        until_ready(&bitcoind, LIMIT, answers).await.unwrap();
        let state = chain::prepare(&rpc).await.unwrap();
        assert_eq!(state.blocks, *height.get_or_insert(state.blocks));
        assert_eq!(state.blocks, 120);
        wallet.open().await.unwrap();
        assert!(wallet.pay().await.unwrap());
        // bitcoind gives out the template that it has for up to five seconds.
        let pays_fees = || async {
            let template = rpc.template(true).await?;
            anyhow::ensure!(template.coinbase_value > 50 * 100_000_000, "{template:?}");
            Ok(())
        };
        until_ready(&bitcoind, LIMIT, pays_fees).await.unwrap();
        bitcoind.stop().await.unwrap();
    }
    bench.nothing_is_left();
}

#[tokio::test]
async fn postgresql_gets_its_schema_once_and_its_reader_cannot_write() {
    let bench = Bench::new();
    for _ in 0..2 {
        let server = bench.keeper.keep(bench.parts().postgresql().unwrap());
        let database = bench.parts().database().unwrap();
        until_ready(&server, LIMIT, || database.answers()).await.unwrap();
        database.prepare().await.unwrap();
        let mut reader = database.connect(Role::Reader).await.unwrap();
        let recorded = database::recorded(&mut reader).await.unwrap();
        assert_eq!(recorded, database::Recorded::default());
        let insert = "INSERT INTO nodes (name) VALUES ('n1')";
        let refused = reader.execute(insert).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{refused}");
        reader.close().await.unwrap();
        server.stop().await.unwrap();
    }
    bench.nothing_is_left();
}
