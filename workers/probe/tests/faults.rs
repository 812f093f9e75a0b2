//! Pools that are wrong in one way each, on loopback ports.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod servers;

use probe::{Name, Probe, Report, Trust, Verdict};
use servers::{Certified, PUBLIC, Tls, lines, noise, nothing, says};
use std::{net::SocketAddr, time::Duration};
use worker_runtime::clock::{Clock as _, SystemClock};

/// For everything that is answered.
const PATIENT: Duration = Duration::from_secs(20);
/// For what is never answered.
const SHORT: Duration = Duration::from_millis(300);
const OTHER: &str = "9c8nFm6PWDFXaxi5FNv29vXr2iKDNgnqxmx7774cFrZHYuTKJ2G";

async fn look(url: String, timeout: Duration) -> Report {
    look_trusting(url, timeout, Trust::public()).await
}

async fn look_trusting(url: String, timeout: Duration, trust: Trust) -> Report {
    let probe = Probe {
        pool: url.parse().unwrap(),
        user: Some("somebody.rig".to_owned()),
        password: "x".to_owned(),
        hashrate: None,
        trust,
        timeout,
        count: 3,
    };
    let mut heard = Vec::new();
    let report =
        probe::run(&probe, &SystemClock::new(), &mut |step| heard.push(step.clone())).await;
    assert_eq!(report.steps, heard, "every step is told as it ends");
    report
}

fn v2(address: SocketAddr, key: &str) -> String {
    format!("stratum2+tcp://{address}/{key}")
}

fn v1(address: SocketAddr) -> String {
    format!("stratum+tcp://{address}")
}

/// The one step that is wrong: what was met there, and what to do.
fn wrong(report: &Report, name: Name) -> (String, String) {
    let step = report.steps.iter().find(|step| step.finding.verdict == Verdict::Wrong).unwrap();
    assert_eq!(step.step, name, "{report:#?}");
    assert!(!report.is_usable());
    (step.finding.said.clone(), step.finding.advice.clone().unwrap())
}

fn now() -> u32 {
    u32::try_from(SystemClock::new().now().0 / 1_000).unwrap()
}

