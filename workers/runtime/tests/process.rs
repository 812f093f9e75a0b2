//! A whole process: configuration, signals, HTTP, drain, exit code. The process is this test
//! program itself, started again as a worker.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail like tests"
)]

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Child, Command, ExitCode, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt, net::TcpListener, time::timeout};
use worker_runtime::{Context, Process, Worker, WorkerConfig, testing::until};

/// Set for the process that plays the worker; under a prefix that is not configuration.
const CHILD: &str = "HYPERHASH_DEV_TEST_CHILD";

const DEADLINE: Duration = Duration::from_secs(20);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    greeting: String,
    lane: u16,
    fails: bool,
    stubborn: bool,
    api_token: String,
}

impl Default for Config {
    fn default() -> Self {
        let greeting = "hello".to_owned();
        Self { greeting, lane: 7, fails: false, stubborn: false, api_token: "hunter2".to_owned() }
    }
}

impl WorkerConfig for Config {
    const RELOADABLE: &'static [&'static str] = &["greeting"];
}

struct First;
struct Second;

impl Worker for First {
    const NAME: &'static str = "first";
    const FLAGS: &'static [&'static str] = &["turbo"];
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        serve(ctx).await
    }
}

impl Worker for Second {
    const NAME: &'static str = "second";
    type Config = Config;

    async fn run(ctx: Context<Config>) -> anyhow::Result<()> {
        serve(ctx).await
    }
}

/// Says its greeting as a readiness check, again after each reload.
async fn serve(ctx: Context<Config>) -> anyhow::Result<()> {
    let mut reloads = ctx.reloads();
    if ctx.config.load().stubborn {
        ctx.spawn("stubborn", std::future::pending());
    }
    loop {
        let config = ctx.config.load_full();
        let words =
            format!("{} on lane {} turbo {}", config.greeting, config.lane, ctx.flag("turbo"));
        ctx.ready("greeting", !ctx.read_only(), &words);
        ctx.announce("greeter", "127.0.0.1:1");
        tracing::info!(greeting = config.greeting, "greeting");
        anyhow::ensure!(!config.fails, "told to fail");
        tokio::select! {
            () = ctx.stop.cancelled() => return Ok(()),
            changed = reloads.changed() => changed?,
        }
    }
}

/// The worker's side: no test, unless the parent asks for it.
#[test]
#[expect(clippy::exit, reason = "the test harness would replace the exit code")]
fn child() {
    let Some(workers) = std::env::var_os(CHILD) else { return };
    let folder = std::path::PathBuf::from(std::env::var_os("HYPERHASH_DEV_TEST_FOLDER").unwrap());
    let mut process = Process::new();
    for worker in workers.to_str().unwrap().split(',') {
        process = match worker {
            "first" => process.worker::<First>(Some(folder.join("first.toml"))),
            "second" => process.worker::<Second>(Some(folder.join("second.toml"))),
            other => panic!("{other}"),
        };
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let code = runtime.block_on(process.run());
    // An `ExitCode` does not tell its number, but it can be compared as text.
    let number =
        (0_u8..3).find(|number| format!("{:?}", ExitCode::from(*number)) == format!("{code:?}"));
    std::process::exit(number.unwrap().into());
}

/// A folder with configurations that announce into it.
fn folder(first: &str, second: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, keys) in [("first", first), ("second", second)] {
        write_config(folder.path(), name, keys);
    }
    folder
}

fn write_config(folder: &Path, name: &str, keys: &str) {
    let announce = folder.join(format!("{name}.json"));
    let text = format!("{keys}\n[http]\nannounce_file = \"{}\"\n", announce.display());
    fs::write(folder.join(format!("{name}.toml")), text).unwrap();
}

