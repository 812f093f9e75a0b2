//! `hyperhash ping` against the real ingresses: a miner that sees no fault has none to fear.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ingress::{
    domain::selection::Selection,
    port::fake::Fake,
    testing::{
        pool::{Bounds, PATIENCE, Pool},
        work::{ADDRESS, HARD, hash, provider, template, tip},
    },
};
use ingress_sv1::{
    domain::connection::{Extranonce1, Extranonce2},
    session::StratumV1,
};
use ingress_sv2::{noise::Authority, session::StratumV2};
use probe::{Name, Probe, Report, Trust, Verdict};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use subjects::{Payload as _, TemplateId, templates::Tip};
use worker_runtime::clock::{Clock as _, SystemClock};

const SECRET: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
const PUBLIC: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

/// Tells a pool of a tip whose time starts so many seconds from now.
fn tip_at(pool: &Pool, lead: i64) {
    let now = SystemClock::new().now().0 / 1_000;
    let min_ntime = u32::try_from(now.checked_add_signed(lead).unwrap()).unwrap();
    let mut selection = Selection::new(&[provider("main")], Duration::from_secs(120));
    let (next, prevhash) = (template(99, 200, Some(hash(99))), hash(99));
    let id = TemplateId::of_payload(&next.encode());
    selection.template(Duration::ZERO, id, &next).unwrap();
    let tip = Tip { min_ntime, ..tip(prevhash, 200, HARD, &next) };
    selection.tip(Duration::ZERO, &tip).unwrap();
    pool.tell(Arc::clone(selection.work().unwrap()));
}

async fn v1() -> Pool {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let protocol = StratumV1 {
        listen,
        rented: None,
        extranonce1: Extranonce1::default(),
        extranonce2: Extranonce2::default(),
        tls: None,
    };
    Pool::start(Fake::open(), HARD, Bounds::default(), protocol).await
}

async fn v2() -> Pool {
    let authority = Authority::new(SECRET, Duration::from_secs(3_600)).unwrap();
    let protocol = StratumV2 { listen: (Ipv4Addr::LOCALHOST, 0).into(), authority };
    Pool::start(Fake::open(), HARD, Bounds::default(), protocol).await
}

async fn ping(url: String, user: Option<&str>) -> Report {
    let probe = Probe {
        pool: url.parse().unwrap(),
        user: user.map(str::to_owned),
        password: "d=1".to_owned(),
        hashrate: Some(1_000_000_000),
        trust: Trust::public(),
        timeout: PATIENCE,
        count: 5,
    };
    probe::run(&probe, &SystemClock::new(), &mut |_| {}).await
}

fn names(report: &Report) -> Vec<String> {
    report.steps.iter().map(|step| format!("{} {}", step.step, step.finding.verdict)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_v2_pool_that_is_well() {
    let pool = v2().await;
    tip_at(&pool, -60);
    let url = format!("stratum2+tcp://{}/{PUBLIC}", pool.address);
    let report = ping(url.clone(), Some(ADDRESS)).await;
    let way = [
        "resolve ok",
        "connect ok",
        "noise ok",
        "setup ok",
        "channel ok",
        "job ok",
        "difficulty ok",
        "clock ok",
        "latency ok",
    ];
    assert_eq!(names(&report), way, "{report:#?}");
    assert_eq!(report.latency.as_ref().unwrap().count, 5);
    assert_eq!(report.latency.as_ref().unwrap().of, "UpdateChannel of no channel");
    let anonymous = ping(url.clone(), None).await;
    assert_eq!((anonymous.verdict, anonymous.is_usable()), (Verdict::Fine, true));
    assert!(anonymous.summary().contains("--user"), "{}", anonymous.summary());
    let stranger = ping(url, Some("nobody")).await;
    let channel = stranger.step(Name::Channel).unwrap();
    assert!(channel.finding.said.ends_with("`invalid-user-identity`"), "{}", channel.finding.said);
    assert!(!stranger.is_usable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_v1_pool_that_is_well() {
    let pool = v1().await;
    tip_at(&pool, -60);
    let url = format!("stratum+tcp://{}", pool.address);
    let report = ping(url.clone(), Some(ADDRESS)).await;
    let way = [
        "resolve ok",
        "connect ok",
        "configure ok",
        "subscribe ok",
        "authorize ok",
        "job ok",
        "difficulty ok",
        "clock ok",
        "latency ok",
    ];
    assert_eq!(names(&report), way, "{report:#?}");
    assert_eq!(report.difficulty.as_deref(), Some("1"));
    assert_eq!(report.latency.as_ref().unwrap().of, "mining.ping");
    let stranger = ping(url, Some("nobody")).await;
    let refused = stranger.step(Name::Authorize).unwrap();
    assert!(refused.finding.said.contains("[24,\"Not an address"), "{}", refused.finding.said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_whose_clock_is_ahead() {
    let (lines, noise) = (v1().await, v2().await);
    tip_at(&lines, 3 * 3_600);
    tip_at(&noise, 600);
    let report = ping(format!("stratum+tcp://{}", lines.address), Some(ADDRESS)).await;
    assert_eq!(report.step(Name::Clock).unwrap().finding.verdict, Verdict::Wrong, "{report:#?}");
    let url = format!("stratum2+tcp://{}/{PUBLIC}", noise.address);
    let report = ping(url, Some(ADDRESS)).await;
    assert_eq!(report.verdict, Verdict::Warning, "{report:#?}");
    assert!((595..=600).contains(&report.clock_skew_secs.unwrap()));
}
