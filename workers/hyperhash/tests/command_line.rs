//! The program as a person meets it: exit codes and words.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    process::{Command, Output},
};

fn hyperhash(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hyperhash"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("HYPERHASH_DEV_ROOT")
        .env_remove("HYPERHASH_DEV_DATA_DIR")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_network_that_does_not_run_is_down_with_code_3() {
    let folder = tempfile::tempdir().unwrap();
    let said = hyperhash(folder.path(), &["dev", "status", "--json"]);
    assert_eq!(said.status.code(), Some(3));
    let status: hyperhash::status::Status = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(status, hyperhash::status::Status::default());
    assert_eq!(text(&said.stderr), "");
    let said = hyperhash(folder.path(), &["dev", "down"]);
    assert_eq!((said.status.code(), text(&said.stdout)), (Some(0), "nothing was running\n".into()));
    assert!(!folder.path().join(".dev").exists());
}

#[test]
fn what_needs_a_network_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [["tap", "blocks.>"], ["streams", "plan"]] {
        let said = hyperhash(folder.path(), &arguments);
        assert_eq!(said.status.code(), Some(1));
        assert!(text(&said.stderr).contains("hyperhash dev up"), "{}", text(&said.stderr));
    }
}

#[test]
fn a_foreign_folder_is_neither_used_nor_deleted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    for command in ["up", "reset"] {
        let said = hyperhash(folder.path(), &["dev", command, "--data-dir", "."]);
        assert_eq!(said.status.code(), Some(1));
        assert!(text(&said.stderr).contains("not a data folder"), "{}", text(&said.stderr));
    }
    assert!(folder.path().join("thesis.txt").exists());
}

#[test]
fn a_worker_without_configuration_is_refused_with_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let said = hyperhash(folder.path(), &["run", "share-verifier"]);
    assert_eq!(said.status.code(), Some(2), "{}", text(&said.stderr));
    let said =
        hyperhash(folder.path(), &["run", "share-verifier", "round-tracker", "--config", "x"]);
    assert_eq!(said.status.code(), Some(2));
    assert!(text(&said.stderr).contains("2 times --config"), "{}", text(&said.stderr));
}

#[test]
fn the_schema_is_printed_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let said = hyperhash(folder.path(), &["dev", "status", "--schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(schema, serde_json::to_value(hyperhash::status::schema()).unwrap());
}

#[test]
fn a_ping_ends_with_1_where_no_miner_can_work_and_with_2_for_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    // Bound and given back: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("stratum+tcp://127.0.0.1:{port}");
    let said = hyperhash(folder.path(), &["ping", &url, "--json"]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stderr));
    let report: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!((&report["url"], &report["verdict"]), (&url.as_str().into(), &"wrong".into()));
    assert_eq!(report["steps"][1]["step"], "connect");
    let said = hyperhash(folder.path(), &["ping", &url]);
    assert!(text(&said.stdout).contains("nothing listens on this port"), "{}", text(&said.stdout));
    for usage in [vec!["ping", "pool:3333"], vec!["ping", &url, "--ca", "missing.pem"]] {
        let said = hyperhash(folder.path(), &usage);
        assert_eq!(said.status.code(), Some(2), "{}", text(&said.stderr));
    }
}
