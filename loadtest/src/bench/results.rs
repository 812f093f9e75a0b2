//! Where figures are kept.

use super::figure::Figure;
use anyhow::Context as _;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

/// The file with the latest of every figure.
pub const LATEST: &str = "latest.jsonl";

/// Writes the figures of a run into a file of its own in `folder`, named by `run`, and replaces
/// those of the same name in [`LATEST`]. Returns the file.
///
/// # Errors
///
/// When a file cannot be read or written.
pub fn keep(
    folder: &Path,
    run: &str,
    machine: &str,
    figures: &[Figure],
) -> anyhow::Result<PathBuf> {
    let lines: Vec<String> = figures
        .iter()
        .map(|figure| serde_json::to_string(&figure.line(machine)))
        .collect::<Result<_, _>>()?;
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{run}.jsonl"));
    write(&path, lines.iter())?;
    let latest = folder.join(LATEST);
    let mut all = read(&latest)?;
    all.extend(figures.iter().map(|figure| figure.name.clone()).zip(lines));
    write(&latest, all.values())?;
    Ok(path)
}

fn write<'a>(path: &Path, lines: impl Iterator<Item = &'a String>) -> anyhow::Result<()> {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}")?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The lines of a file by the names of their figures; none if there is no such file.
fn read(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let named = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        Some((value.get("figure")?.as_str()?.to_owned(), line.to_owned()))
    };
    let lines = text.lines().map(|line| named(line).context("a line is no figure"));
    lines.collect::<anyhow::Result<_>>().with_context(|| format!("in {}", path.display()))
}

/// The machine, as far as it matters to figures.
pub fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let model = after(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".into());
    let memory = after(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} × {model}, {} GiB, Linux {}", kib.div_ceil(1 << 20), kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::super::figure::Goal;
    use super::*;

    fn figure(name: &str, value: f64) -> Figure {
        Figure::median(name, "us", Goal::None, &[value])
    }

    #[test]
    fn the_latest_of_every_figure_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        keep(folder, "1", "here", &[figure("a", 1.0), figure("b", 2.0)]).unwrap();
        let second = keep(folder, "2", "here", &[figure("b", 3.0)]).unwrap();
        assert_eq!(fs::read_to_string(second).unwrap().lines().count(), 1);
        let latest = read(&folder.join(LATEST)).unwrap();
        assert!(latest["a"].contains("1.0") && latest["b"].contains("3.0"), "{latest:?}");
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LATEST), "what?\n").unwrap();
        assert!(keep(folder.path(), "1", "here", &[figure("a", 1.0)]).is_err());
        assert_eq!(fs::read_to_string(folder.path().join(LATEST)).unwrap(), "what?\n");
    }

    #[test]
    fn a_machine_has_a_size() {
        assert!(!machine().starts_with('0'), "{}", machine());
    }
}
