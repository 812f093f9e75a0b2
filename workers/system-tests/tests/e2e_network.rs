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
#![expect(clippy::disallowed_methods, reason = "the clock and tasks of a test, not of a decision")]

mod coinbase;
mod faults;
mod hostile;
mod network;
mod reader;

use loadtest::audit::{Refusals, acknowledged, until_clean};
use network::Network;
use serde_json::Value;
use std::time::Duration;
use worker_runtime::clock::SystemClock;

/// How long shares may be on their way before the audit calls them lost.
const PATIENCE: Duration = Duration::from_secs(90);

fn number(status: &Value, path: &str) -> u64 {
    status.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path}: {status:#}"))
}

#[test]
fn the_whole_network() {
    let begin = std::time::Instant::now();
    let told = |what: &str| eprintln!("{:>6.1} s  {what}", begin.elapsed().as_secs_f64());
    let network = Network::up(&["--hashrate", "400000"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    told("the network is up");

    let status = network.until("paying", |status| {
        number(status, "/shares/recorded") >= 200
            && number(status, "/blocks/confirmed") >= 1
            && number(status, "/statements/count") >= 1
    });
    statement_adds_up(&status);
    told("a block is stated");
    runtime.block_on(coinbase::pays_as_stated(&network));
    told("coinbases pay as stated");
    reader::sees_what_the_schemas_describe(&network);
    runtime.block_on(reader::may_do_nothing_else(&network));
    told("a data team reads, and nothing else");
    runtime.block_on(hostile::gets_nothing(&network));
    told("a lying node gets nothing");

    faults::hub_hangs(&network);
    told("the hub hung and came back");
    faults::every_worker_is_killed(&network);
    told("every worker was killed");
    let status = network.until("ready again", |status| status["state"] == "ready");
    let before = number(&status, "/shares/recorded");
    network.until("recording again", |status| number(status, "/shares/recorded") > before + 50);
    told("shares are recorded again");

    runtime.block_on(audit(&network));
    told("the audit is clean");
    let data = network.data().to_owned();
    network.down();
    told("the network is down");
    no_secret_was_logged(&data);
    nothing_is_left_running(&data);
}

fn statement_adds_up(status: &Value) {
    let part = |name: &str| number(status, &format!("/statements/last/{name}"));
    let subsidy = part("subsidy");
    assert_eq!(part("treasury"), subsidy * 5 / 1_000);
    assert_eq!(part("nodes"), subsidy * 5 / 1_000);
    assert_eq!(part("treasury") + part("nodes") + part("miners"), subsidy);
}

/// Acknowledged = stored once = recorded once = in slices once.
async fn audit(network: &Network) {
    let files = std::fs::read_dir(network.data().join("acknowledged")).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "each miner keeps a file");
    let keys = acknowledged(&files).await.unwrap();
    let bus = network.bus("operator").await;
    let database = network.database().await;
    let clock = SystemClock::new();
    let report =
        until_clean(&keys, &bus.bus, &database, Refusals::Read, &clock, PATIENCE).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
    assert!(report.acknowledged >= 200, "{report:#?}");
    let late: u64 = report.refused_late.values().sum();
    assert_eq!(report.stored + late, report.acknowledged, "{report:#?}");
    assert_eq!(report.recorded, report.stored, "{report:#?}");
    assert_eq!(report.in_slices + report.in_open_slice, report.stored, "{report:#?}");
    bus.finish().await;
}

/// Seeds and passwords of this network appear in no log.
fn no_secret_was_logged(data: &std::path::Path) {
    let mut secrets = Vec::new();
    for folder in ["secrets", "keys"] {
        network::walk(&data.join(folder), &mut |path| {
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
    network::walk(&data.join("log"), &mut |path| {
        logs += 1;
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{} holds a secret", path.display());
        }
    });
    assert!(logs >= 10, "found only {logs} logs");
}

fn nothing_is_left_running(data: &std::path::Path) {
    let data = data.to_str().unwrap();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(!line.contains(data), "still running: {line}");
    }
}