#[tokio::test]
async fn a_port_on_which_nobody_listens() {
    let address = nothing().await;
    for url in [v1(address), v2(address, PUBLIC)] {
        let (said, advice) = wrong(&look(url, PATIENT).await, Name::Connect);
        assert!(said.contains("refused") && advice.contains("nothing listens"), "{said} {advice}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_has() {
    let report = look("stratum+tcp://pool..invalid:3333".to_owned(), PATIENT).await;
    let (_, advice) = wrong(&report, Name::Resolve);
    assert!(advice.contains("spelling"));
}

#[tokio::test]
async fn a_pool_of_another_authority_key() {
    let address = noise(Certified { from: now() - 60, until: now() + 3_600 }).await;
    let (said, advice) = wrong(&look(v2(address, OTHER), PATIENT).await, Name::Noise);
    assert!(said.starts_with("another authority key"), "{said}");
    assert!(advice.contains("letter by letter"));
}

#[tokio::test]
async fn a_certificate_that_ended_and_one_that_begins_later() {
    let ended = noise(Certified { from: now() - 7_200, until: now() - 3_600 }).await;
    let (said, advice) = wrong(&look(v2(ended, PUBLIC), PATIENT).await, Name::Noise);
    assert!(said.ends_with("its authority key is right") && said.contains("ended"), "{said}");
    assert!(advice.contains("clock"));
    let (said, _) = wrong(&look(v2(ended, OTHER), PATIENT).await, Name::Noise);
    assert!(said.starts_with("another authority key") && said.contains("ended"), "{said}");
    let early = noise(Certified { from: now() + 3_600, until: now() + 7_200 }).await;
    let (said, _) = wrong(&look(v2(early, PUBLIC), PATIENT).await, Name::Noise);
    assert!(said.contains("becomes valid in"), "{said}");
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    let address = says(b"").await;
    let (said, _) = wrong(&look(v2(address, PUBLIC), SHORT).await, Name::Noise);
    assert!(said.contains("silence"), "{said}");
    let report = look(v1(address), SHORT).await;
    let (said, _) = wrong(&report, Name::Subscribe);
    assert!(said.contains("mining.subscribe in time"), "{said}");
}

#[tokio::test]
async fn a_web_server() {
    let address = says(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    for (url, step) in [(v1(address), Name::Configure), (v2(address, PUBLIC), Name::Noise)] {
        let (_, advice) = wrong(&look(url, SHORT).await, step);
        assert!(advice.contains("web server"), "{advice}");
    }
}

#[tokio::test]
async fn each_stratum_on_the_others_port() {
    let speaks_v1 = lines(vec![]).await;
    let (_, advice) = wrong(&look(v2(speaks_v1, PUBLIC), SHORT).await, Name::Noise);
    assert!(advice.contains(&format!("stratum+tcp://{speaks_v1}")), "{advice}");
    let speaks_v2 = noise(Certified { from: now() - 60, until: now() + 3_600 }).await;
    let (said, advice) = wrong(&look(v1(speaks_v2), SHORT).await, Name::Configure);
    assert!(said.contains("Stratum V2") && advice.contains("stratum2+tcp"), "{said}");
}

const CONFIGURED: &str =
    r#"{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}"#;
const SUBSCRIBED: &str =
    r#"{"id":2,"result":[[["mining.notify","ab"]],"0a0b0c0d",8],"error":null}"#;
const AUTHORIZED: &str = r#"{"id":3,"result":true,"error":null}"#;
const DIFFICULTY: &str = r#"{"id":null,"method":"mining.set_difficulty","params":[1024]}"#;

/// Enough of them for all round trips of a test.
const PONG: &str = concat!(
    "{\"id\":4,\"result\":\"pong\",\"error\":null}\n",
    "{\"id\":5,\"result\":\"pong\",\"error\":null}\n",
    "{\"id\":6,\"result\":null,\"error\":[-3,\"Method not found\",null]}",
);

fn notify(ntime: u32) -> String {
    format!(
        r#"{{"id":null,"method":"mining.notify","params":["1","{}","00","00",[],"20000000","17025ed4","{ntime:08x}",true]}}"#,
        "00".repeat(32)
    )
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[tokio::test]
async fn a_user_whom_nobody_knows() {
    let refusal =
        r#"{"id":3,"result":null,"error":[24,"unknown-user: nobody registered this name",null]}"#;
    let address = lines(owned(&[CONFIGURED, SUBSCRIBED, refusal])).await;
    let (said, advice) = wrong(&look(v1(address), PATIENT).await, Name::Authorize);
    assert!(said.contains(r#"[24,"unknown-user"#), "{said}");
    assert!(advice.contains("user name"));
}

#[tokio::test]
async fn a_pool_whose_clock_is_off() {
    for (lead, verdict) in [(0, Verdict::Fine), (600, Verdict::Warning), (9_000, Verdict::Wrong)] {
        let work = format!("{AUTHORIZED}\n{DIFFICULTY}\n{}", notify(now() + lead));
        let address = lines(owned(&[CONFIGURED, SUBSCRIBED, &work, PONG])).await;
        let report = look(v1(address), PATIENT).await;
        assert_eq!(report.latency.as_ref().unwrap().of, "mining.ping");
        assert_eq!(report.step(Name::Clock).unwrap().finding.verdict, verdict, "{report:#?}");
        let skew = report.clock_skew_secs.unwrap();
        assert!(skew.abs_diff(i64::from(lead)) < 60, "{skew}");
        assert_eq!(report.difficulty.as_deref(), Some("1024"));
    }
}

#[tokio::test]
async fn a_pool_without_work() {
    let address = lines(owned(&[CONFIGURED, SUBSCRIBED, AUTHORIZED])).await;
    let (said, advice) = wrong(&look(v1(address), SHORT).await, Name::Job);
    assert!(said.contains("the first job") && advice.contains("no work"), "{said}");
}

#[tokio::test]
async fn an_old_pool_that_knows_neither_configure_nor_ping() {
    let work = format!("{AUTHORIZED}\n{DIFFICULTY}\n{}", notify(now()));
    let address = lines(owned(&["", SUBSCRIBED, &work])).await;
    let report = look(v1(address), SHORT).await;
    assert_eq!(report.verdict, Verdict::Warning, "{report:#?}");
    assert_eq!(report.step(Name::Configure).unwrap().finding.verdict, Verdict::Warning);
    assert_eq!(report.latency.as_ref().unwrap().of, "TCP connections");
}

#[tokio::test]
async fn certificates_for_tls() {
    let tls = Tls::new("localhost");
    let address = tls.serve(owned(&[CONFIGURED, SUBSCRIBED])).await;
    let url = format!("stratum+ssl://localhost:{}", address.port());
    let (said, advice) = wrong(&look(url.clone(), PATIENT).await, Name::Tls);
    assert!(said.contains("nobody that is trusted") && advice.contains("--ca"), "{said}");
    let report = look_trusting(url, SHORT, tls.trust()).await;
    assert_eq!(report.step(Name::Tls).unwrap().finding.verdict, Verdict::Fine, "{report:#?}");
    assert_eq!(report.step(Name::Subscribe).unwrap().finding.verdict, Verdict::Fine);
    let url = format!("stratum+ssl://127.0.0.1:{}", address.port());
    let (said, _) = wrong(&look_trusting(url, PATIENT, tls.trust()).await, Name::Tls);
    assert!(said.contains("not for `127.0.0.1`"), "{said}");
    let plain = lines(vec![]).await;
    let url = format!("stratum+ssl://{plain}");
    let (_, advice) = wrong(&look_trusting(url, SHORT, tls.trust()).await, Name::Tls);
    assert!(advice.contains(&format!("stratum+tcp://{plain}")), "{advice}");
}
