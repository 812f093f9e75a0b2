//! The rules of the house that a program can check.

use crate::{
    contracts, links, manifests,
    sources::{files, shown},
};
use std::{fs, io, path::Path};

/// Doors to the outside world that a decision must not have.
const DOORS: [&str; 9] = [
    "async ",
    ".await",
    "tokio",
    "async_nats",
    "sqlx",
    "std::net",
    "std::fs",
    "tracing::",
    "reqwest",
];

/// Longest source file. A file that outgrows this says something about its structure.
const MOST_LINES: usize = 600;

/// Every broken rule, as `path: complaint`.
pub(crate) fn faults(root: &Path) -> io::Result<Vec<String>> {
    let mut faults = worker_faults(root)?;
    faults.extend(source_faults(root)?);
    faults.extend(manifests::faults(root)?);
    faults.extend(links::faults(root)?);
    Ok(faults)
}

fn worker_faults(root: &Path) -> io::Result<Vec<String>> {
    let mut faults = Vec::new();
    for worker in contracts::workers(root)? {
        let shown = shown(root, &worker);
        if let Err(complaint) = contracts::read(&worker) {
            faults.push(format!("{shown}/src/lib.rs: {complaint}"));
        }
        let source = worker.join("src");
        let mut decisions = files(&source, &["domain.rs"])?;
        if source.join("domain").is_dir() {
            decisions.extend(files(&source.join("domain"), &[".rs"])?);
        }
        if decisions.is_empty() {
            faults.push(format!("{shown}: a worker without domain.rs decides nothing"));
        }
        // Tests of a decision may open doors; what they test may not.
        for path in decisions.iter().filter(|path| !path.ends_with("tests.rs")) {
            faults.extend(door_faults(root, path)?);
        }
    }
    Ok(faults)
}

fn door_faults(root: &Path, path: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(path)?;
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n");
    let open = DOORS.iter().filter(|door| code.contains(*door));
    Ok(open.map(|door| format!("{}: a decision mentions `{door}`", shown(root, path))).collect())
}

fn source_faults(root: &Path) -> io::Result<Vec<String>> {
    let ignored = format!("#[{}", "ignore");
    let mut faults = Vec::new();
    for path in files(root, &[".rs"])? {
        let text = fs::read_to_string(&path)?;
        let shown = shown(root, &path);
        if text.lines().count() > MOST_LINES {
            faults.push(format!("{shown}: more than {MOST_LINES} lines"));
        }
        if text.contains(&ignored) {
            faults.push(format!("{shown}: an ignored test"));
        }
        let tests = shown.contains("/tests/");
        if tests && text.lines().any(naps) {
            faults.push(format!("{shown}: a test sleeps instead of waiting for a fact"));
        }
    }
    Ok(faults)
}

/// Whether a line of a test sleeps to let work happen. A pause between two looks at a fact, and a
/// length of time that is itself what is tested, say so at the end of the line.
fn naps(line: &str) -> bool {
    let sleeps = [concat!("thread::", "sleep"), concat!("time::", "sleep")];
    let reasons = ["// polls", "// time itself"];
    sleeps.iter().any(|sleep| line.contains(sleep))
        && !reasons.iter().any(|reason| line.trim_end().ends_with(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_needs_a_reason() {
        let sleep = concat!("tokio::time::", "sleep(pause).await;");
        assert!(naps(sleep));
        assert!(!naps(&format!("{sleep} // polls")));
        assert!(!naps("let pause = PAUSE;"));
    }
}