fn command(folder: &Path, workers: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD, workers)
        .env("HYPERHASH_DEV_TEST_FOLDER", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

async fn announced(folder: &Path, name: &str) -> Value {
    let file = folder.join(format!("{name}.json"));
    let read = || serde_json::from_str::<Value>(&fs::read_to_string(&file).ok()?).ok();
    let complete = async || read().is_some_and(|told| told["addresses"]["greeter"].is_string());
    until("it is announced", DEADLINE, complete).await.unwrap();
    read().unwrap()
}

async fn get(told: &Value, path: &str) -> (u16, String) {
    let url = format!("http://{}{path}", told["addresses"]["http"].as_str().unwrap());
    let response = reqwest::get(url).await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn ended(child: Child) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn two_workers_in_one_process_serve_reload_and_drain() {
    let folder = folder("greeting = \"one\"\n[flags]\nturbo = true", "greeting = \"two\"");
    let child =
        command(folder.path(), "first,second").env("HYPERHASH_SECOND__LANE", "9").spawn().unwrap();
    let (first, second) =
        (announced(folder.path(), "first").await, announced(folder.path(), "second").await);
    assert_eq!(first["pid"], u64::from(child.id()));
    assert_eq!(get(&first, "/healthz").await, (200, "ok\n".to_owned()));
    let readiness = async |told: &Value| -> Value {
        serde_json::from_str(&get(told, "/readyz").await.1).unwrap()
    };
    let ready = readiness(&first).await;
    assert_eq!((&ready["ready"], &ready["worker"]), (&true.into(), &"first".into()));
    assert_eq!(ready["checks"][0]["why"], "one on lane 7 turbo true");
    assert_eq!(readiness(&second).await["checks"][0]["why"], "two on lane 9 turbo false");
    let (status, figures) = get(&first, "/metrics").await;
    assert!(status == 200 && figures.contains("worker_ready 1") && figures.ends_with("# EOF\n"));

    // What may change changes, the rest waits for a restart and is named.
    write_config(folder.path(), "first", "greeting = \"three\"\nlane = 8\nread_only = true");
    signal(&child, rustix::process::Signal::HUP);
    let reloaded =
        async || readiness(&first).await["checks"][0]["why"] == "three on lane 7 turbo false";
    until("the greeting changes", DEADLINE, reloaded).await.unwrap();
    assert_eq!(get(&first, "/readyz").await.0, 503, "read-only fails this worker's check");

    let level = reqwest::Client::new()
        .post(format!("http://{}/log-level", first["addresses"]["http"].as_str().unwrap()));
    assert_eq!(
        level.try_clone().unwrap().body("no=such=level").send().await.unwrap().status(),
        400
    );
    assert_eq!(level.body("debug").send().await.unwrap().status(), 204);
    assert_eq!(get(&first, "/log-level").await.1, "debug");

    signal(&child, rustix::process::Signal::TERM);
    let (code, stdout, stderr) = ended(child);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let restart = stdout.lines().find(|line| line.contains("needs a restart")).unwrap();
    let restart: Value = serde_json::from_str(restart).unwrap();
    assert_eq!((&restart["keys"], &restart["level"]), (&"lane".into(), &"WARN".into()));
    assert!(!folder.path().join("first.json").exists(), "the announcement is taken back");
}

#[tokio::test]
async fn an_error_of_one_worker_ends_the_process_with_one_line() {
    let folder = folder("fails = true", "");
    let (code, stdout, stderr) = ended(command(folder.path(), "first,second").spawn().unwrap());
    assert_eq!(code, Some(1));
    assert_eq!(stderr, "error: worker first: task main failed: told to fail\n");
    assert!(stdout.contains("the process ends with an error"));
}

#[tokio::test]
async fn a_refused_configuration_ends_the_process_before_it_begins() {
    let folder = folder("greting = \"x\"", "");
    let (code, _, stderr) = ended(command(folder.path(), "first").spawn().unwrap());
    assert_eq!(code, Some(2));
    assert!(stderr.contains("unknown key `greting`"), "{stderr}");
    assert!(stderr.contains("did you mean `greeting`?"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
}

#[tokio::test]
async fn a_port_in_use_says_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = folder("", "");
    let child = command(folder.path(), "first")
        .env("HYPERHASH_HTTP__LISTEN", taken.local_addr().unwrap().to_string())
        .spawn()
        .unwrap();
    let (code, _, stderr) = ended(child);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is the port in use?"), "{stderr}");
}

#[tokio::test]
async fn what_does_not_end_in_time_is_given_up_and_named() {
    let folder = folder("stubborn = true\n[shutdown]\ngrace_ms = 100", "");
    let child = command(folder.path(), "first").spawn().unwrap();
    announced(folder.path(), "first").await;
    signal(&child, rustix::process::Signal::INT);
    let (code, _, stderr) = ended(child);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("still running 100 ms after the drain began: stubborn"), "{stderr}");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let folder = folder("stubborn = true\n[shutdown]\ngrace_ms = 600000", "");
    let child = command(folder.path(), "first").spawn().unwrap();
    let told = announced(folder.path(), "first").await;
    signal(&child, rustix::process::Signal::TERM);
    let draining = async || get(&told, "/readyz").await.1.contains("\"draining\":true");
    until("it drains", DEADLINE, draining).await.unwrap();
    signal(&child, rustix::process::Signal::TERM);
    let (code, _, stderr) = ended(child);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("second signal"), "{stderr}");
}

#[tokio::test]
async fn logs_go_to_loki_when_it_is_configured() {
    let loki = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", loki.local_addr().unwrap());
    let folder = folder(&format!("[log]\nloki_url = \"{url}\""), "");
    let child = command(folder.path(), "first").spawn().unwrap();
    let (mut connection, _) = timeout(DEADLINE, loki.accept()).await.unwrap().unwrap();
    let mut request = [0; 64];
    connection.read_exact(&mut request).await.unwrap();
    assert!(request.starts_with(b"POST /loki/api/v1/push HTTP/1.1"));
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(ended(child).0, Some(0));
}

#[test]
fn the_effective_configuration_is_printed_without_secrets() {
    let folder = folder("greeting = \"one\"", "");
    let process = Process::new().worker::<First>(Some(folder.path().join("first.toml")));
    let text = process.print_config().unwrap();
    assert!(text.contains("# first\n") && text.contains("greeting = \"one\""), "{text}");
    assert!(text.contains("api_token = \"***\"") && !text.contains("hunter2"), "{text}");
    assert!(text.contains("grace_ms = 10000"), "{text}");
}
