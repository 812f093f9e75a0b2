//! Who may depend on whom: the star-shaped graph of the workspace.

use crate::sources::{files, shown};
use std::{collections::BTreeMap, fs, io, path::Path};

/// The only crates that may name the bus's client.
const BUS_CLIENTS: [&str; 3] = ["worker-runtime", "streams", "loadtest"];

/// The crates that put workers together, and may therefore depend on them.
const ASSEMBLIES: [&str; 4] = ["hyperhash", "system-tests", "loadtest", "fuzz-targets"];

/// Crates below `workers/` that are not workers: everybody may depend on them.
const SHARED: [&str; 7] =
    ["worker-runtime", "mining", "bitcoind-rpc", "stratum-v1", "stratum-v2", "probe", "ingress"];

/// Every dependency that breaks the graph.
pub(crate) fn faults(root: &Path) -> io::Result<Vec<String>> {
    let mut packages = BTreeMap::new();
    for path in files(root, &["Cargo.toml"])? {
        let text = fs::read_to_string(&path)?;
        if let Some(name) = package_name(&text) {
            packages.insert(name, (shown(root, &path), dependencies(&text)));
        }
    }
    let workers: Vec<&String> = packages
        .iter()
        .filter(|(name, (path, _))| {
            let outside = SHARED.contains(&name.as_str()) || ASSEMBLIES.contains(&name.as_str());
            path.starts_with("workers/") && !outside
        })
        .map(|(name, _)| name)
        .collect();
    let mut faults = Vec::new();
    for (name, (path, dependencies)) in &packages {
        for dependency in dependencies {
            if dependency == "async-nats" && !BUS_CLIENTS.contains(&name.as_str()) {
                faults.push(format!("{path}: only {BUS_CLIENTS:?} may name async-nats"));
            }
            let assembles = ASSEMBLIES.contains(&name.as_str());
            if workers.contains(&dependency) && !assembles {
                faults.push(format!("{path}: depends on the worker {dependency}"));
            }
            if name == "mining" && dependency == "tokio" {
                faults.push(format!("{path}: the domain of mining has no tokio"));
            }
        }
    }
    Ok(faults)
}

fn package_name(manifest: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.starts_with("name = "))?;
    line.split('"').nth(1).map(ToOwned::to_owned)
}

/// Names in `[dependencies]`; tests may use more.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && !line.starts_with('#') {
            let name: String = line
                .chars()
                .take_while(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter))
                .collect();
            if !name.is_empty() {
                names.push(name);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_dependencies_count() {
        let manifest = "[package]\nname = \"a\"\n\n[dependencies]\n# why\nb.workspace = true\n\
            c = { version = \"1\" }\n\n[dev-dependencies]\nd.workspace = true\n";
        assert_eq!(package_name(manifest), Some("a".to_owned()));
        assert_eq!(dependencies(manifest), ["b", "c"]);
    }
}
