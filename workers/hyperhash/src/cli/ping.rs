//! `hyperhash ping`.

use super::{complain, say};
use anyhow::Context as _;
use probe::{Pool, Probe, Report, Step, Trust};
use std::{fs, path::PathBuf, process::ExitCode, time::Duration};
use worker_runtime::clock::SystemClock;

/// Tell what is wrong between a miner and a pool.
///
/// Goes the way that a miner goes and says at every step what was met and how long it took: name,
/// TCP, TLS or Noise with the authority key, greeting, user name, first job with its difficulty and
/// its time against this clock, round trips. At the end it says what to do. Nothing is mined.
///
/// The exit code is 0 where a miner can work (perhaps with warnings), 1 where it cannot, 2 when the
/// command line is wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hyperhash ping stratum2+tcp://node.example:3336/9auqWE… --user bc1q….rig
  hyperhash ping stratum+tcp://node.example:3333 --user bc1q….rig --hashrate 500G
  hyperhash ping stratum+ssl://127.0.0.1:34255 --ca .dev/…/ca.pem    V1 over TLS, own certificate
  hyperhash ping stratum+tcp://node.example:3333 --json | jq .verdict

One line a step: verdict, step, time, what was met; below it, what to do. With --json one object:
  url, address      the pool, and the address that was connected to
  verdict           the worst one: skipped, fine, warning or wrong
  steps[]           step, ms, verdict, said, advice (if there is something to do); steps are
                    resolve, connect, tls, noise, setup, channel, configure, subscribe, authorize,
                    job, difficulty, clock, latency
  latency           of (what was timed), count, p50_ms, p95_ms, max_ms
  clock_skew_secs   the pool's time less this clock's
  difficulty, hashes_per_share    of a share, as text: they may be large
Fields that were not found out are missing.")]
pub(super) struct Args {
    /// stratum2+tcp://host:port/<authority key>, stratum+tcp://host:port or stratum+ssl://host:port
    #[arg(value_name = "URL")]
    pool: Pool,
    /// Who mines: <address>[.<worker>]; without it the user's part is not looked at
    #[arg(long)]
    user: Option<String>,
    /// Password of Stratum V1, with options such as d=1024
    #[arg(long, default_value = "x")]
    password: String,
    /// The miner's hashes per second, such as 500G or 1200000: is the difficulty right for it?
    #[arg(long, value_parser = hashrate)]
    hashrate: Option<u64>,
    /// Authority of the pool's TLS certificate, PEM [default: those that browsers trust]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Seconds that every step may take
    #[arg(long, default_value_t = 10, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=300))]
    timeout: u64,
    /// Round trips that are timed
    #[arg(long, default_value_t = 10, value_name = "TIMES",
        value_parser = clap::value_parser!(u16).range(1..=1_000))]
    count: u16,
    /// One JSON object at the end, for programs
    #[arg(long)]
    json: bool,
}

/// Usage is wrong.
const USAGE: u8 = 2;

impl Args {
    /// Looks at the pool and tells what it finds.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let trust = match self.trust() {
            Ok(trust) => trust,
            Err(error) => {
                complain(&error);
                return Ok(ExitCode::from(USAGE));
            }
        };
        let json = self.json;
        let probe = Probe {
            pool: self.pool,
            user: self.user,
            password: self.password,
            hashrate: self.hashrate,
            trust,
            timeout: Duration::from_secs(self.timeout),
            count: self.count.into(),
        };
        // Who reads no further has seen enough; the exit code still says how it ended.
        let mut tell = |step: &Step| {
            if !json {
                drop(say(&step.to_string()));
            }
        };
        let clock = SystemClock::new();
        let report = tokio::select! {
            report = probe::run(&probe, &clock, &mut tell) => report,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                return Ok(ExitCode::FAILURE);
            }
        };
        conclude(&report, json)
    }

    fn trust(&self) -> anyhow::Result<Trust> {
        let Some(file) = &self.ca else { return Ok(Trust::public()) };
        let pem = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        Trust::private(&pem).with_context(|| format!("{} is of no use", file.display()))
    }
}

fn conclude(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        say(&serde_json::to_string(report)?)?;
    } else {
        say(&format!("\n{}", report.summary()))?;
    }
    Ok(if report.is_usable() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A number with a metric prefix.
fn hashrate(text: &str) -> Result<u64, String> {
    let refuse = || "expected hashes per second, such as 500G or 1200000".to_owned();
    let text = text.trim_end_matches("H/s").trim();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text.strip_prefix(digits) {
        Some("") => 1,
        Some("k" | "K") => 1_000,
        Some("M") => 1_000_000,
        Some("G") => 1_000_000_000,
        Some("T") => 1_000_000_000_000,
        Some("P") => 1_000_000_000_000_000,
        Some(_) | None => return Err(refuse()),
    };
    let number: u64 = digits.parse().map_err(|_| refuse())?;
    number.checked_mul(unit).filter(|rate| *rate > 0).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_rate_has_a_metric_prefix() {
        assert_eq!(hashrate("1200000"), Ok(1_200_000));
        assert_eq!(hashrate("500G"), Ok(500_000_000_000));
        assert_eq!(
            hashrate("3 TH/s"),
            Err("expected hashes per second, such as 500G or 1200000".to_owned())
        );
        assert_eq!(hashrate("3TH/s"), Ok(3_000_000_000_000));
        for none in ["", "G", "0", "1.5T", "-1", "1X", "99999999999P"] {
            assert!(hashrate(none).is_err(), "{none}");
        }
    }
}
