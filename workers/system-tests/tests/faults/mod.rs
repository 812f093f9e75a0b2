//! What breaks.

use crate::network::Network;
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// How long the hub hangs: longer than the leaf waits for an answer to its pings.
const HANG: Duration = Duration::from_secs(15);

/// The hub stops answering for a while: for the node this is a cut link. It goes on by itself.
pub(crate) fn hub_hangs(network: &Network) {
    let status = network.status();
    let hub = pid(&status["servers"]["hub"]);
    let lines = || network.acknowledged_lines();
    let before = lines();
    signal("-STOP", hub);
    let begin = Instant::now();
    // The leaf takes shares on its own: miners hear of it before the hub is back.
    let mut heard = before;
    while begin.elapsed() < HANG {
        heard = lines();
        std::thread::park_timeout(Duration::from_millis(100));
    }
    signal("-CONT", hub);
    assert!(heard > before, "no share was acknowledged while the hub hung");
    network.until("ready after the hang", |status| status["state"] == "ready");
}

/// `kill -9` of every worker at once with the one before it already starting again.
pub(crate) fn every_worker_is_killed(network: &Network) {
    let status = network.until("ready", |status| status["state"] == "ready");
    let workers = status["workers"].as_object().unwrap();
    assert!(workers.len() >= 7, "{status:#}");
    for (name, worker) in workers {
        let old = pid(worker);
        signal("-KILL", old);
        network.until(&format!("{name} restarted"), |status| {
            let now = status["workers"][name]["pid"].as_u64();
            now.is_some_and(|now| now != old)
        });
    }
}

fn pid(process: &serde_json::Value) -> u64 {
    process["pid"].as_u64().unwrap_or_else(|| panic!("does not run: {process}"))
}

fn signal(kind: &str, pid: u64) {
    let status = Command::new("kill").args([kind, &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill {kind} {pid}");
}
