//! What was found.

use serde::{Serialize, Serializer};
use std::{fmt, time::Duration};

/// How a step ended; later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was not looked at.
    Skipped,
    /// As it should be.
    Fine,
    /// A miner can work, but not as well as it could.
    Warning,
    /// A miner cannot work.
    Wrong,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Skipped => "skipped",
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
        })
    }
}

/// The steps, in the order in which a miner takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// The host's name has addresses.
    Resolve,
    /// A TCP connection.
    Connect,
    /// V1 over TLS: handshake and certificate.
    Tls,
    /// V2: Noise handshake and certificate.
    Noise,
    /// V2: `SetupConnection`.
    Setup,
    /// V2: the opening of a channel for the user.
    Channel,
    /// V1: `mining.configure`.
    Configure,
    /// V1: `mining.subscribe`.
    Subscribe,
    /// V1: `mining.authorize`.
    Authorize,
    /// The first job.
    Job,
    /// What a share must meet.
    Difficulty,
    /// The pool's time against ours.
    Clock,
    /// Round trips.
    Latency,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Noise => "noise",
            Self::Setup => "setup",
            Self::Channel => "channel",
            Self::Configure => "configure",
            Self::Subscribe => "subscribe",
            Self::Authorize => "authorize",
            Self::Job => "job",
            Self::Difficulty => "difficulty",
            Self::Clock => "clock",
            Self::Latency => "latency",
        })
    }
}

/// What was met in a step, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it ended.
    pub verdict: Verdict,
    /// What was met.
    pub said: String,
    /// What to do; nothing if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn fine(said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fine, said: said.into(), advice: None }
    }

    /// It was not looked at.
    pub fn skipped(said: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, said: said.into(), advice: None }
    }

    /// A miner can work, but something is worth a look.
    pub fn warning(said: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, said: said.into(), advice: Some(advice.into()) }
    }

    /// A miner cannot work.
    pub fn wrong(said: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, said: said.into(), advice: Some(advice.into()) }
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub step: Name,
    /// How long it took.
    #[serde(rename = "ms", serialize_with = "millis")]
    pub took: Duration,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl fmt::Display for Step {
    /// A line, and another one with what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, took, finding } = self;
        let millis = took.as_secs_f64() * 1_000.0;
        write!(f, "{:<8}{step:<11}{millis:>9.1} ms  {}", finding.verdict, finding.said)?;
        match &finding.advice {
            Some(advice) => write!(f, "\n{:33}-> {advice}", ""),
            None => Ok(()),
        }
    }
}

/// Round trips.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// What was sent there and back.
    pub of: String,
    /// How many were answered.
    pub count: usize,
    /// Half of them took at most this.
    #[serde(rename = "p50_ms", serialize_with = "millis")]
    pub p50: Duration,
    /// All but one in twenty took at most this.
    #[serde(rename = "p95_ms", serialize_with = "millis")]
    pub p95: Duration,
    /// The slowest.
    #[serde(rename = "max_ms", serialize_with = "millis")]
    pub max: Duration,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The pool.
    pub url: String,
    /// The worst verdict of all steps.
    pub verdict: Verdict,
    /// The address that was connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The steps that were taken, in order; the one that is wrong is the last one but for latency.
    pub steps: Vec<Step>,
    /// Round trips, if it came to that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// The pool's time less ours, in seconds, if a job told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_secs: Option<i64>,
    /// The difficulty of a share, as a decimal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<String>,
    /// Expected hashes of a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes_per_share: Option<String>,
}

impl Report {
    /// Nothing was looked at yet.
    pub const fn new(url: String) -> Self {
        Self {
            url,
            verdict: Verdict::Skipped,
            address: None,
            steps: Vec::new(),
            latency: None,
            clock_skew_secs: None,
            difficulty: None,
            hashes_per_share: None,
        }
    }

    /// Whether a miner can work there, as far as it was looked at.
    pub fn is_usable(&self) -> bool {
        self.verdict < Verdict::Wrong
    }

    /// The step of this name, if it was taken.
    pub fn step(&self, name: Name) -> Option<&Step> {
        self.steps.iter().find(|step| step.step == name)
    }

    /// What to do, in one paragraph.
    pub fn summary(&self) -> String {
        let worst = self.steps.iter().filter(|step| step.finding.verdict == self.verdict);
        let advice: Vec<&str> = worst.filter_map(|step| step.finding.advice.as_deref()).collect();
        let unseen = self.steps.iter().any(|step| step.finding.verdict == Verdict::Skipped);
        match self.verdict {
            Verdict::Wrong => format!("A miner cannot work here. {}", advice.join(" ")),
            Verdict::Warning => format!("A miner can work here, but: {}", advice.join(" ")),
            Verdict::Fine | Verdict::Skipped if unseen => {
                "All is well as far as it was looked at: with --user, user name, job, difficulty \
                 and clock are looked at too."
                    .to_owned()
            }
            Verdict::Fine | Verdict::Skipped => "All is well.".to_owned(),
        }
    }
}

fn millis<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Whole microseconds: more digits mean nothing.
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    serializer.serialize_f64(f64::from(micros) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: [Finding; 2]) -> Report {
        let mut report = Report::new("stratum+tcp://pool.example:3333".to_owned());
        for (step, finding) in [Name::Connect, Name::Job].into_iter().zip(findings) {
            report.verdict = report.verdict.max(finding.verdict);
            report.steps.push(Step { step, took: Duration::from_micros(1_234), finding });
        }
        report
    }

    #[test]
    fn the_worst_step_gives_the_verdict_and_the_advice() {
        let wrong = report([Finding::warning("slow", "Move."), Finding::wrong("mute", "Ask.")]);
        assert!(!wrong.is_usable());
        assert_eq!(wrong.summary(), "A miner cannot work here. Ask.");
        let slow = report([Finding::warning("slow", "Move."), Finding::fine("a job")]);
        assert!(slow.is_usable());
        assert_eq!(slow.summary(), "A miner can work here, but: Move.");
        let half = report([Finding::fine("open"), Finding::skipped("no user")]);
        assert!(half.is_usable() && half.summary().contains("--user"));
        assert_eq!(report([Finding::fine("a"), Finding::fine("b")]).summary(), "All is well.");
    }

    #[test]
    fn a_step_is_a_line_for_people_and_an_object_for_programs() {
        let report = report([Finding::fine("open"), Finding::wrong("mute", "Ask.")]);
        let lines: Vec<String> = report.steps.iter().map(ToString::to_string).collect();
        assert_eq!(lines[0], "ok      connect          1.2 ms  open");
        assert_eq!(lines[1], format!("WRONG   job              1.2 ms  mute\n{:33}-> Ask.", ""));
        let json = serde_json::to_value(&report.steps[1]).unwrap();
        let wanted = serde_json::json!({
            "step": "job", "ms": 1.234, "verdict": "wrong", "said": "mute", "advice": "Ask.",
        });
        assert_eq!(json, wanted);
    }
}
