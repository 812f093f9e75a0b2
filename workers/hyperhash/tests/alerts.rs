//! The alert rules of `deploy/observability` name figures that exist, and say what to do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path};
use worker_runtime::metric::{Kind, Name};

/// Figures of translators, by the names of the project's register: they exist where one runs.
const TRANSLATOR: [&str; 3] = ["translator_sessions", "agg_channel_on", "vardiff_on"];
/// Words of `PromQL` that the rules use.
const PROMQL: [&str; 11] = [
    "sum",
    "max",
    "by",
    "and",
    "rate",
    "increase",
    "max_over_time",
    "histogram_quantile",
    "instance",
    "le",
    "reason",
];

fn rules() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/observability");
    fs::read_to_string(folder.join("alerts.yaml")).unwrap()
}

/// The text of each rule, comments aside.
fn alerts(rules: &str) -> Vec<&str> {
    rules.split("      - alert: ").skip(1).collect()
}

/// The expression of a rule: the lines that are indented below `expr`.
fn expression(alert: &str) -> String {
    let below = alert.split_once("        expr: |\n").unwrap().1;
    let lines: Vec<_> = below.lines().take_while(|line| line.starts_with("          ")).collect();
    assert!(!lines.is_empty());
    lines.join("\n")
}

/// Words of an expression that are neither in quotes nor a length of time.
fn words(expression: &str) -> BTreeSet<&str> {
    let outside = expression.split('"').step_by(2);
    let words = outside.flat_map(|part| {
        part.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
    });
    words.filter(|word| word.starts_with(|first: char| first.is_ascii_alphabetic())).collect()
}

/// The series of all figures, as a scrape names them.
fn series() -> BTreeSet<String> {
    let of = |name: &Name| {
        let spec = name.spec();
        match spec.kind {
            Kind::Counter | Kind::Tally | Kind::Gauge => vec![spec.name.to_owned()],
            Kind::Histogram => {
                ["bucket", "count", "sum"].map(|end| format!("{}_{end}", spec.name)).to_vec()
            }
        }
    };
    Name::ALL.iter().flat_map(of).chain(TRANSLATOR.map(str::to_owned)).collect()
}

#[test]
fn every_figure_of_an_alert_exists() {
    let (rules, series) = (rules(), series());
    let mut used = 0;
    for alert in alerts(&rules) {
        let expression = expression(alert);
        for word in words(&expression).into_iter().filter(|word| !PROMQL.contains(word)) {
            assert!(series.contains(word), "no figure `{word}`: {alert}");
            used += 1;
        }
    }
    assert!(used >= alerts(&rules).len(), "every alert looks at a figure");
}

#[test]
fn the_alerts_of_the_register_are_there() {
    let rules = rules();
    let with = |name: &str, part: &str| {
        let alerts = alerts(&rules);
        let alert = alerts.iter().find(|alert| alert.starts_with(name)).unwrap();
        assert!(expression(alert).contains(part), "{name} without `{part}`");
    };
    with("RejectRateHigh\n", "> 0.05");
    with("RttHigh\n", "> 250");
    with("ReconnectStorm\n", "sessions_total");
    with("AuthorisationsFailing\n", "invalid-user-identity");
}

#[test]
fn every_alert_says_what_it_means_and_what_to_do() {
    let rules = rules();
    let tested = rules_test();
    for alert in alerts(&rules) {
        let name = alert.lines().next().unwrap();
        for field in ["for: ", "severity: ", "summary: ", "description: ", "runbook: "] {
            assert!(alert.contains(field), "{name} has no {field}");
        }
        assert!(tested.contains(name), "{name} is not played by alerts.test.yaml");
    }
}

fn rules_test() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/observability");
    fs::read_to_string(folder.join("alerts.test.yaml")).unwrap()
}
