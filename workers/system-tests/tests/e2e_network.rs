//! The whole network on real servers: one start, and then everything that a person would look at,
//! a node that lies, a link that hangs, and a `kill -9` of every worker. It ends in the audit.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it saw"
)]

mod coinbase;
mod hostile;
mod old_miner;
mod reader;

use loadtest::{
    faults::{self, Disks, Scale},
    network::{Network, Status},
};
use std::path::{Path, PathBuf};
use worker_runtime::clock::Clock as _;

/// Where the faults' chances come from: the same in every run, so that it fails again.
const SEED: u64 = 1;

/// The binary, built beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("hyperhash");
    assert!(program.exists(), "build it first: cargo build --workspace --bins");
    program
}

fn number(status: &Status, path: &str) -> u64 {
    status.number(path).unwrap()
}

#[test]
fn the_whole_network() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let data = tempfile::tempdir().unwrap();
    runtime.block_on(Box::pin(story(data.path())));
    no_secret_was_logged(data.path());
    nothing_is_left_running(data.path());
}

async fn story(data: &Path) {
    let network = Network::up(&program(), data, &["--hashrate", "400000"]).await.unwrap();
    let told = |what: &str| {
        eprintln!("{:>6.1} s  {what}", network.clock().monotonic().as_secs_f64());
    };
    told("the network is up");
    let paying = network.until("paying", |status| {
        number(status, "/shares/recorded") >= 200
            && number(status, "/blocks/confirmed") >= 1
            && number(status, "/statements/count") >= 1
    });
    statement_adds_up(&paying.await.unwrap());
    told("a block is stated");
    coinbase::pays_as_stated(&network).await;
    told("coinbases pay as stated");
    let tally = old_miner::mines_a_block(&network).await;
    told(&format!("a V1 miner mines a block: {tally:?}"));
    let log = data.join("log/translator.log");
    let tally = old_miner::mines_a_block_through_a_translator(&network, &program(), &log).await;
    told(&format!("a V1 miner mines a block through a translator: {tally:?}"));
    reader::sees_what_the_schemas_describe(&network).await;
    reader::may_do_nothing_else(&network).await;
    told("a data team reads, and nothing else");
    hostile::gets_nothing(&network).await;
    told("a lying node gets nothing");
    for scenario in faults::ALL.iter().filter(|scenario| scenario.in_short) {
        let found = faults::run(scenario, &network, &Disks::default(), Scale::Short, SEED).await;
        let found = found.unwrap_or_else(|error| panic!("{error:#}"));
        // Only what came too late may be missing, and Core has said so by name.
        let audit = found.audit;
        let late: u64 = audit.refused_late.values().sum();
        assert_eq!(audit.stored + late, audit.acknowledged, "{audit:#?}");
        assert_eq!(audit.recorded, audit.stored, "{audit:#?}");
        assert_eq!(audit.in_slices + audit.in_open_slice, audit.stored, "{audit:#?}");
        assert!(found.replay.statements > 0, "{:?}", found.replay);
        told(&format!("{}: {} shares acknowledged, none lost", scenario.name, audit.acknowledged));
    }
    network.down().await.unwrap();
    told("the network is down");
}

fn statement_adds_up(status: &Status) {
    let part = |name: &str| number(status, &format!("/statements/last/{name}"));
    let subsidy = part("subsidy");
    assert_eq!(part("treasury"), subsidy * 5 / 1_000);
    assert_eq!(part("nodes"), subsidy * 5 / 1_000);
    assert_eq!(part("treasury") + part("nodes") + part("miners"), subsidy);
}

/// Seeds and passwords of this network appear in no log.
fn no_secret_was_logged(data: &Path) {
    let mut secrets = Vec::new();
    for folder in ["secrets", "keys"] {
        walk(&data.join(folder), &mut |path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            // Seeds of NATS keys begin with S, passwords and keys are single long words.
            let words = text.split_whitespace().map(str::to_owned);
            secrets.extend(words.filter(|word| {
                let is_seed = word.len() == 58 && word.starts_with('S');
                is_seed || (folder == "secrets" && word.len() >= 32 && !word.starts_with("tb1"))
            }));
        });
    }
    assert!(secrets.len() >= 5, "found only {} secrets to look for", secrets.len());
    let mut logs = 0;
    walk(&data.join("log"), &mut |path| {
        logs += 1;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{} holds a secret", path.display());
        }
    });
    assert!(logs >= 10, "found only {logs} logs");
}

/// Calls `see` with every file below `folder`.
fn walk(folder: &Path, see: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { walk(&path, see) } else { see(&path) }
    }
}

fn nothing_is_left_running(data: &Path) {
    let data = data.to_str().unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(!line.contains(data), "still running: {line}");
    }
}
